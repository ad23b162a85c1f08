"""What was spent on what, added up from the charges of a log."""

from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.budgets import BudgetCharged
from schemas.events.models import ModelCallCompleted, ModelCallRequested
from schemas.events.tools import ToolCallRequested
from sinks.costs import By, Cost, costs
from sinks.routed import routed
from sinks.writer import Writer
from tests.sinks.conftest import rows
from tests.sinks.test_whole_session import writer
from tests.sinks.whole_session import projected, whole_session, write

__all__ = ["writer"]

pytestmark = pytest.mark.stack

Spent = dict[str | None, tuple[int, int, int]]


def spent(found: list[Cost]) -> Spent:
    return {one.what: (one.calls, one.tokens, one.nanodollars) for one in found}


async def test_every_way_of_adding_up_gives_what_the_session_used(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])
    ((used, nanodollars),) = await rows(
        connection, "SELECT sum(tokens), sum(nanodollars) FROM budget_entries WHERE account = 'used'"
    )

    for by in By:
        found = await costs(connection, by)
        assert sum(one.tokens for one in found) == used > 0, by
        assert sum(one.nanodollars for one in found) == nanodollars > 0, by
        assert [one.nanodollars for one in found] == sorted((o.nanodollars for o in found), reverse=True), by


async def test_agents_are_those_that_asked(writer: Writer, connection: AsyncConnection[TupleRow]) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])
    asked = {
        event.body.call_id: event.body.agent
        for event in events
        if isinstance(event.body, ModelCallRequested | ToolCallRequested)
    }
    expected: Spent = {}
    for event in events:
        if isinstance(event.body, BudgetCharged):
            agent = asked[event.body.reservation_id]
            calls, tokens, nanodollars = expected.get(agent, (0, 0, 0))
            more = event.body
            expected[agent] = (calls + 1, tokens + more.tokens, nanodollars + more.nanodollars)

    found = spent(await costs(connection, By.AGENT))

    assert found == expected
    assert found.keys() > {"planner", "synthesizer"}


async def test_what_is_asked_of_others_is_nothing(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])
    told = events[-1]

    whole = await costs(connection, By.MODEL)
    assert await costs(connection, By.MODEL, tenant=told.tenant_id, user=told.user_id) == whole
    assert await costs(connection, By.MODEL, tenant="another") == []
    assert await costs(connection, By.MODEL, user="another") == []
    assert await costs(connection, By.MODEL, since=datetime.now(UTC) + timedelta(days=1)) == []
    assert len(await costs(connection, By.AGENT, limit=1)) == 1
    assert list(spent(await costs(connection, By.TOKEN))) == [None]


async def test_routed_calls_are_told_by_agent_model_and_reason(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await write(writer, [await projected(events)])
    asked = {one.body.call_id: one.body for one in events if isinstance(one.body, ModelCallRequested)}
    expected: dict[tuple[str, str, str], tuple[int, int, int, int]] = {}
    for one in events:
        if isinstance(one.body, ModelCallCompleted):
            call, said = asked[one.body.call_id], one.body
            key = (call.agent, call.model, call.routing[-1].cause.value)
            known = expected.get(key, (0, 0, 0, 0))
            more = (1, said.input_tokens, said.output_tokens, said.cost_nanodollars)
            expected[key] = (known[0] + more[0], known[1] + more[1], known[2] + more[2], known[3] + more[3])

    found = await routed(connection, tenant=events[0].tenant_id, user=events[0].user_id)

    assert {
        (one.agent, one.model, one.cause): (one.calls, one.input_tokens, one.output_tokens, one.nanodollars)
        for one in found
    } == expected
    assert len(expected) > 3
    assert await routed(connection, tenant="rival") == []
    assert await routed(connection, user="nobody") == []
    assert await routed(connection, since=datetime.now(UTC) + timedelta(days=40_000)) == []
