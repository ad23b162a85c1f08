"""Which calls the router sent where, added up by agent, model and reason."""

from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from processors.counterfactual import Routed
from schemas.events.models import CallPurpose
from topics.catalog import MODEL_CALLS, MODEL_RESULTS

# A client names the model of its single call itself; nothing was routed there.
_ROUTED: Final = """
    SELECT r.body ->> 'agent' AS agent, r.body ->> 'model' AS model,
           COALESCE(r.body -> 'routing' -> -1 ->> 'cause', '') AS cause, count(*) AS calls,
           sum((e.body ->> 'input_tokens')::bigint)::bigint AS input_tokens,
           sum((e.body ->> 'output_tokens')::bigint)::bigint AS output_tokens,
           sum((e.body ->> 'cost_nanodollars')::bigint)::bigint AS nanodollars
    FROM event_log e
    JOIN event_log r ON r.event_id = e.causation_id
    WHERE e.type = 'ModelCallCompleted' AND e.topic = %(results)s
      AND r.type = 'ModelCallRequested' AND r.topic = %(calls)s AND r.body ->> 'purpose' <> %(client)s
      AND (%(since)s::timestamptz IS NULL OR e.occurred_at >= %(since)s)
      AND (%(tenant)s::text IS NULL OR e.tenant_id = %(tenant)s)
      AND (%(user)s::text IS NULL OR e.user_id = %(user)s)
      AND (%(session)s::uuid IS NULL OR e.session_id = %(session)s)
    GROUP BY 1, 2, 3
    ORDER BY nanodollars DESC, agent, model, cause
"""


async def routed(
    connection: AsyncConnection[TupleRow],
    *,
    since: datetime | None = None,
    tenant: str | None = None,
    user: str | None = None,
    session: UUID | None = None,
) -> list[Routed]:
    """Add up the answered calls of planned sessions, the dearest first.

    Args:
        connection: to Postgres V2.
        since: the earliest time of an answer that counts; None: all of the log.
        tenant: whose alone; None: everybody's.
        user: whose alone.
        session: of which alone.
    """
    async with connection.cursor(row_factory=class_row(Routed)) as cursor:
        await cursor.execute(
            _ROUTED,
            {
                "results": MODEL_RESULTS.name,
                "calls": MODEL_CALLS.name,
                "client": CallPurpose.CLIENT.value,
                "since": since,
                "tenant": tenant,
                "user": user,
                "session": session,
            },
        )
        return await cursor.fetchall()
