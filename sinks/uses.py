"""What the calls of turns and tasks used, from the charges of the log: estimates are learnt from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from processors.foretelling import Use
from topics.catalog import BUDGET_EVENTS, SESSION_OUTPUTS

CHARGES_MAX: Final = 5_000
"""The newest charges that are learnt from."""
TURNS_MAX: Final = 500
_USES: Final = """
    WITH c AS (
        SELECT session_id, body ->> 'reservation_id' AS call_id, (body ->> 'tokens')::bigint AS tokens,
               (body ->> 'nanodollars')::bigint AS nanodollars
        FROM event_log
        WHERE type = 'BudgetCharged' AND topic = %(topic)s
          AND (%(tenant)s::text IS NULL OR tenant_id = %(tenant)s)
          AND (%(user)s::text IS NULL OR user_id = %(user)s)
        ORDER BY occurred_at DESC LIMIT %(most)s
    )
    SELECT c.session_id::text AS session_id, r.turn, r.task_id, r.purpose, r.agent, r.tool,
           sum(c.tokens)::bigint AS tokens, sum(c.nanodollars)::bigint AS nanodollars
    FROM c CROSS JOIN LATERAL (
        SELECT (e.body ->> 'turn')::int AS turn, e.body ->> 'task_id' AS task_id,
               COALESCE(e.body ->> 'purpose', 'tool') AS purpose, e.body ->> 'agent' AS agent,
               COALESCE(e.body ->> 'tool', '') AS tool
        FROM event_log e
        WHERE e.session_id = c.session_id AND e.type IN ('ModelCallRequested', 'ToolCallRequested')
          AND e.subject_id = cartrita_uuid(c.call_id)
        LIMIT 1
    ) r
    WHERE r.purpose <> 'client'
    GROUP BY 1, 2, 3, 4, 5, 6
"""
_TURNS: Final = """
    SELECT s.session_id::text AS session_id, (s.body ->> 'turn')::int AS turn, m.body ->> 'text' AS text,
           m.body ->> 'agent' AS agent, COALESCE((m.body ->> 'tokens')::int, 0) AS tokens,
           COALESCE((
               SELECT sum((a.one ->> 'tokens')::int) FROM jsonb_array_elements(
                   CASE jsonb_typeof(m.body -> 'attachments') WHEN 'array' THEN m.body -> 'attachments' END
               ) AS a(one)
           ), 0)::int AS attached_tokens,
           COALESCE((
               SELECT array_agg(a.one ->> 'name') FROM jsonb_array_elements(
                   CASE jsonb_typeof(m.body -> 'attachments') WHEN 'array' THEN m.body -> 'attachments' END
               ) AS a(one)
           ), '{}') AS attachments
    FROM event_log s JOIN event_log m ON m.event_id = (s.body ->> 'input_id')::uuid
    WHERE s.type = 'TurnStarted' AND s.topic = %(topic)s AND m.type = 'MessageReceived'
      AND (%(tenant)s::text IS NULL OR s.tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR s.user_id = %(user)s)
      AND EXISTS (
          SELECT FROM event_log g
          WHERE g.session_id = s.session_id AND g.type = 'AnswerGiven'
            AND g.body ->> 'turn' = s.body ->> 'turn'
      )
    ORDER BY s.occurred_at DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message, as far as its cost hangs on it."""

    text: str
    agent: str | None
    tokens: int
    attached_tokens: int = 0
    attachments: Sequence[str] = ()
    session_id: str = ""
    """Empty: it was not said yet."""
    turn: int = 0


async def uses(
    connection: AsyncConnection[TupleRow], tenant: str | None, user: str | None = None
) -> list[Use]:
    """Return what the latest calls used, by turn, task and tool.

    Args:
        connection: to Postgres; who is walled learns from what is theirs.
        tenant: of this tenant alone; None: of all.
        user: of this user alone; None: of all.
    """
    async with connection.cursor(row_factory=class_row(Use)) as cursor:
        given = {"topic": BUDGET_EVENTS.name, "tenant": tenant, "user": user, "most": CHARGES_MAX}
        await cursor.execute(_USES.encode(), given)
        return await cursor.fetchall()


async def turns(
    connection: AsyncConnection[TupleRow], tenant: str | None, user: str | None = None
) -> list[Said]:
    """Return the latest messages whose turns have ended, the newest first.

    Args:
        connection: to Postgres.
        tenant: of this tenant alone; None: of all.
        user: of this user alone; None: of all.
    """
    async with connection.cursor(row_factory=class_row(Said)) as cursor:
        await cursor.execute(
            _TURNS.encode(),
            {"topic": SESSION_OUTPUTS.name, "tenant": tenant, "user": user, "most": TURNS_MAX},
        )
        return await cursor.fetchall()
