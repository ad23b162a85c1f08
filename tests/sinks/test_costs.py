"""What was charged, summed up on a real Postgres."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.costs import By, Spending, spending

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CHARGE = """
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, evidence_ids,
                           occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    VALUES (gen_random_uuid(), 'budget.events', 0, %(offset)s, %(session)s, %(type)s, 1, '{}', %(at)s, %(at)s,
            %(tenant)s, %(user)s, 'session', '{}', %(body)s)
"""
SESSION, OTHER, TASK = uuid.UUID(int=1), uuid.UUID(int=2), str(uuid.UUID(int=9))


class Ledger:
    """Writes charges one after the other."""

    def __init__(self, connection: Connection) -> None:
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
async def ledger(connection: Connection) -> Ledger:
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
    connection: Connection, by: By, *, user: str | None = None, tenant: str = "acme", limit: int = 9
) -> list[tuple[str, int, int, int]]:
    def plain(one: Spending) -> tuple[str, int, int, int]:
        return one.key, one.charges, int(one.tokens), int(one.nanodollars)

    since, until = NOON - timedelta(days=3), NOON + timedelta(days=1)
    found = await spending(connection, tenant, user, by=by, since=since, until=until, limit=limit)
    return [plain(one) for one in found]


async def test_charges_are_summed_up_by_what_is_asked(ledger: Ledger, connection: Connection) -> None:
    assert await summed(connection, By.MODEL) == [("gpt-4o", 2, 150, 7_000), ("gpt-4o-mini", 1, 900, 1_000)]
    assert await summed(connection, By.TOOL) == [("analyze", 1, 30, 10)]
    assert await summed(connection, By.DAY) == [("2026-03-02", 3, 1_030, 6_010), ("2026-03-01", 1, 50, 2_000)]
    assert await summed(connection, By.SESSION) == [
        (str(SESSION), 3, 180, 7_010),
        (str(OTHER), 1, 900, 1_000),
    ]
    assert await summed(connection, By.AGENT) == [("", 4, 1_080, 8_010)]


async def test_nobody_is_told_what_others_were_charged(ledger: Ledger, connection: Connection) -> None:
    assert await summed(connection, By.MODEL, user="bob") == [("gpt-4o-mini", 1, 900, 1_000)]
    assert await summed(connection, By.MODEL, user="nobody") == []
    assert await summed(connection, By.MODEL, tenant="third") == []
    assert await summed(connection, By.DAY, tenant="other") == [("2026-03-02", 1, 1_000_000, 1_000_000)]


async def test_a_time_has_its_beginning_and_not_its_end(ledger: Ledger, connection: Connection) -> None:
    async def charges(since: datetime, until: datetime) -> int:
        found = await spending(connection, "acme", None, by=By.DAY, since=since, until=until, limit=9)
        return sum(one.charges for one in found)

    day = timedelta(days=1)
    assert await charges(NOON - day, NOON) == 1
    assert await charges(NOON, NOON + day) == 3
    assert await charges(NOON + day, NOON) == 0


async def test_the_largest_are_told_first(ledger: Ledger, connection: Connection) -> None:
    assert await summed(connection, By.SESSION, limit=1) == [(str(SESSION), 3, 180, 7_010)]
