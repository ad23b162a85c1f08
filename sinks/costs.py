"""What was charged, and for what: sums over the ledger's charges, by day, session, agent, model or tool."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from psycopg.rows import class_row

from sinks.conversations import Connection

_TOOL: Final = "tool:"
_CHARGES: Final = """
    SELECT e.session_id, e.occurred_at, e.body ->> 'model' AS callee, t.agent_assigned AS agent,
           (e.body ->> 'tokens')::numeric AS tokens, (e.body ->> 'nanodollars')::numeric AS nanodollars
    FROM event_log e
    LEFT JOIN tasks_v2 t ON t.id::text = e.body ->> 'task_id'
    WHERE e.type = 'BudgetCharged' AND e.topic = 'budget.events' AND e.tenant_id = %(tenant)s
      AND (%(user)s::text IS NULL OR e.user_id = %(user)s)
      AND e.occurred_at >= %(since)s AND e.occurred_at < %(until)s
"""


class By(StrEnum):
    """By what charges are summed up."""

    DAY = "day"
    SESSION = "session"
    AGENT = "agent"
    MODEL = "model"
    TOOL = "tool"


_KEYS: Final = MappingProxyType(
    {
        By.DAY: "to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        By.SESSION: "session_id::text",
        By.AGENT: "COALESCE(agent, '')",
        By.MODEL: "callee",
        By.TOOL: f"substr(callee, {len(_TOOL) + 1})",
    }
)
_ONLY: Final = MappingProxyType(
    {By.MODEL: f"callee NOT LIKE '{_TOOL}%%'", By.TOOL: f"callee LIKE '{_TOOL}%%'"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What was charged under one key."""

    key: str
    title: str | None
    """Of a session."""
    charges: int
    tokens: Decimal
    nanodollars: Decimal


async def spending(
    connection: Connection,
    tenant: str,
    user: str | None,
    *,
    by: By,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[Spending]:
    """Return what a tenant or one of its users was charged, the newest day first, or else the most.

    Args:
        connection: to Postgres.
        tenant: whose charges.
        user: whose alone; None: of all the tenant's users.
        by: what the sums are of.
        since: of the charges, inclusive.
        until: of the charges, exclusive.
        limit: how many at most.
    """
    order = "key DESC" if by is By.DAY else "nanodollars DESC, tokens DESC, key"
    query = f"""
        SELECT sums.*, s.title FROM (
            SELECT {_KEYS[by]} AS key, count(*) AS charges, sum(tokens) AS tokens,
                   sum(nanodollars) AS nanodollars
            FROM ({_CHARGES}) charges WHERE {_ONLY.get(by, "TRUE")}
            GROUP BY 1 ORDER BY {order} LIMIT %(limit)s
        ) sums
        LEFT JOIN session_summaries s ON {"s.id::text = sums.key" if by is By.SESSION else "FALSE"}
        ORDER BY {order}
    """  # noqa: S608  # texts of ours
    given = {"tenant": tenant, "user": user, "since": since, "until": until, "limit": limit}
    async with connection.cursor(row_factory=class_row(Spending)) as cursor:
        await cursor.execute(query, given)
        return await cursor.fetchall()
