"""Which tool calls somebody has to find out about, on a real Postgres; nothing of others."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Fact
from schemas.events.inputs import OutcomeTold
from schemas.events.outputs import ApprovalClosed, ApprovalEnd, ApprovalRequested, OutcomeAsked
from schemas.events.tasks import TaskAborted
from schemas.frozen import replace
from sinks.open_outcomes import open_questions, question_of
from streams.gateway.announcing import APPROVAL, ASKED_WITHIN, OUTCOME, asked_now
from tests.projections.envelopes import CALL, NOON_MS, SESSION, TASK, event
from tests.sinks.story import Log
from topics.catalog import SESSION_INPUTS

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
NOW = datetime.fromtimestamp(NOON_MS / 1_000, UTC)
LATER = datetime.fromtimestamp(NOON_MS / 1_000 + 3_601, UTC)
FIRST, SECOND = (str(uuid.UUID(int=number)) for number in (51, 52))


def asked(call_id: str, task_id: str = TASK) -> OutcomeAsked:
    return OutcomeAsked(
        call_id=call_id,
        task_id=task_id,
        agent="clerk",
        tool="mail__send",
        arguments_json='{"to": "ann"}',
        idempotency_key=call_id,
        kind="unknown",
        message="its answer was lost",
        expires_at_ms=NOON_MS + 3_600_000,
    )


async def add(log: Log, fact: Fact, number: int, tenant: str = "acme") -> None:
    topic = SESSION_INPUTS if isinstance(fact, OutcomeTold) else None
    sequence = 0 if topic else number
    await log.add(replace(event(fact, number), tenant_id=tenant, user_id="olga", sequence=sequence), topic)


async def test_what_nobody_told_of_yet_is_listed_for_its_tenant_alone(
    log: Log, connection: Connection
) -> None:
    await add(log, asked(FIRST), 61)
    await add(log, asked(SECOND), 62)

    async def listed(tenant: str | None, user: str | None, now: datetime = NOW) -> list[str]:
        found = await open_questions(connection, tenant=tenant, user=user, limit=10, now=now)
        return [one.asked.call_id for one in found]

    assert await listed("acme", None) == [FIRST, SECOND]
    assert await listed("acme", "olga") == [FIRST, SECOND]
    assert await listed("acme", "bob") == await listed("rival", None) == []
    assert await listed("acme", None, LATER) == []

    # A rival's word counts for nothing, and is refused by the session.
    await add(log, OutcomeTold(call_id=FIRST, carried_out=False), 71, "rival")
    assert await listed("acme", None) == [FIRST, SECOND]
    await add(log, OutcomeTold(call_id=FIRST, carried_out=True), 72, "*")
    assert await listed("acme", None) == [SECOND]


async def test_a_question_tells_what_became_of_it(log: Log, connection: Connection) -> None:
    session = uuid.UUID(SESSION)
    await add(log, asked(FIRST), 61)
    await add(log, asked(SECOND, str(uuid.UUID(int=99))), 62)

    async def status(call_id: str, now: datetime = NOW) -> str:
        found = await question_of(connection, session, call_id, now)
        assert found is not None
        return found.status

    assert (await status(FIRST), await status(FIRST, LATER)) == ("waiting", "expired")
    await add(log, TaskAborted(task_id=TASK, reason="cancelled", actual_tokens=0, cost_nanodollars=0), 63)
    assert (await status(FIRST), await status(SECOND)) == ("withdrawn", "waiting")

    await add(log, OutcomeTold(call_id=SECOND, carried_out=False), 71)
    await add(log, OutcomeTold(call_id=SECOND, carried_out=True), 72)
    found = await question_of(connection, session, SECOND, LATER)
    assert found is not None
    assert (found.status, found.carried_out, found.told_by) == ("told", False, "olga")
    assert found.told_event_id == str(event(asked(SECOND), 71).event_id)
    assert await question_of(connection, session, str(uuid.UUID(int=53)), NOW) is None
    assert await question_of(connection, uuid.uuid4(), SECOND, NOW) is None


async def test_gateways_announce_what_is_open_of_either_kind(log: Log, connection: Connection) -> None:
    await add(log, asked(FIRST), 61)
    await add(log, approval(SECOND), 62)
    await add(log, replace(approval(CALL), digest=""), 63)

    found = await asked_now(connection, NOW)
    assert [(one.kind, one.id, one.tenant_id, one.tool) for one in found] == [
        (APPROVAL, SECOND, "acme", "mail__send"),
        (OUTCOME, FIRST, "acme", "mail__send"),
    ]
    assert await asked_now(connection, LATER) == []
    await add(log, replace(approval(CALL), expires_at_ms=NOON_MS * 2), 65)
    month = NOW + ASKED_WITHIN
    assert [one.id for one in await asked_now(connection, month)] == [CALL]
    assert await asked_now(connection, month + timedelta(minutes=2)) == []

    closed = ApprovalClosed(approval_id=SECOND, call_id=CALL, end=ApprovalEnd.REFUSED, approver="olga")
    await add(log, closed, 64)
    assert [one.id for one in await asked_now(connection, NOW)] == [CALL, FIRST]


def approval(approval_id: str) -> ApprovalRequested:
    return ApprovalRequested(
        approval_id=approval_id,
        call_id=CALL,
        task_id=TASK,
        agent="clerk",
        tool="mail__send",
        arguments_json="{}",
        arguments_sha256="",
        reason="it leaves the house",
        expires_at_ms=NOON_MS + 3_600_000,
        digest="0" * 64,
    )
