"""How calls were decided and what they cost, on a real Postgres: each decision of a stretch, once."""

import uuid
from datetime import UTC, datetime

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.budgets import BudgetCharged, ChargeBasis
from schemas.events.policies import Decision, PolicyDecided
from schemas.frozen import replace
from sinks.policy_log import Stretch, Usage, charged, decisions, usage_by_model
from tests.projections.envelopes import NOON_MS, SESSION, TASK, event, event_id
from tests.sinks.story import SAID, Log, story

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
OTHER_SESSION = str(uuid.UUID(int=77))


def decided(number: int, tool: str = "look") -> PolicyDecided:
    return PolicyDecided(
        decision_id=str(uuid.UUID(int=1_000 + number)),
        call_id=str(uuid.UUID(int=2_000 + number)),
        task_id=TASK,
        agent="worker",
        tool=tool,
        decision=Decision.ALLOW,
        rule="all",
        reason="why not",
        tokens_left_before=9,
        tokens_left_after=8,
        usage_before_json="{}",
        usage_after_json="{}",
        request_json='{"tool":"look"}',
        user_json="{}",
    )


async def found(connection: Connection, stretch: Stretch) -> list[str]:
    told = []
    async for one in decisions(connection, stretch):
        assert isinstance(one.body, PolicyDecided)
        told.append(one.body.call_id)
    return told


async def test_each_decision_about_a_tool_is_told_once_and_in_order(
    log: Log, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.policy_log.ROWS_AT_ONCE", 7)
    for number in range(20):
        await log.add(event(decided(number), number))
    await log.add(event(decided(5_000, tool=""), 5_000))
    await log.add(event(decided(5_001), 5_001, tenant_id="rival", session_id=OTHER_SESSION))

    mine = [decided(number).call_id for number in range(20)]
    assert await found(connection, Stretch()) == [*mine, decided(5_001).call_id]
    assert await found(connection, Stretch(tenant="acme")) == mine
    assert await found(connection, Stretch(session=uuid.UUID(SESSION))) == mine
    third = datetime.fromtimestamp(NOON_MS / 1_000 + 3, UTC)
    assert await found(connection, Stretch(until=third)) == mine[:3]
    assert await found(connection, Stretch(since=third, tenant="acme")) == mine[3:]

    (first, *_) = [one async for one in decisions(connection, Stretch(until=third))]
    assert (first.tenant_id, first.user_id, first.occurred_at_ms) == ("acme", "ann", NOON_MS)


async def test_what_calls_cost_is_added_up_for_those_that_are_asked_for(
    log: Log, connection: Connection
) -> None:
    calls = [(SESSION, decided(number).call_id) for number in range(3)]
    for number, nanodollars in ((0, 5), (0, 7), (1, 0), (2, 9)):
        charge = charge_of(calls[number][1], nanodollars)
        await log.add(event(charge, 100 + nanodollars))
    assert await charged(connection, calls[:2]) == {calls[0][1]: 12}
    assert await charged(connection, []) == {}
    assert await charged(connection, [(OTHER_SESSION, calls[0][1])]) == {}


async def test_answers_are_added_up_by_the_model_that_was_asked_for(log: Log, connection: Connection) -> None:
    told = Usage(model="gpt-4o", calls=1, input_tokens=10, output_tokens=4, nanodollars=65)
    assert await usage_by_model(connection, Stretch(tenant="acme")) == [told]
    assert await usage_by_model(connection, Stretch(tenant="rival")) == []
    said = story()[SAID]
    await log.add(replace(said, event_id=event_id(900), causation_id=None))
    alone = replace(told, model="gpt-4o-2024-08-06")
    assert await usage_by_model(connection, Stretch(session=uuid.UUID(SESSION))) == [told, alone]


def charge_of(call: str, nanodollars: int) -> BudgetCharged:
    return BudgetCharged(
        reservation_id=call,
        task_id=TASK,
        model="tool:look",
        tokens=nanodollars,
        nanodollars=nanodollars,
        tokens_released=0,
        nanodollars_released=0,
        basis=ChargeBasis.USAGE,
        session_tokens_left=0,
        session_nanodollars_left=0,
        task_tokens_left=0,
    )
