"""What the command line and the front door ask of Postgres about requests for approval."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from schemas.events.outputs import ApprovalRequested
from schemas.plain import from_plain
from sinks.connection import Connection

# Requests of programs before decisions were signed have no digest, and can't be decided any more.
_REQUESTS: Final = """
    SELECT r.session_id, r.tenant_id, r.user_id, r.occurred_at AS asked_at, r.body,
           c.body ->> 'end' AS ended, c.body ->> 'approver' AS approver
    FROM event_log r
    LEFT JOIN LATERAL (
        SELECT body FROM event_log c
        WHERE c.session_id = r.session_id AND c.sequence > r.sequence AND c.topic = 'session.outputs'
          AND c.type = 'ApprovalClosed' AND c.body ->> 'approval_id' = r.body ->> 'approval_id'
        LIMIT 1
    ) c ON true
    WHERE r.type = 'ApprovalRequested' AND r.topic = 'session.outputs' AND r.body ->> 'digest' <> ''
"""
_OPEN: Final = f"""
    {_REQUESTS}
      AND c.body IS NULL
      AND (%(since)s::timestamptz IS NULL OR r.occurred_at >= %(since)s)
      AND (%(tenant)s::text IS NULL OR r.tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR r.user_id = %(user)s)
    ORDER BY r.occurred_at, r.event_id
    LIMIT %(limit)s
"""
_WAITING: Final = f"""
    SELECT count(*), COALESCE(extract(epoch FROM now() - min(asked_at)), 0)::float8 FROM ({_OPEN}) AS waiting
"""  # noqa: S608  # texts of ours
_ONE: Final = f"""
    {_REQUESTS}
      AND r.body ->> 'approval_id' = %(approval)s
      AND (%(session)s::uuid IS NULL OR r.session_id = %(session)s)
    LIMIT 1
"""

_PAST: Final = """
    SELECT (c.body ->> 'approval_id')::uuid AS approval_id, c.body ->> 'end' AS "end",
           c.body ->> 'approver' AS approver, c.body ->> 'reason' AS reason,
           c.occurred_at AS at, r.body ->> 'agent' AS agent, r.body ->> 'arguments_json' AS arguments
    FROM event_log c
    JOIN event_log r ON r.session_id = c.session_id AND r.sequence < c.sequence AND r.topic = c.topic
      AND r.type = 'ApprovalRequested' AND r.body ->> 'approval_id' = c.body ->> 'approval_id'
    WHERE c.type = 'ApprovalClosed' AND c.topic = 'session.outputs' AND r.body ->> 'tool' = %(tool)s
      AND c.tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR c.user_id = %(user)s)
    ORDER BY c.occurred_at DESC
    LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    session_id: UUID
    tenant_id: str
    user_id: str
    asked_at: datetime
    body: Mapping[str, object]
    ended: str | None
    approver: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request for approval."""

    session_id: str
    tenant_id: str
    user_id: str
    asked_at: datetime
    asked: ApprovalRequested
    ended: str | None
    """What became of it; None while it waits."""
    approver: str | None
    """Who decided."""


async def open_requests(
    connection: Connection,
    *,
    tenant: str | None,
    user: str | None,
    limit: int,
    since: datetime | None = None,
) -> list[Request]:
    """Return the requests that wait for a person, the oldest first; None: of every tenant, user or age."""
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(_OPEN, {"tenant": tenant, "user": user, "limit": limit, "since": since})
        return [_request(row) for row in await cursor.fetchall()]


async def waiting(connection: Connection, since: datetime) -> tuple[int, float]:
    """Return how many requests wait for a person, and for how many seconds the oldest has; 0: none waits."""
    everybodys = {"tenant": None, "user": None, "limit": None, "since": since}
    [(count, oldest_s)] = await (await connection.execute(_WAITING.encode(), everybodys)).fetchall()
    return count, oldest_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PastDecision:
    """What became of an earlier request about a call of a tool."""

    approval_id: UUID
    end: str
    approver: str
    """Who decided; empty: nobody."""
    reason: str
    at: datetime
    agent: str
    arguments: str


async def past_decisions(
    connection: Connection, *, tool: str, tenant: str, user: str | None, limit: int
) -> list[PastDecision]:
    """Return what became of the newest requests about calls of a tool."""
    async with connection.cursor(row_factory=class_row(PastDecision)) as cursor:
        await cursor.execute(_PAST.encode(), {"tool": tool, "tenant": tenant, "user": user, "limit": limit})
        return await cursor.fetchall()


async def request_of(
    connection: Connection, approval_id: str, session_id: UUID | None = None
) -> Request | None:
    """Return a request, open or not; None: there is none of that id, or not in that session."""
    async with connection.cursor(row_factory=class_row(_Row)) as cursor:
        await cursor.execute(_ONE, {"approval": approval_id, "session": session_id})
        row = await cursor.fetchone()
    return None if row is None else _request(row)


def _request(row: _Row) -> Request:
    return Request(
        session_id=str(row.session_id),
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        asked_at=row.asked_at,
        asked=from_plain(ApprovalRequested, row.body),
        ended=row.ended,
        approver=row.approver or None,
    )
