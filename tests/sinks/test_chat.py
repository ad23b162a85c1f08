"""The chat of a session in Postgres: who said what, and what it cost, whatever became of the turns."""

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.events.inputs import SessionCancelled
from schemas.events.models import ModelCallCompleted, ModelCallRequested
from schemas.ids import derived_id
from sinks.migrator import migrate, migrations
from sinks.writer import Writer
from tests.processors.world import ModelOutcome, World, failed, obliging, small
from tests.sinks.conftest import rows
from tests.sinks.test_whole_session import writer
from tests.sinks.whole_session import PLAN, projected, write

__all__ = ["writer"]

pytestmark = pytest.mark.stack

SUMS = (
    "SELECT (SELECT sum(cost_tokens) FROM conversation_messages), tokens_used FROM session_summaries "
    "WHERE tokens_used > 0"
)
CHAT = "SELECT role, content, cost_tokens, metadata::text FROM conversation_messages ORDER BY id::text"


def told(world: World) -> list[Envelope]:
    """Return all inputs and events of a session."""
    return [*(event for event, _ in world.inputs), *world.events]


def three_turns() -> World:
    """Two that are answered, and one that is cut off in the middle, with bills that come late."""
    world = World(obliging(PLAN, tools=["look", "analyze"]))
    world.say("one")
    world.run()
    world.now_ms += 1_000
    world.say("two")
    world.run()
    world.now_ms += 1_000
    world.say("three")
    for _ in range(3):
        world.reply(world.open_calls.pop(0))
    world.post(SessionCancelled(reason="enough"))
    return world.run()


async def test_the_chat_has_one_row_a_message_and_one_an_answer(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    await write(writer, [await projected(told(three_turns()))])

    said = await rows(
        connection, "SELECT role, graph_node FROM conversation_messages ORDER BY created_at, role DESC"
    )

    assert said == [*[("user", "intake"), ("assistant", "answer")] * 2, ("user", "intake")]


async def test_the_costs_of_the_chat_are_what_was_used_also_of_what_was_cut_off(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    world = three_turns()
    await write(writer, [await projected(told(world))])

    assert await rows(connection, SUMS) == [(world.state.budget.tokens_used, world.state.budget.tokens_used)]
    costs = await rows(
        connection,
        "SELECT content, cost_tokens > 0 FROM conversation_messages WHERE role = 'user' ORDER BY created_at",
    )
    assert costs == [("one", False), ("two", False), ("three", True)]


async def test_what_models_and_tools_said_is_in_a_view_with_what_each_cost(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    world = three_turns()
    await write(writer, [await projected(told(world))])

    by_role = await rows(connection, "SELECT role, count(*) FROM conversation_steps GROUP BY 1 ORDER BY 1")
    used = await rows(connection, "SELECT sum(cost_tokens)::bigint FROM conversation_steps")

    assert {role for role, _ in by_role} == {"assistant", "tool", "user"}
    assert ("user", 3) in by_role
    assert used == [(world.state.budget.tokens_used,)]


async def test_a_step_that_failed_and_may_have_been_billed_stands_with_what_was_charged_for_it(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    answering = obliging(PLAN, tools=["look"])
    kinds = ["timeout", "provider_error", "rate_limited"]

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and kinds:
            kind = kinds.pop()
            return failed(call, kind, maybe_billed=kind != "rate_limited")
        return answering(call)

    world = World(answer, limits=small(retry_delay_ms=10))
    world.say("one")
    world.run()
    # A second outcome of a call is put aside, and costs nothing.
    first = next(event for event, _ in world.inputs if isinstance(event.body, ModelCallCompleted))
    world.post(first.body, input_id=derived_id(first.event_id, "again"), causation_id=first.causation_id)
    await write(writer, [await projected(told(world))])

    told_of = await rows(
        connection,
        "SELECT content, cost_basis, cost_tokens > 0 FROM conversation_steps WHERE type = 'ModelCallFailed' "
        "ORDER BY 1",
    )
    used = await rows(
        connection, "SELECT sum(cost_tokens)::bigint, sum(cost_nanodollars)::bigint FROM conversation_steps"
    )

    assert told_of == [
        ("it was provider_error", "reservation", True),
        ("it was rate_limited", "usage", False),
        ("it was timeout", "reservation", True),
    ]
    assert used == [(world.state.budget.tokens_used, world.state.budget.nanodollars_used)]


async def test_a_database_from_before_gets_the_same_chat_and_keeps_the_rows_of_others(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        # A writer says by which projections it wrote, wherever it writes, and wants all of its tables.
        later = {step.name: step for step in migrations()}
        await migrate(connection, (*migrations()[:10], later["projections"]))
        await connection.execute(later["schedules"].sql.partition("ALTER TABLE")[0].encode())
        writer = await Writer.connect(empty_dsn, "test")
        await write(writer, [await projected(told(three_turns()))])
        await writer.close()
        of_another = (
            "INSERT INTO conversation_messages (session_id, role, content, cost_tokens) "
            "SELECT id, 'assistant', 'of V1', 3 FROM sessions"
        )
        await connection.execute(of_another)
        right = await rows(connection, CHAT)
        # As it was written before: what models and tools said as well, and a message's own tokens as cost.
        await connection.execute(
            """
            INSERT INTO conversation_messages (session_id, role, content, cost_tokens, metadata)
            SELECT session_id, CASE topic WHEN 'tool.results' THEN 'tool' ELSE 'assistant' END, 'x', 7,
                   jsonb_build_object('event_id', event_id, 'call_id', body ->> 'call_id')
            FROM event_log WHERE topic IN ('model.results', 'tool.results')
            """
        )
        await connection.execute("UPDATE conversation_messages SET cost_tokens = 5 WHERE role = 'user'")
        before = await rows(connection, CHAT)

        await migrate(connection)

        assert len(before) > len(right)
        assert await rows(connection, CHAT) == right
