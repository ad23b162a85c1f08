"""What Postgres tells of schedules, and which ends of what they began it sees."""

import time
import uuid
from collections.abc import AsyncIterator

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.outputs import (
    AnswerGiven,
    AnswerReason,
    EndReason,
    ErrorCode,
    ErrorReported,
    SessionEnded,
)
from schemas.events.schedules import (
    FiringEnded,
    FiringOutcome,
    FiringSeen,
    FiringsSkipped,
    ScheduleFired,
    SchedulePlan,
    ScheduleStatus,
    ScheduleStood,
    SkipReason,
)
from schemas.frozen import replace
from schemas.ids import derived_id
from sinks.schedules import ended_firings, latest_of, schedule_of, schedules_of
from streams.shells.firings import FiringWatch
from tests.projections.envelopes import event
from tests.sinks.test_imports import write
from tests.streams.twin import CODEC, Kafka, TwinLog
from topics.catalog import SCHEDULE_INPUTS

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
SCHEDULE = derived_id("schedule")
FIRING = derived_id("firing")
SESSION = derived_id("said")
NOW_MS = 1_790_000_000_000
PLAN = SchedulePlan(name="daily", text="Say yes.", cron="0 7 * * *", zone="Europe/Berlin")
ANSWER = AnswerGiven(
    turn=1,
    input_id=FIRING,
    task_id=derived_id("task"),
    text="Yes.",
    citations=(),
    complete=True,
    reason=AnswerReason.ANSWERED,
    tokens=1,
    cost_nanodollars=1,
    model="m",
    local=True,
)


def told(fact: Fact, number: int, **more: object) -> Envelope:
    """Return an event of the schedule, or of the session, so many seconds later."""
    session = (
        SESSION if isinstance(fact, AnswerGiven | ErrorReported | SessionEnded | RecordRejected) else SCHEDULE
    )
    fields = {"session_id": session, "occurred_at_ms": NOW_MS + number * 1_000, **more}
    return event(fact, number, **fields)


def fired(number: int = 2, firing: str = FIRING) -> Envelope:
    """Return what tells that something began in the session."""
    fact = ScheduleFired(
        firing_id=firing,
        due_at_ms=NOW_MS + number * 1_000,
        target_session_id=SESSION,
        missed=False,
        next_at_ms=NOW_MS + 60_000,
    )
    return told(fact, number)


def stood(status: ScheduleStatus = ScheduleStatus.ACTIVE, number: int = 1) -> Envelope:
    """Return what tells how the schedule stands."""
    next_at_ms = NOW_MS + 2_000 if status is ScheduleStatus.ACTIVE else None
    return told(ScheduleStood(plan=PLAN, status=status, next_at_ms=next_at_ms, by="olga"), number)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[AsyncConnectionPool[AsyncConnection]]:
    """Connections to the test's database."""
    async with AsyncConnectionPool[AsyncConnection](dsn, min_size=1, open=False) as pool:
        yield pool


async def test_it_tells_how_a_schedule_stands_and_what_became_of_its_times(
    dsn: str, connection: Connection
) -> None:
    skipped = FiringsSkipped(
        reason=SkipReason.MISSED,
        first_due_at_ms=NOW_MS + 3_000,
        last_due_at_ms=NOW_MS + 5_000,
        count=3,
        next_at_ms=NOW_MS + 90_000,
    )
    ended = FiringEnded(
        firing_id=FIRING, due_at_ms=NOW_MS + 2_000, outcome=FiringOutcome.FAILED, detail="why"
    )
    await write(dsn, [stood(), fired(), told(ended, 4), told(skipped, 6)])

    (one,) = await schedules_of(connection, "acme")
    latest = await latest_of(connection, one.id, 10)

    assert (one.name, one.cron, one.zone, one.status, one.fired, one.skipped) == (
        "daily",
        "0 7 * * *",
        "Europe/Berlin",
        "active",
        1,
        3,
    )
    assert one.wanted == PLAN
    assert one.next_at is not None
    assert one.next_at.timestamp() * 1_000 == NOW_MS + 90_000
    assert (one.last_outcome, one.last_outcomes) == ("failed", ["failed"])
    assert [(row.outcome, row.detail, row.count) for row in latest] == [
        ("skipped", "missed", 3),
        ("failed", "why", 1),
    ]
    for owner in (("acme", "bob"), ("other", None)):
        assert await schedules_of(connection, *owner) == []
        assert await schedule_of(connection, one.id, *owner) is None
    await write(dsn, [stood(ScheduleStatus.DELETED, 9)], 100)
    assert await schedules_of(connection, "acme") == []
    (deleted,) = await schedules_of(connection, "acme", deleted=True)
    assert (deleted.status, deleted.next_at, deleted.created_by) == ("deleted", None, "olga")


