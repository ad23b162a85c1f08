"""What the front door asks of Postgres about clients' single model calls."""

from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sinks.connection import Connection

_KNOWN: Final = """
    SELECT session_id, body ->> 'body_sha256', occurred_at FROM event_log
    WHERE event_id = %s AND topic = 'client.calls' LIMIT 1
"""
_ANSWER: Final = """
    SELECT type, body, occurred_at FROM event_log
    WHERE correlation_id = %s AND topic = 'client.answers' LIMIT 1
"""


class KnownCall(NamedTuple):
    """A call that was asked earlier."""

    session_id: str
    body_sha256: str
    asked_at: datetime


async def known_call(connection: Connection, event_id: UUID) -> KnownCall | None:
    """Return a call that was asked; None: the sink has read of none."""
    cursor = await connection.execute(_KNOWN, [event_id])
    row = await cursor.fetchone()
    return None if row is None else KnownCall(str(row[0]), str(row[1]), row[2])


async def answer_of(connection: Connection, event_id: UUID) -> tuple[str, dict[str, object], datetime] | None:
    """Return name, body and time of the fact that ended a call; None: the sink has read of none."""
    cursor = await connection.execute(_ANSWER, [event_id])
    row = await cursor.fetchone()
    return None if row is None else (str(row[0]), row[1], row[2])
