"""A whole session, decided by the real decider, in Postgres: rows, books and traces of it."""

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.tables import TABLES
from schemas.envelope import Envelope
from schemas.events.inputs import SessionBudgetSet
from schemas.events.models import ModelCallCompleted, ModelCallRequested
from schemas.events.outputs import AnswerGiven
from schemas.ids import derived_id
from sinks.queries import TaskNode, session_detail
from sinks.trace import Node, trace
from sinks.writer import Projected, Slot, Writer
from tests.processors.world import SESSION, ModelOutcome, World, failed, obliging, plan_text, small, task
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from topics.catalog import TOPICS, topic_of

pytestmark = pytest.mark.stack

PLAN = plan_text(task("a"), task("b", needs=["a"]), task("c", needs=["a"]), task("d", needs=["b", "c"]))
IDS: dict[Slot, uuid.UUID] = {(topic.name, 0): uuid.UUID(int=n) for n, topic in enumerate(TOPICS, start=1)}


def whole_session() -> list[Envelope]:
    """Return all events of a session with dependent tasks, tools, a retry, and an answer."""
    answering = obliging(PLAN, tools=["look", "buy"])
    refused: list[str] = []

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and not refused:
            refused.append(call.call_id)
            return failed(call, "provider_error")
        return answering(call)

    world = World(answer, limits=small(retry_delay_ms=10))
    world.say("What is a sink?")
    world.post(SessionBudgetSet(tokens=12_000_000))
    world.post(SessionBudgetSet(tokens=11_000_000, nanodollars=5 * 10**9))
    world.run()
    inputs = [event for event, _ in world.inputs]
    return sorted([*inputs, *world.events], key=lambda event: (event.occurred_at_ms, event.sequence))


async def projected(events: list[Envelope]) -> list[Projected]:
    """Take events in, each at the next place of its topic."""
    offsets: Counter[str] = Counter()
    batch = []
    for event in events:
        topic = topic_of(event.body)
        batch.append((await taken(topic, event, offsets[topic.name])).projected)
        offsets[topic.name] += 1
    return batch


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    """A writer on an empty database."""
    one = await Writer.connect(dsn, "test")
    yield one
    await one.close()


async def write(writer: Writer, batches: list[list[Projected]]) -> None:
    """Write batches one after the other, from the start of every topic."""
    await writer.positions(IDS)
    following: dict[Slot, int] = dict.fromkeys(IDS, 0)
    for batch in batches:
        await writer.write(batch, following)
        for one in batch:
            following[one.place.topic, one.place.partition] = one.place.offset + 1


async def contents(connection: AsyncConnection[TupleRow]) -> dict[str, list[TupleRow]]:
    """Return all rows of all tables."""
    names = [*(table.name for table in TABLES), "event_log"]
    return {name: await rows(connection, f"SELECT t::text FROM {name} t ORDER BY 1") for name in names}


async def test_rows_come_out_the_same_in_whatever_order_topics_are_read(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    batch = await projected(whole_session())
    by_topic: dict[str, list[Projected]] = {}
    for one in batch:
        by_topic.setdefault(one.place.topic, []).append(one)
    shuffled = random.Random(7)
    orders = [
        [batch],
        [by_topic[name] for name in sorted(by_topic)],
        [by_topic[name] for name in sorted(by_topic, reverse=True)],
        [[one] for name in sorted(by_topic, key=lambda _: shuffled.random()) for one in by_topic[name]],
    ]

    found = []
    for order in orders:
        await connection.execute("SET cartrita.rebuild = 'on'")
        await connection.execute("TRUNCATE event_log, sessions, policy_decisions, sink_offsets CASCADE")
        await write(writer, order)
        found.append(await contents(connection))

    assert all(one == found[0] for one in found[1:])
    filled = {name for name, there in found[0].items() if there}
    assert filled >= {"sessions", "session_summaries", "tasks_v2", "task_edges", "graph_snapshots"}
    assert filled >= {"policy_decisions", "conversation_messages", "tool_invocations", "event_log"}


async def test_the_books_of_a_session_balance(writer: Writer, connection: AsyncConnection[TupleRow]) -> None:
    await write(writer, [await projected(whole_session())])

    by_event = "SELECT DISTINCT sum(tokens)::int, sum(nanodollars)::int FROM budget_entries GROUP BY event_id"
    reserved = "SELECT sum(tokens)::int, sum(nanodollars)::int FROM budget_entries WHERE account = 'reserved'"
    available = "SELECT sum(tokens)::bigint FROM budget_entries WHERE account = 'available'"
    newest = (
        "SELECT (body ->> 'session_tokens_left')::bigint FROM event_log WHERE type = 'BudgetCharged' "
        "ORDER BY sequence DESC LIMIT 1"
    )
    used = "SELECT sum(tokens)::bigint FROM budget_entries WHERE account = 'used'"

    assert await rows(connection, by_event) == [(0, 0)]
    assert await rows(connection, reserved) == [(0, 0)]
    assert await rows(connection, available) == await rows(connection, newest)
    assert await rows(connection, used) == await rows(connection, "SELECT tokens_used FROM session_summaries")


async def test_the_answer_traces_to_the_message_and_to_every_model_call_that_succeeded(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])
    (answer,) = [event for event in events if isinstance(event.body, AnswerGiven)]

    found = await trace(connection, uuid.UUID(answer.event_id))
    assert found is not None
    nodes = list(flattened(found.root))

    assert all(not node.missing for node in nodes)
    assert str(nodes[-1].event.event_id) in {event.event_id for event in events}
    reached = {str(node.event.event_id) for node in nodes}
    assert derived_id(SESSION, "input", "0") in reached
    steps = {event.event_id for event in events if isinstance(event.body, ModelCallCompleted)}
    assert steps <= reached


async def test_the_tree_of_tasks_has_every_step_with_its_cost(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])

    detail = await session_detail(connection, uuid.UUID(SESSION))
    assert detail is not None
    (root,) = detail.tasks

    assert len(root.children) == 4
    assert all(child.task.status == "complete" for child in root.children)
    assert max(child.task.retry_count or 0 for child in root.children) == 1
    costs = sum(event.body.cost_nanodollars for event in events if isinstance(event.body, ModelCallCompleted))
    assert total(root) == costs


def total(node: TaskNode) -> int:
    """Return the cost of a task's steps and of those below it."""
    return node.cost_nanodollars + sum(total(child) for child in node.children)


def flattened(node: Node) -> list[Node]:
    """Return a tree's nodes."""
    return [node, *(one for child in node.children for one in flattened(child))]
