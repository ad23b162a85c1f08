"""Schedules as Postgres has them, what each began and left out, and which of it has come to an end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from schemas.events.schedules import SchedulePlan
from schemas.plain import from_plain
from sinks.connection import Connection

LISTED_MAX: Final = 1_000
_SCHEDULES: Final = """
    SELECT s.id, s.tenant_id, s.user_id, s.name, s.message, s.cron, s.zone, s.every_ms, s.at, s.plan,
           s.status, CASE WHEN s.status = 'active' THEN s.next_at END AS next_at, s.created_at, s.created_by,
           s.changed_at, s.changed_by, COALESCE(s.reason, '') AS reason, s.fired, s.skipped,
           newest.due_at AS last_due_at, newest.outcome AS last_outcome, newest.session_id AS last_session_id,
           ARRAY(SELECT COALESCE(f.outcome, 'running') FROM schedule_firings f WHERE f.schedule_id = s.id
                 ORDER BY f.due_at DESC LIMIT 5) AS last_outcomes
    FROM session_schedules s
    LEFT JOIN LATERAL (
        SELECT due_at, COALESCE(outcome, 'running') AS outcome, target_session_id AS session_id
        FROM schedule_firings f WHERE f.schedule_id = s.id ORDER BY due_at DESC LIMIT 1
    ) newest ON TRUE
    WHERE s.tenant_id IS NOT NULL AND s.name IS NOT NULL
      AND (%(tenant)s::text IS NULL OR s.tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR s.user_id = %(user)s)
"""
_COUNT: Final = """
    SELECT count(*) FROM session_schedules
    WHERE tenant_id = %s AND user_id = %s AND status IN ('active', 'paused')
"""
_ORDER: Final = f" ORDER BY s.status = 'deleted', s.created_at DESC, s.id LIMIT {LISTED_MAX}"
# What began, and what did not, which stands on the log alone.
_LATEST: Final = """
    SELECT f.due_at, NULL::timestamptz AS until, COALESCE(f.outcome, 'running') AS outcome,
           COALESCE(f.detail, '') AS detail, f.target_session_id AS session_id, f.id AS message_id,
           f.fired_at AS at, f.missed, 1 AS count
    FROM schedule_firings f WHERE f.schedule_id = %(id)s AND f.due_at IS NOT NULL
    UNION ALL
    SELECT to_timestamp((e.body ->> 'first_due_at_ms')::float8 / 1000),
           to_timestamp((e.body ->> 'last_due_at_ms')::float8 / 1000), 'skipped', e.body ->> 'reason',
           NULL, NULL, e.occurred_at, FALSE, (e.body ->> 'count')::bigint
    FROM event_log e
    WHERE e.session_id = %(id)s AND e.topic = 'schedule.events' AND e.type = 'FiringsSkipped'
    ORDER BY at DESC, due_at DESC LIMIT %(limit)s
