"""Two hundred sessions at once from an outside producer: all end, and every row is there once."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

import psycopg
import pytest

from connectors.embedded.progress import Silent
from streams.cli.deployment import bring_up
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.outsider import Outsider, Placed, Record, body_of, message
from topics.catalog import TOPICS, USER_INPUTS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SESSIONS = 200
SETTLE_S = 240.0
TRUTH = [topic.name for topic in TOPICS if topic.is_truth]
REQUESTS = (
    "What does the ingress shell do?",
    "1. Find out how budgets work. 2. Find out how retries work. 3. Then write a summary of both.",
    "Write a short greeting.",
)


def posted(outsider: Outsider) -> list[Record]:
    messages = [message(REQUESTS[number % len(REQUESTS)]) for number in range(SESSIONS)]
    outsider.post(messages)
    return messages


def answers_in(connection: psycopg.Connection, messages: list[Record]) -> int:
    inputs = [entry["event_id"] for entry in messages]
    row = connection.execute(
        "SELECT count(*) FROM event_log WHERE type = 'AnswerGiven' AND body ->> 'input_id' = ANY(%s)",
        [inputs],
    ).fetchone()
    assert row is not None
    return int(row[0])


def wait_for_answers(settings: Settings, messages: list[Record], number: int | None = None) -> None:
    """Wait until all sessions, or so many of them, have their answers."""
    number = len(messages) if number is None else number
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        try:
            with psycopg.connect(settings.postgres_dsn, autocommit=True, connect_timeout=5) as connection:
                if answers_in(connection, messages) >= number:
                    return
        except psycopg.OperationalError:
            pass  # it was killed, and is on its way back
        time.sleep(0.1)
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        pytest.fail(f"{answers_in(connection, messages)} sessions of {number} have an answer")


def wait_for_rows(settings: Settings, outsider: Outsider) -> list[Placed]:
    """Wait until the sink has all that is on the log, and return the log as an outsider reads it."""
    deadline_s = time.monotonic() + SETTLE_S
    while True:
        log = outsider.read_all(TRUTH)
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            ends = Counter[tuple[str, int]]()
            for placed in log:
                ends[placed.topic, placed.partition] = max(
                    ends[placed.topic, placed.partition], placed.offset + 1
                )
            stored = {
                (topic, partition): next_offset
                for topic, partition, next_offset in connection.execute(
                    "SELECT topic, partition, next_offset FROM sink_offsets"
                ).fetchall()
            }
        behind = {place: end for place, end in ends.items() if stored.get(place, 0) < end}
        if not behind:
            return log
        assert time.monotonic() < deadline_s, f"the sink is behind: {behind}"
        time.sleep(0.5)


def check_everything(settings: Settings, outsider: Outsider, messages: list[Record]) -> None:
    """Hold what has to hold of a log and its projection, however it came about."""
    log = wait_for_rows(settings, outsider)
    sessions = {entry["session_id"] for entry in messages}
    events: dict[tuple[str, str], Record] = {}
    for placed in log:
        # A repeated input is one event behind the ingress shell; before it, each delivery counts.
        is_input = placed.topic == USER_INPUTS.name
        place = f"{placed.partition}/{placed.offset}"
        identity = (placed.topic, place if is_input else placed.value["event_id"])
        earlier = events.setdefault(identity, placed.value)
        if placed.value["session_id"] not in sessions:
            continue  # others may have posted one message several times, and each delivery has a time
        assert earlier == placed.value, f"two different records of the one event {identity}"
    by_session: dict[str, list[int]] = {}
    for (topic, _), value in events.items():
        if value["sequence"] and topic != "tool.capabilities":
            by_session.setdefault(value["session_id"], []).append(value["sequence"])
    for session in sessions:
        assert sorted(by_session[session]) == list(range(1, len(by_session[session]) + 1)), session
    answers = Counter(
        fact["input_id"] for name, fact in map(body_of, events.values()) if name == "AnswerGiven"
    )
    assert {entry["event_id"]: 1 for entry in messages}.items() <= answers.items()
    check_rows(settings, events, sessions)


def check_rows(settings: Settings, events: dict[tuple[str, str], Record], sessions: set[str]) -> None:
    """Each event is one row of the event log, and each task, edge and decision one row of its table.

    Of these sessions: others of the deployment may be at work.
    """
    facts = [body_of(value) for value in events.values() if value["session_id"] in sessions]
    tasks = {fact["task_id"] for name, fact in facts if name == "TaskCreated"}
    edges = {edge["edge_id"] for name, fact in facts if name == "TaskCreated" for edge in fact["edges"]}
    expected = {
        "tasks_v2": len(tasks),
        "task_edges": len(edges),
        "policy_decisions": sum(name == "PolicyDecided" for name, _ in facts),
        "graph_snapshots": sum(name == "GraphSnapshotTaken" for name, _ in facts),
        "retrieval_metrics": len({fact["call_id"] for name, fact in facts if name == "RetrievalMeasured"}),
    }
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        of_these = "session_id::text = ANY(%s)"
        for table, count in expected.items():
            where = (
                f"from_task_id IN (SELECT id FROM tasks_v2 WHERE {of_these})"
                if table == "task_edges"
                else of_these
            )
            row = connection.execute(
                f"SELECT count(*) FROM {table} WHERE {where}", [list(sessions)]
            ).fetchone()
            assert row == (count,), table
        logged = connection.execute(
            f"SELECT count(*), count(DISTINCT (topic, event_id)) FROM event_log WHERE {of_these}",
            [list(sessions)],
        ).fetchone()
        assert logged is not None
        assert logged[0] == logged[1] == len(facts)
        unended = connection.execute(
            "SELECT status, count(*) FROM tasks_v2 WHERE session_id::text = ANY(%s) "
            "AND status IN ('pending', 'running') GROUP BY status",
            [list(sessions)],
        ).fetchall()
        assert unended == []
        overspent = connection.execute(
            "SELECT count(*) FROM event_log WHERE type IN ('ModelCallRequested', 'ToolCallRequested') "
            "AND ((body ->> 'session_tokens_left')::bigint < 0 OR (body ->> 'task_tokens_left')::bigint < 0)"
        ).fetchone()
        assert overspent == (0,)


def test_all_of_them_end_and_every_row_is_there_once(settings: Settings, outsider: Outsider) -> None:
    messages = posted(outsider)

    wait_for_answers(settings, messages)

    check_everything(settings, outsider, messages)


@pytest.mark.slow  # The short campaign kills all of them too, in every run.
@pytest.mark.parametrize("seed", [11])
def test_the_same_holds_when_everything_is_killed_in_the_middle(
    deployment: Deployment, settings: Settings, outsider: Outsider, seed: int
) -> None:
    """kill -9 of worker, sink, broker and Postgres, in an order that the seed gives, then a restart."""
    chance = random.Random(seed)
    stack = deployment.stack()
    kills: list[tuple[str, Callable[[], None]]] = [
        ("worker", lambda: deployment.stop_part("worker-1", hard=True)),
        ("sink", lambda: deployment.stop_part("sink-1", hard=True)),
        ("broker", lambda: stack.stop_service("kafka", hard=True)),
        ("postgres", lambda: stack.stop_service("postgres", hard=True)),
    ]
    chance.shuffle(kills)
    messages = posted(outsider)

    # The kills fall into the work: some sessions have their answers, the others are wherever they are.
    wait_for_answers(settings, messages, chance.randint(1, len(messages) // 2))
    for _, kill in kills:
        kill()
    asyncio.run(bring_up(deployment, 1, Silent()))

    wait_for_answers(settings, messages)
    check_everything(settings, outsider, messages)
