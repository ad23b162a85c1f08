"""What `policy what-if` asks of Postgres: how calls were decided, and what they cost."""

from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from schemas.envelope import Envelope
from schemas.events.policies import PolicyDecided
from schemas.plain import from_plain
from topics.catalog import BUDGET_EVENTS, MODEL_RESULTS, POLICY_DECISIONS, Topic

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
_USAGE: Final = """
    SELECT COALESCE(r.body ->> 'model', e.body ->> 'model') AS model, count(*) AS calls,
           sum((e.body ->> 'input_tokens')::bigint)::bigint AS input_tokens,
           sum((e.body ->> 'output_tokens')::bigint)::bigint AS output_tokens,
           sum((e.body ->> 'cost_nanodollars')::bigint)::bigint AS nanodollars
    FROM event_log e
    LEFT JOIN event_log r ON r.event_id = e.causation_id AND r.type = 'ModelCallRequested'
    WHERE e.type = 'ModelCallCompleted' AND e.topic = %(topic)s
      AND (%(since)s::timestamptz IS NULL OR e.occurred_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR e.occurred_at < %(until)s)
      AND (%(tenant)s::text IS NULL OR e.tenant_id = %(tenant)s)
      AND (%(session)s::uuid IS NULL OR e.session_id = %(session)s)
    GROUP BY 1
    ORDER BY nanodollars DESC, model
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What the answered calls of a model used."""

    model: str
    """As configuration names it."""
    calls: int
    input_tokens: int
    output_tokens: int
    nanodollars: int
    """As they were priced then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Which part of the log is meant; None: all."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    session: UUID | None = None

    def values(self, topic: Topic) -> dict[str, object]:
        """Return what queries ask by."""
        return {
            "topic": topic.name,
            "since": self.since,
            "until": self.until,
            "tenant": self.tenant,
            "session": self.session,
        }


async def decisions(
    connection: AsyncConnection[TupleRow], stretch: Stretch
) -> AsyncGenerator[Envelope, None]:
    """Tell every decision about a tool's call, the oldest first; few are in memory at once."""
    async with connection.transaction(), connection.cursor(name="decisions") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        await cursor.execute(_DECISIONS, stretch.values(POLICY_DECISIONS))
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


async def usage_by_model(connection: AsyncConnection[TupleRow], stretch: Stretch) -> list[Usage]:
    """Return what answered calls used, by the model that was asked for, the dearest first."""
    async with connection.cursor(row_factory=class_row(Usage)) as cursor:
        await cursor.execute(_USAGE, stretch.values(MODEL_RESULTS))
        return await cursor.fetchall()