"""
# An answer names the message that began its turn; what was refused or put aside names it as its cause.
# Anybody may send a record that names it, so it counts only within the session, and in its owner's name.
_ENDED: Final = """
    SELECT f.id AS firing_id, f.schedule_id, f.tenant_id, f.user_id, told.event_id, told.type, told.detail,
           told.complete, s.status AS session_status
    FROM schedule_firings f
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT e.event_id, e.type, e.body ->> 'reason' AS detail,
                   (e.body ->> 'complete')::boolean AS complete
            FROM event_log e
            WHERE e.correlation_id = f.id AND e.topic = 'session.outputs' AND e.type = 'AnswerGiven'
              AND e.session_id = f.target_session_id AND e.body ->> 'input_id' = f.id::text
            UNION ALL
            SELECT e.event_id, e.type, COALESCE(e.body ->> 'message', e.body ->> 'reason'), NULL
            FROM event_log e
            WHERE e.causation_id = f.id AND e.session_id = f.target_session_id
              AND (e.tenant_id, e.user_id) = (f.tenant_id, f.user_id)
              AND (e.topic = 'session.outputs' AND e.type = 'ErrorReported'
                OR e.topic = 'dead.letters' AND e.type = 'RecordRejected')
        ) one LIMIT 1
    ) told ON TRUE
    LEFT JOIN session_summaries s ON s.id = f.target_session_id AND s.ended_at >= f.fired_at
    WHERE f.outcome IS NULL AND f.fired_at > now() - interval '8 days'
      AND (told.event_id IS NOT NULL OR s.ended_at IS NOT NULL)
    ORDER BY f.fired_at LIMIT %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One schedule."""

    id: UUID
    tenant_id: str
    user_id: str
    name: str
    message: str
    cron: str | None
    zone: str
    every_ms: int | None
    at: datetime | None
    plan: dict[str, object]
    status: str
    next_at: datetime | None
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    reason: str
    fired: int
    skipped: int
    last_due_at: datetime | None
    last_outcome: str | None
    last_session_id: UUID | None
    last_outcomes: list[str]
    """The newest first, at most 5; running: its end was not seen yet."""

    @property
    def wanted(self) -> SchedulePlan:
        """Return all that was wanted."""
        return from_plain(SchedulePlan, self.plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What began at a due time, or that nothing did."""

    due_at: datetime
    until: datetime | None
    """Of what was skipped: the last of those due times."""
    outcome: str
    """running, skipped, or a FiringOutcome."""
    detail: str
    """Why."""
    session_id: UUID | None
    message_id: UUID | None
    at: datetime
    """When it began, or was skipped."""
    missed: bool
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEnd:
    """The end of something that a schedule began."""

    firing_id: UUID
    schedule_id: UUID
    tenant_id: str
    user_id: str
    event_id: UUID | None
    """Of what tells it; None: its session ended."""
    type: str | None
    detail: str | None
    complete: bool | None
    session_status: str | None


async def schedules_of(
    connection: Connection, tenant: str | None = None, user: str | None = None, *, deleted: bool = False
) -> list[Schedule]:
    """Return schedules, the newest first.

    Args:
        connection: to Postgres.
        tenant: whose; None: of all.
        user: whose of the tenant's; None: of all of them.
        deleted: those that were deleted, too.
    """
    query = _SCHEDULES + ("" if deleted else " AND s.status <> 'deleted'") + _ORDER
    async with connection.cursor(row_factory=class_row(Schedule)) as cursor:
        await cursor.execute(query, {"tenant": tenant, "user": user})
        return await cursor.fetchall()


async def schedule_of(
    connection: Connection, schedule_id: UUID, tenant: str | None = None, user: str | None = None
) -> Schedule | None:
    """Return a schedule; None: the sink knows none of that owner."""
    async with connection.cursor(row_factory=class_row(Schedule)) as cursor:
        given = {"tenant": tenant, "user": user, "id": schedule_id}
        await cursor.execute(_SCHEDULES + " AND s.id = %(id)s", given)
        return await cursor.fetchone()


async def count_of(connection: Connection, tenant: str, user: str) -> int:
    """Return how many schedules a user has of which something comes yet."""
    cursor = await connection.execute(_COUNT, [tenant, user])
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def latest_of(connection: Connection, schedule_id: UUID, limit: int) -> list[Firing]:
    """Return what a schedule began and left out, the newest first."""
    async with connection.cursor(row_factory=class_row(Firing)) as cursor:
        await cursor.execute(_LATEST, {"id": schedule_id, "limit": limit})
        return await cursor.fetchall()


async def ended_firings(connection: Connection, limit: int) -> list[SeenEnd]:
    """Return what came to an end and of which no schedule knows yet, the oldest first."""
    async with connection.cursor(row_factory=class_row(SeenEnd)) as cursor:
        await cursor.execute(_ENDED, [limit])
        return await cursor.fetchall()
