"""What was said in a session, by windows: first what came over from V1, then what was said here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection
from sinks.conversations import LoggedEvent, events_of
from topics.catalog import SESSION_IMPORTS, SESSION_INPUTS, SESSION_OUTPUTS

Mark = tuple[datetime, int, str, int, int]
"""Where a message stands among its session's: time, sequence, topic, partition and offset."""

# A message is told of again when V1 changed it: the newest event counts, at the first one's place. V1's own
# rows may stand in conversation_messages beside ours; what came over is told by the log alone, so once.
_IMPORTED: Final = """
    WITH told AS (
        SELECT subject_id, partition, min("offset") AS place, max("offset") AS newest FROM event_log
        WHERE session_id = %(session)s AND topic = %(topic)s AND type = 'MessageImported'
          AND tenant_id = %(tenant)s AND user_id = %(user)s
        GROUP BY subject_id, partition
    )
    SELECT e.subject_id AS message_id, told.place AS offset, e.partition, e.occurred_at AS said_at,
           e.recorded_at AS came_at, e.body ->> 'origin' AS origin, e.body ->> 'role' AS role,
           e.body ->> 'text' AS text
    FROM told JOIN event_log e
        ON e.topic = %(topic)s AND e.partition = told.partition AND e."offset" = told.newest
    WHERE e.subject_id IS NOT NULL AND e.body ->> 'role' IN ('user', 'assistant')
      AND (%(at)s::timestamptz IS NULL OR (e.occurred_at, told.place) > (%(at)s, %(offset)s))
    ORDER BY e.occurred_at, told.place
    LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedMessage:
    """A message of V1, as it was told of last."""

    message_id: UUID
    """Of its row in conversation_messages."""
    role: str
    """user or assistant."""
    text: str
    said_at: datetime
    came_at: datetime
    origin: str
    """Name of the V1."""
    partition: int
    offset: int
    """At which it was told of first."""


def mark_of_message(one: LoggedEvent | ImportedMessage) -> Mark:
    """Return where a message stands, for the window behind it."""
    if isinstance(one, ImportedMessage):
        return one.said_at, 0, SESSION_IMPORTS.name, one.partition, one.offset
    return one.occurred_at, one.sequence, one.topic, one.partition, one.offset


async def messages_of(
    connection: Connection, session_id: UUID, owner: tuple[str, str], *, after: Mark | None, limit: int
) -> list[LoggedEvent | ImportedMessage]:
    """Return a window of what users and answers said in a session, in order.

    Args:
        connection: to Postgres.
        session_id: of the session.
        owner: tenant and user to whom it belongs; what came over for others is not told.
        after: where the last message of the window before stands.
        limit: how many at most.
    """
    page: list[LoggedEvent | ImportedMessage] = []
    if after is None or after[2] == SESSION_IMPORTS.name:
        page += await _imported(connection, session_id, owner, after, limit)
        after = None
    if len(page) < limit:
        page += await events_of(
            connection,
            session_id,
            owner,
            types=["MessageReceived", "AnswerGiven"],
            # A message stands on the topic of entrance too.
            topics=[SESSION_INPUTS.name, SESSION_OUTPUTS.name],
            after=after,
            limit=limit - len(page),
        )
    return page


async def _imported(
    connection: Connection, session_id: UUID, owner: tuple[str, str], after: Mark | None, limit: int
) -> list[ImportedMessage]:
    at, offset = (None, None) if after is None else (after[0], after[4])
    given = {"session": session_id, "topic": SESSION_IMPORTS.name, "tenant": owner[0], "user": owner[1]}
    given |= {"at": at, "offset": offset, "limit": limit}
    async with connection.cursor(row_factory=class_row(ImportedMessage)) as cursor:
        await cursor.execute(_IMPORTED, given)
        return await cursor.fetchall()
