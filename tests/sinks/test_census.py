"""What waits and what is nearly used up, as a sink tells it of a real Postgres."""

import asyncio
import contextlib
import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Fact
from schemas.events.access import BudgetPeriod, Scope, TokenBudget, TokenCreated, TokenRevoked
from schemas.events.budgets import BudgetCharged, ChargeBasis
from schemas.events.client_calls import ClientCallReceived
from schemas.events.outputs import ApprovalClosed, ApprovalEnd, ApprovalRequested, OutcomeAsked
from sinks.census import APPLICATION, CENSUS_METRICS, IMPORTED, SHARES, Census
from sinks.imports import Progress, keep
from tests.projections.envelopes import CALL, TASK, event, event_id
from tests.sinks.running import until
from tests.sinks.story import Log

pytestmark = pytest.mark.stack
NOW_MS = round(datetime.now(UTC).timestamp() * 1_000)
DAY_MS = 86_400_000


class Told:
    """A census, and what a scrape of it shows."""

    def __init__(self, every_s: float = 15.0) -> None:
        self.registry = CollectorRegistry()
        self.census = Census(self.registry, every_s)

    def value(self, name: str, **labels: str) -> float:
        found = self.registry.get_sample_value(name, labels)
        assert found is not None, f"{name} is not told"
        return found

    def of(self, name: str, label: str, values: tuple[str, ...]) -> dict[str, float]:
        return {value: self.value(name, **{label: value}) for value in values}


async def add(log: Log, fact: Fact, number: int, *, session: str | None = None, at_ms: int = NOW_MS) -> None:
    one = replace(event(fact, number), sequence=number, occurred_at_ms=at_ms)
    await log.add(one if session is None else replace(one, session_id=session))


def approval(number: int, digest: str = "d" * 64) -> ApprovalRequested:
    return ApprovalRequested(
        approval_id=event_id(number),
        call_id=CALL,
        task_id=TASK,
        agent="clerk",
        tool="mail__send",
        arguments_json="{}",
        arguments_sha256="",
        reason="it sends mail",
        expires_at_ms=NOW_MS + DAY_MS,
        digest=digest,
    )


def token(number: int, budget: TokenBudget | None) -> TokenCreated:
    return TokenCreated(
        token_id=event_id(number),
        secret_sha256="0" * 64,
        name="a test",
        scopes=(Scope.SEND,),
        tenant="acme",
        budget=budget,
    )


async def spend(log: Log, token_number: int, number: int, tokens: int, at_ms: int = NOW_MS) -> None:
    """Have a client of a token call a model, in a session of its own."""
    session = event_id(7_000 + number)
    call = ClientCallReceived(
        token_id=event_id(token_number),
        route="chat.completions",
        model="gpt-4o",
        messages=(),
        prompt_tokens=1,
        body_sha256="",
    )
    await add(log, call, number, session=session, at_ms=at_ms)
    charge = BudgetCharged(
        reservation_id=CALL,
        task_id=TASK,
        model="gpt-4o",
        tokens=tokens,
        nanodollars=1,
        tokens_released=0,
        nanodollars_released=0,
        basis=ChargeBasis.USAGE,
        session_tokens_left=0,
        session_nanodollars_left=0,
        task_tokens_left=0,
    )
    await add(log, charge, number + 1, session=session, at_ms=at_ms)


async def test_requests_that_wait_are_counted_until_they_are_closed(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    for number, age_ms in ((21, 3_600_000), (22, 60_000), (23, 40 * DAY_MS)):
        await add(log, approval(number), number, at_ms=NOW_MS - age_ms)
    # Nobody can decide it any more: it is of before decisions were signed.
    await add(log, approval(25, digest=""), 25)
    asked = OutcomeAsked(
        call_id=CALL,
        task_id=event_id(99),
        agent="clerk",
        tool="mail__send",
        arguments_json="{}",
        idempotency_key="k",
        kind="unknown",
        message="lost",
        expires_at_ms=NOW_MS + DAY_MS,
    )
    await add(log, asked, 24)
    told = Told()

    await told.census.look(connection)
    before = told.value("cartrita_approvals_waiting"), told.value("cartrita_outcomes_waiting")
    oldest_s = told.value("cartrita_approvals_oldest_seconds")
    closed = ApprovalClosed(approval_id=event_id(21), call_id=CALL, end=ApprovalEnd.REFUSED)
    await add(log, closed, 30)
    await told.census.look(connection)

    assert before == (2, 1), "what was asked 40 days ago is looked at no more"
    assert oldest_s >= 3_600
    assert told.value("cartrita_approvals_waiting") == 1
    assert told.value("cartrita_approvals_oldest_seconds") < oldest_s


async def test_tokens_are_counted_by_how_much_of_their_budget_is_used_now(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    of_day = TokenBudget(tokens=100, period=BudgetPeriod.DAY)
    budgets = {
        31: of_day,
        32: of_day,
        33: TokenBudget(tokens=100, period=BudgetPeriod.EVER),
        34: TokenBudget(nanodollars=1, period=BudgetPeriod.MONTH),
        35: None,
        36: of_day,
    }
    for number, budget in budgets.items():
        await add(log, token(number, budget), number)
    await add(log, TokenRevoked(token_id=event_id(36)), 40)
    # At whatever time the test runs, this is not before the day and the month that then are.
    await spend(log, 31, 50, 60, NOW_MS + 2 * DAY_MS)
    # Of an earlier day, so that nothing of this one's is used; of one that counts for ever, it is.
    await spend(log, 32, 60, 90, NOW_MS - 2 * DAY_MS)
    await spend(log, 33, 70, 90, NOW_MS - 2 * DAY_MS)
    await spend(log, 34, 80, 5, NOW_MS + 40 * DAY_MS)
    told = Told()

    await told.census.look(connection)

    assert told.of("cartrita_token_budgets", "used", SHARES) == {
        "under_half": 1,
        "half": 1,
        "four_fifths": 1,
        "all": 1,
    }


async def test_imports_are_told_of_all_sources_together(
    dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    first = Progress(origin="a", tenant_id="acme", passes=1, counts={"messages": 7, "bad": 1})
    second = Progress(
        origin="b", tenant_id="acme", began_at=datetime.now(UTC), counts={"messages": 3, "sessions": 2}
    )
    await keep(connection, first)
    await keep(connection, second)
    told = Told()

    await told.census.look(connection)

    assert told.value("cartrita_imports_running") == 1
    found = told.of("cartrita_imported", "what", IMPORTED)
    assert {name: value for name, value in found.items() if value} == {
        "messages": 10,
        "sessions": 2,
        "bad": 1,
    }


async def test_where_postgres_goes_away_nothing_is_claimed_and_then_it_is_looked_again(
    dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    told = Told(every_s=0.05)
    assert {one.name for one in CENSUS_METRICS} >= {"cartrita_approvals_waiting"}
    keeping = asyncio.create_task(told.census.keep(dsn))

    async def is_known() -> bool:
        return not math.isnan(told.value("cartrita_approvals_waiting"))

    async def is_unknown() -> bool:
        return not await is_known()

    try:
        assert await is_unknown()
        await until(is_known)
        await connection.execute("ALTER TABLE imports RENAME TO elsewhere")
        await until(is_unknown)
        await connection.execute("ALTER TABLE elsewhere RENAME TO imports")
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s",
            [APPLICATION],
        )
        await until(is_known)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
