"""A whole session, decided by the real decider, in Postgres: rows, books and traces of it."""

import random
import uuid
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.models import ModelCallCompleted
from schemas.events.outputs import AnswerGiven
from schemas.ids import derived_id
from sinks.queries import TaskNode, session_detail
from sinks.trace import Node, trace
from sinks.writer import Projected, Writer
from tests.processors.world import SESSION
from tests.sinks.conftest import rows
from tests.sinks.whole_session import contents, projected, whole_session, write

pytestmark = pytest.mark.stack


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    """A writer on an empty database."""
    one = await Writer.connect(dsn, "test")
    yield one
    await one.close()


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