@pytest.mark.parametrize(
    ("end", "outcome", "detail"),
    [
        (told(ANSWER, 5, correlation_id=FIRING), FiringOutcome.ANSWERED, ""),
        (
            told(replace(ANSWER, complete=False), 5, correlation_id=FIRING),
            FiringOutcome.INCOMPLETE,
            "answered",
        ),
        (
            told(
                ErrorReported(code=ErrorCode.QUEUE_FULL, message="it is full", input_id=FIRING),
                5,
                causation_id=FIRING,
            ),
            FiringOutcome.FAILED,
            "it is full",
        ),
        (
            told(
                RecordRejected(
                    topic="user.inputs",
                    partition=0,
                    offset=0,
                    key=None,
                    value=None,
                    headers=(),
                    code=RejectionCode.NOT_OWNER,
                    reason="it is another's",
                    shell="session",
                ),
                5,
                causation_id=FIRING,
            ),
            FiringOutcome.REFUSED,
            "it is another's",
        ),
        (
            told(SessionEnded(reason=EndReason.CANCELLED, turns=0, tokens=0, cost_nanodollars=0), 5),
            FiringOutcome.ENDED,
            "cancelled",
        ),
    ],
    ids=lambda value: value if isinstance(value, FiringOutcome) else "",
)
async def test_each_end_is_seen_and_told_once(
    dsn: str,
    pool: AsyncConnectionPool[AsyncConnection],
    end: Envelope,
    outcome: FiringOutcome,
    detail: str,
) -> None:
    kafka = Kafka()
    clock_ms = NOW_MS
    watch = FiringWatch(_Owner(), TwinLog(kafka), CODEC, pool, lambda: clock_ms)
    # Postgres looks at what began lately by its own clock.
    await write(dsn, [stood(), _lately(fired())])
    assert await watch.look() == 0

    await write(dsn, [_lately(end)], 100)

    assert [await watch.look(), await watch.look()] == [1, 0]
    (one,) = kafka.events(SCHEDULE_INPUTS)
    assert one.body == FiringSeen(firing_id=FIRING, outcome=outcome, detail=detail)
    assert (one.session_id, one.tenant_id, one.user_id) == (SCHEDULE, "acme", "ann")
    clock_ms += 61_000
    assert await watch.look() == 1
    assert {told_of.event_id for told_of in kafka.events(SCHEDULE_INPUTS)} == {one.event_id}
    ended = FiringEnded(firing_id=FIRING, due_at_ms=NOW_MS, outcome=outcome, detail=detail)
    await write(dsn, [told(ended, 8)], 200)
    clock_ms += 61_000
    assert await watch.look() == 0


async def test_what_others_say_of_it_ends_nothing(dsn: str, connection: Connection) -> None:
    letter = RecordRejected(
        topic="user.inputs",
        partition=0,
        offset=0,
        key=None,
        value=None,
        headers=(),
        code=RejectionCode.INVALID_INPUT,
        reason="text is empty",
        shell="ingress",
    )
    forged = [
        told(letter, 5, causation_id=FIRING, tenant_id="other"),
        told(letter, 6, causation_id=FIRING, session_id=str(uuid.uuid4())),
        told(ANSWER, 7, correlation_id=FIRING, session_id=str(uuid.uuid4())),
        told(replace(ANSWER, input_id=str(uuid.uuid4())), 8, correlation_id=FIRING),
    ]

    await write(dsn, [stood(), _lately(fired()), *map(_lately, forged)])

    assert await ended_firings(connection, 10) == []


def _lately(one: Envelope) -> Envelope:
    """Let an event have happened some minutes ago, and not when tests' events do."""
    ago_ms = 600_000 - (one.occurred_at_ms - NOW_MS)
    return replace(one, occurred_at_ms=time.time_ns() // 1_000_000 - ago_ms)


class _Owner:
    def is_owner(self) -> bool:
        return True
