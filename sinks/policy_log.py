"""What `policy what-if` asks of Postgres: how calls were decided, and what they cost."""

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.events.policies import PolicyDecided
from schemas.plain import from_plain
from topics.catalog import BUDGET_EVENTS, POLICY_DECISIONS

ROWS_AT_ONCE: Final = 500
"""Of decisions in memory."""
_CALLS_AT_ONCE: Final = 5_000
_DECISIONS: Final = """
    SELECT event_id, session_id, tenant_id, user_id, occurred_at, body
    FROM event_log
    WHERE type = 'PolicyDecided' AND topic = %(topic)s AND body ->> 'tool' <> ''
      AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
      AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
      AND (%(session)s::uuid IS NULL OR session_id = %(session)s)
    ORDER BY occurred_at, session_id, sequence
"""
_CHARGES: Final = """
    SELECT body ->> 'reservation_id', sum((body ->> 'nanodollars')::bigint)::bigint
    FROM event_log
    WHERE type = 'BudgetCharged' AND topic = %(topic)s AND session_id = ANY(%(sessions)s)
      AND body ->> 'reservation_id' = ANY(%(calls)s)
    GROUP BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which part of the log is meant; None: all."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    session: UUID | None = None


async def decisions(
    connection: AsyncConnection[TupleRow], stretch: Stretch
) -> AsyncGenerator[Envelope, None]:
    """Tell every decision about a tool's call, the oldest first; few are in memory at once."""
    wanted = {
        "topic": POLICY_DECISIONS.name,
        "since": stretch.since,
        "until": stretch.until,
        "tenant": stretch.tenant,
        "session": stretch.session,
    }
    async with connection.transaction(), connection.cursor(name="decisions") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(_DECISIONS, wanted)
        async for event_id, session_id, tenant_id, user_id, occurred_at, body in cursor:
            yield Envelope(
                event_id=str(event_id),
                type=PolicyDecided.__name__,
                session_id=str(session_id),
                tenant_id=tenant_id,
                user_id=user_id,
                occurred_at_ms=round(occurred_at.timestamp() * 1_000),
                producer="",
                body=from_plain(PolicyDecided, body),
            )


async def charged(
    connection: AsyncConnection[TupleRow], calls: Collection[tuple[str, str]]
) -> dict[str, int]:
    """Return what calls were charged, in billionths of a dollar; those that cost nothing are left out.

    Args:
        connection: to the log's copy.
        calls: session and call of each.
    """
    listed, found = sorted(calls), dict[str, int]()
    for at in range(0, len(listed), _CALLS_AT_ONCE):
        some = listed[at : at + _CALLS_AT_ONCE]
        rows = await connection.execute(
            _CHARGES,
            {
                "topic": BUDGET_EVENTS.name,
                "sessions": [UUID(session) for session in {session for session, _ in some}],
                "calls": [call for _, call in some],
            },
        )
        found |= {call: nanodollars for call, nanodollars in await rows.fetchall() if nanodollars}
    return found
