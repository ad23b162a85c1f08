"""The events that a session's trace is made of, from Postgres."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection
from sinks.conversations import OWNS, owns
from sinks.span_conventions import TYPES

EVENTS_MAX: Final = 200_000
_SESSION: Final = """
    SELECT COALESCE((SELECT session_id FROM event_log WHERE session_id = %(given)s LIMIT 1),
                    (SELECT session_id FROM cartrita_trace_start(%(given)s) LIMIT 1))
"""
_EVENTS: Final = f"""
    SELECT event_id, type, occurred_at, causation_id, correlation_id, traceparent,
           CASE WHEN %(content)s THEN body ELSE body - 'messages' END AS body
    FROM event_log
    WHERE session_id = %(session)s AND type = ANY(%(types)s)
      AND topic NOT IN ('user.inputs', 'operator.inputs') AND (%(everything)s OR {OWNS})
    ORDER BY occurred_at, sequence, topic, partition, "offset" LIMIT {EVENTS_MAX + 1}
"""  # noqa: S608  # texts of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """What a trace needs of an event."""

    event_id: UUID
    type: str
    occurred_at: datetime
    causation_id: UUID | None
    correlation_id: UUID | None
    traceparent: str | None
    body: Mapping[str, object]


class TooManyEvents(Exception):
    """A session has more events than one trace is made of."""


async def session_of(connection: Connection, given: UUID) -> UUID | None:
    """Return the session of an id: its own, or that of an event, task or call; None: the log has none."""
    cursor = await connection.execute(_SESSION, {"given": given})
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def events_of(
    connection: Connection, session_id: UUID, owner: tuple[str, str] | None, *, content: bool
) -> list[LoggedEvent]:
    """Return what a session's trace is made of, in the order in which it happened.

    Args:
        connection: to Postgres.
        session_id: of which.
        owner: tenant and user to whom it belongs: what others claimed to say in it is left out; None: an
            operator asks, who may see all of it.
        content: with what was said to models.

    Raises:
        TooManyEvents: there are more than 200,000.
    """
    given = owns(owner or ("", "")) | {
        "session": session_id,
        "types": list(TYPES),
        "content": content,
        "everything": owner is None,
    }
    async with connection.cursor(row_factory=class_row(LoggedEvent)) as cursor:
        await cursor.execute(_EVENTS, given)
        found = await cursor.fetchall()
    if len(found) > EVENTS_MAX:
        raise TooManyEvents(f"the session has more than {EVENTS_MAX:,} events")
    return found
