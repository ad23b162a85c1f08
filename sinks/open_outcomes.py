"""What the front door asks of Postgres about tool calls that somebody has to find out about."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from schemas.events.outputs import OutcomeAsked
from schemas.plain import from_plain
from sinks.connection import Connection

TASK_ENDS: Final = ("TaskCompleted", "TaskFailed", "TaskPruned", "TaskAborted")
# What an operator of another tenant told did not count, and stands in no session of this one's.
_QUESTIONS: Final = """
    SELECT q.session_id, q.tenant_id, q.user_id, q.occurred_at AS asked_at, q.body,
           t.body AS told, t.user_id AS told_by, t.event_id AS told_event_id,
           EXISTS (
               SELECT FROM event_log e
               WHERE e.session_id = q.session_id AND e.sequence > q.sequence AND e.topic = 'task.events'
                 AND e.type = ANY(%(task_ends)s) AND e.body ->> 'task_id' = q.body ->> 'task_id'
           ) AS over
    FROM event_log q
    LEFT JOIN LATERAL (
        SELECT body, user_id, event_id FROM event_log t
        WHERE t.session_id = q.session_id AND t.topic = 'session.inputs' AND t.type = 'OutcomeTold'
          AND t.tenant_id IN (q.tenant_id, '*') AND t.body ->> 'call_id' = q.body ->> 'call_id'
        ORDER BY t."offset"
        LIMIT 1
    ) t ON true
    WHERE q.type = 'OutcomeAsked' AND q.topic = 'session.outputs'
"""
_OPEN: Final = f"""
    SELECT * FROM ({_QUESTIONS}
      AND (%(since)s::timestamptz IS NULL OR q.occurred_at >= %(since)s)
      AND (%(tenant)s::text IS NULL OR q.tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR q.user_id = %(user)s)
      AND (q.body ->> 'expires_at_ms')::bigint > %(now_ms)s) AS questions
    WHERE told IS NULL AND NOT over
    ORDER BY asked_at, session_id
    LIMIT %(limit)s
"""  # noqa: S608  # texts of ours
_WAITING: Final = f"SELECT count(*) FROM ({_OPEN}) AS waiting"  # noqa: S608  # as above
_ONE: Final = f"""
    {_QUESTIONS}
      AND q.session_id = %(session)s AND q.body ->> 'call_id' = %(call)s
    LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    session_id: UUID
    tenant_id: str
    user_id: str
    asked_at: datetime
    body: Mapping[str, object]
    told: Mapping[str, object] | None
    told_by: str | None
    told_event_id: UUID | None
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is, or was, asked about a call."""

    session_id: str
    tenant_id: str
    user_id: str
    asked_at: datetime
    asked: OutcomeAsked
    status: str
    """waiting, or what became of it: told, expired, or withdrawn with its task."""
    carried_out: bool | None
    """What was told."""
    told_by: str | None
    told_event_id: str | None


async def open_questions(
    connection: Connection,
    *,
    tenant: str | None,
    user: str | None,
    limit: int,
    now: datetime,
    since: datetime | None = None,
) -> list[Question]:
    """Return the questions that wait for a person, the oldest first; None: of every tenant, user or age."""
    asked = _asked(now, since) | {"tenant": tenant, "user": user, "limit": limit}
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(_OPEN, asked)
        return [_question(row, now) for row in await cursor.fetchall()]


async def waiting(connection: Connection, now: datetime, since: datetime) -> int:
    """Return how many questions wait for a person."""
    asked = _asked(now, since) | {"tenant": None, "user": None, "limit": None}
    [(count,)] = await (await connection.execute(_WAITING.encode(), asked)).fetchall()
    return int(count)


def _asked(now: datetime, since: datetime | None) -> dict[str, object]:
    return {"now_ms": round(now.timestamp() * 1_000), "since": since, "task_ends": list(TASK_ENDS)}


async def question_of(
    connection: Connection, session_id: UUID, call_id: str, now: datetime
) -> Question | None:
    """Return the question about a call, open or not; None: nobody was asked about it in that session."""
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        asked = {"session": session_id, "call": call_id, "task_ends": list(TASK_ENDS)}
        await cursor.execute(_ONE, asked)
        row = await cursor.fetchone()
    return None if row is None else _question(row, now)


def _question(row: _Row, now: datetime) -> Question:
    asked = from_plain(OutcomeAsked, row.body)
    status = "waiting"
    if row.told is not None:
        status = "told"
    elif datetime.fromtimestamp(asked.expires_at_ms / 1_000, UTC) <= now:
        status = "expired"
    elif row.over:
        status = "withdrawn"
    return Question(
        session_id=str(row.session_id),
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        asked_at=row.asked_at,
        asked=asked,
        status=status,
        carried_out=None if row.told is None else bool(row.told["carried_out"]),
        told_by=row.told_by,
        told_event_id=None if row.told_event_id is None else str(row.told_event_id),
    )
