"""What was spent on what, added up from the charges of a log."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.budgets import BudgetCharged
from schemas.events.models import ModelCallRequested
from schemas.events.tools import ToolCallRequested
from sinks.costs import By, Cost, costs
from sinks.writer import Writer
from tests.sinks.conftest import rows
from tests.sinks.test_whole_session import writer
from tests.sinks.whole_session import projected, whole_session, write

__all__ = ["writer"]

pytestmark = pytest.mark.stack

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CHARGE = """
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, evidence_ids,
                           occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    VALUES (gen_random_uuid(), 'budget.events', 0, %(offset)s, %(session)s, %(type)s, 1, '{}', %(at)s, %(at)s,
            %(tenant)s, %(user)s, 'session', '{}', %(body)s)
"""
SESSION, OTHER, TASK = uuid.UUID(int=1), uuid.UUID(int=2), str(uuid.UUID(int=9))
Spent = dict[str, tuple[int, int, int]]


class Ledger:
    """Writes charges one after the other."""

    def __init__(self, connection: AsyncConnection[TupleRow]) -> None:
        self._connection = connection
        self._written = 0

    async def charge(
        self,
        callee: str,
        tokens: int,
        nanodollars: int,
        *,
        session: uuid.UUID = SESSION,
        at: datetime = NOON,
        tenant: str = "acme",
        user: str = "ann",
        kind: str = "BudgetCharged",
    ) -> None:
        self._written += 1
        body = {
            "model": callee,
            "tokens": tokens,
            "nanodollars": nanodollars,
            "task_id": str(uuid.UUID(int=9)),
        }
        given = {"offset": self._written, "session": session, "type": kind, "at": at}
        await self._connection.execute(
            CHARGE, given | {"tenant": tenant, "user": user, "body": json.dumps(body)}
        )


@pytest.fixture
async def ledger(connection: AsyncConnection[TupleRow]) -> Ledger:
    """Charges of two users of a tenant on two days, and of another tenant."""
    one = Ledger(connection)
    await one.charge("gpt-4o", 100, 5_000)
    await one.charge("gpt-4o", 50, 2_000, at=NOON - timedelta(days=1))
    await one.charge("gpt-4o-mini", 900, 1_000, session=OTHER, user="bob")
    await one.charge("tool:analyze", 30, 10)
    await one.charge("gpt-4o", 7_777, 7_777, kind="BudgetReserved")
    await one.charge("gpt-4o", 1_000_000, 1_000_000, tenant="other")
    return one


async def summed(
    connection: AsyncConnection[TupleRow],
    by: By,
    *,
    user: str | None = None,
    tenant: str = "acme",
    limit: int = 9,
) -> list[tuple[str, int, int, int]]:
    since, until = NOON - timedelta(days=3), NOON + timedelta(days=1)
    found = await costs(connection, by, tenant=tenant, user=user, since=since, until=until, limit=limit)
    return [(one.what, one.calls, one.tokens, one.nanodollars) for one in found]


async def test_charges_are_summed_up_by_what_is_asked(
    ledger: Ledger, connection: AsyncConnection[TupleRow]
) -> None:
    assert await summed(connection, By.MODEL) == [
        ("gpt-4o", 2, 150, 7_000),
        ("gpt-4o-mini", 1, 900, 1_000),
        ("tool:analyze", 1, 30, 10),
    ]
    assert await summed(connection, By.TOOL) == [("analyze", 1, 30, 10)]
    assert await summed(connection, By.DAY) == [("2026-03-02", 3, 1_030, 6_010), ("2026-03-01", 1, 50, 2_000)]
    assert await summed(connection, By.SESSION) == [
        (str(SESSION), 3, 180, 7_010),
        (str(OTHER), 1, 900, 1_000),
    ]
    assert await summed(connection, By.AGENT) == [("", 4, 1_080, 8_010)]


async def test_nobody_is_told_what_others_were_charged(
    ledger: Ledger, connection: AsyncConnection[TupleRow]
) -> None:
    assert await summed(connection, By.MODEL, user="bob") == [("gpt-4o-mini", 1, 900, 1_000)]
    assert await summed(connection, By.MODEL, user="nobody") == []
    assert await summed(connection, By.MODEL, tenant="third") == []
    assert await summed(connection, By.DAY, tenant="other") == [("2026-03-02", 1, 1_000_000, 1_000_000)]


async def test_a_time_has_its_beginning_and_not_its_end(
    ledger: Ledger, connection: AsyncConnection[TupleRow]
) -> None:
    async def charges(since: datetime, until: datetime) -> int:
        found = await costs(connection, By.DAY, tenant="acme", since=since, until=until)
        return sum(one.calls for one in found)

    day = timedelta(days=1)
    assert await charges(NOON - day, NOON) == 1
    assert await charges(NOON, NOON + day) == 3
    assert await charges(NOON + day, NOON) == 0


async def test_the_largest_are_told_first(ledger: Ledger, connection: AsyncConnection[TupleRow]) -> None:
    assert await summed(connection, By.SESSION, limit=1) == [(str(SESSION), 3, 180, 7_010)]


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

    for by in set(By) - {By.TOOL, By.TOKEN}:
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
    assert await costs(connection, By.TOKEN) == []
