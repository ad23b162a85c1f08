"""What was spent on what: the charges of the log, added up by session, agent, model, tool and so on.

Every charge of a session's budget is counted once, those of failed calls too; what `cartrita ingest` pays for
vectors belongs to no session and is not on the log.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, class_row

from topics.catalog import BUDGET_EVENTS


class By(StrEnum):
    """What costs are added up by."""

    SESSION = "session"
    AGENT = "agent"
    MODEL = "model"
    TOOL = "tool"
    TOKEN = "token"  # noqa: S105  # a word, not a secret
    TENANT = "tenant"
    DAY = "day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What was spent on one of them."""

    what: str | None
    """None: on what has none, as a session's calls have no token."""
    calls: int
    tokens: int
    nanodollars: int


# A tool's own model calls are charged under tool:NAME.
_WHAT: Final = {
    By.SESSION: "c.session_id::text",
    By.AGENT: "asked.agent",
    By.MODEL: "c.model",
    By.TOOL: "substring(c.model FROM '^tool:(.*)$')",
    By.TOKEN: "bearer.token_id",
    By.TENANT: "c.tenant_id",
    By.DAY: "to_char(c.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}
_JOINED: Final = {
    By.AGENT: """
        LEFT JOIN LATERAL (
            SELECT r.body ->> 'agent' AS agent FROM event_log r
            WHERE r.session_id = c.session_id AND r.type IN ('ModelCallRequested', 'ToolCallRequested')
              AND r.body ->> 'call_id' = c.call_id
            LIMIT 1
        ) asked ON true
    """,
    By.TOKEN: """
        LEFT JOIN LATERAL (
            SELECT r.body ->> 'token_id' AS token_id FROM event_log r
            WHERE r.event_id = c.correlation_id AND r.type = 'ClientCallReceived'
            LIMIT 1
        ) bearer ON true
    """,
}
_COSTS: Final = """
    WITH c AS (
        SELECT e.session_id, e.tenant_id, e.correlation_id, e.occurred_at,
               e.body ->> 'reservation_id' AS call_id, e.body ->> 'model' AS model,
               (e.body ->> 'tokens')::bigint AS tokens, (e.body ->> 'nanodollars')::bigint AS nanodollars
        FROM event_log e
        WHERE e.type = 'BudgetCharged' AND e.topic = %(topic)s
          AND (%(since)s::timestamptz IS NULL OR e.occurred_at >= %(since)s)
          AND (%(tenant)s::text IS NULL OR e.tenant_id = %(tenant)s)
          AND (%(user)s::text IS NULL OR e.user_id = %(user)s)
          AND (%(session)s::uuid IS NULL OR e.session_id = %(session)s)
    )
    SELECT {what} AS what, count(*) AS calls, sum(c.tokens)::bigint AS tokens,
           sum(c.nanodollars)::bigint AS nanodollars
    FROM c {joined}
    GROUP BY 1 ORDER BY {order} LIMIT %(limit)s
"""


async def costs(
    connection: AsyncConnection[TupleRow],
    by: By,
    *,
    since: datetime | None = None,
    tenant: str | None = None,
    user: str | None = None,
    session: UUID | None = None,
    limit: int | None = None,
) -> list[Cost]:
    """Return what was spent, the most expensive first; by day, the latest first.

    Args:
        connection: to Postgres.
        by: what it is added up by.
        since: count from this moment on; None: from the beginning.
        tenant: count this tenant alone.
        user: count this user alone.
        session: count this session alone.
        limit: return at most so many; None: all.
    """
    query = sql.SQL(_COSTS).format(
        what=sql.SQL(_WHAT[by]),
        joined=sql.SQL(_JOINED.get(by, "")),
        order=sql.SQL("1 DESC" if by is By.DAY else "4 DESC, 3 DESC, 1"),
    )
    given = {
        "topic": BUDGET_EVENTS.name,
        "since": since,
        "tenant": tenant,
        "user": user,
        "session": session,
        "limit": limit,
    }
    async with connection.cursor(row_factory=class_row(Cost)) as cursor:
        await cursor.execute(query, given)
        return await cursor.fetchall()
