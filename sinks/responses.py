"""What the front door asks of Postgres about responses: what asked for them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection

_REQUEST: Final = """
    SELECT type, session_id, tenant_id, user_id, occurred_at, body FROM event_log
    WHERE event_id = %s AND tenant_id = %s AND (%s::text IS NULL OR user_id = %s)
      AND (topic, type) IN (('client.calls', 'ClientCallReceived'), ('session.inputs', 'MessageReceived'))
    LIMIT 1
"""
_PUT_ASIDE: Final = """
    SELECT body ->> 'reason' FROM event_log
    WHERE causation_id = %s AND session_id = %s AND topic = 'dead.letters' LIMIT 1
"""


_FAILED_ATTEMPT: Final = """
    SELECT 1 FROM event_log
    WHERE correlation_id = %s AND topic = 'model.results' AND type = 'ModelCallFailed'
      AND body ->> 'purpose' = 'synthesize' LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRequest:
    """A request that is on the log."""

    type: str
    session_id: UUID
    tenant_id: str
    user_id: str
    occurred_at: datetime
    body: dict[str, object]


async def request_of(
    connection: Connection, event_id: UUID, tenant: str, user: str | None
) -> KnownRequest | None:
    """Return what asked for a response; None: the sink has read of none of the tenant's, or its user's."""
    async with connection.cursor(row_factory=class_row(KnownRequest)) as cursor:
        await cursor.execute(_REQUEST, [event_id, tenant, user, user])
        return await cursor.fetchone()


async def has_failed_attempt(connection: Connection, event_id: UUID) -> bool:
    """Tell whether a call failed that was to write the answer to a message, as far as the sink has read."""
    cursor = await connection.execute(_FAILED_ATTEMPT, [event_id])
    return await cursor.fetchone() is not None


async def put_aside(connection: Connection, event_id: UUID, session_id: UUID) -> str | None:
    """Return why a request was put aside; None: the sink has not read that it was."""
    cursor = await connection.execute(_PUT_ASIDE, [event_id, session_id])
    row = await cursor.fetchone()
    return None if row is None else str(row[0])
