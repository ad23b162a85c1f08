"""What V1 had of a session that came over, for whoever is the first to go on with it."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection

TEXT_CHARACTERS_MAX: Final = 20_000
"""So much of a text is read; of a longer one only the lengths are known."""
LOOKED_AT_MAX: Final = 200
"""So many of the latest messages are looked at, whoever said them."""

_ANY: Final = "SELECT EXISTS (SELECT FROM sink_offsets WHERE topic = 'session.imports' AND next_offset > 0)"
_SESSION: Final = """
    SELECT s.tenant_id, COALESCE(s.user_id, '') AS user_id, s.imported_from AS origin,
           COALESCE(s.title, '') AS title, COALESCE(s.imported_messages, 0) AS messages,
           (SELECT e.event_id::text FROM event_log e
            WHERE e.session_id = s.id AND e.topic = 'session.imports' AND e.type = 'ConversationImported'
            ORDER BY e."offset" DESC LIMIT 1) AS event_id
    FROM session_summaries s
    WHERE s.id = %(session)s AND s.imported_from IS NOT NULL AND s.tenant_id IS NOT NULL
      AND NOT EXISTS (
          SELECT FROM event_log e
          WHERE e.session_id = s.id AND e.topic = 'session.inputs' AND e.type = 'SessionImported'
      )
"""
# What was said last is found by its time alone; then the newest event of each message counts.
_SAID: Final = """
    WITH latest AS (
        SELECT event_id, subject_id, partition, "offset", occurred_at, body FROM event_log
        WHERE session_id = %(session)s AND topic = 'session.imports' AND type = 'MessageImported'
          AND tenant_id = %(tenant)s AND user_id = %(user)s
        ORDER BY occurred_at DESC, "offset" DESC LIMIT %(looked_at)s
    ), newest AS (
        SELECT DISTINCT ON (subject_id) * FROM latest ORDER BY subject_id, "offset" DESC
    )
    SELECT event_id::text AS event_id, partition, "offset", body ->> 'role' AS role,
           left(body ->> 'text', %(characters)s) AS text, length(body ->> 'text') AS characters,
           octet_length(body ->> 'text') AS size_bytes
    FROM newest
    WHERE body ->> 'role' = ANY('{user,assistant}') AND body ->> 'text' ~ '\\S'
    ORDER BY occurred_at DESC, "offset" DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidThere:
    """One message, by its place on `session.imports`."""

    event_id: str
    partition: int
    offset: int
    role: str
    text: str
    """Its beginning."""
    characters: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSession:
    """A session that came over, and that nobody has gone on with."""

    tenant_id: str
    user_id: str
    origin: str
    title: str
    messages: int
    event_id: str | None
    """Of its newest ConversationImported."""


async def has_any_come(connection: Connection) -> bool:
    """Tell whether anything came over from a V1."""
    cursor = await connection.execute(_ANY)
    return await cursor.fetchone() == (True,)


async def imported_session(connection: Connection, session_id: UUID) -> ImportedSession | None:
    """Return a session that came over; None: it did not, or was gone on with."""
    async with connection.cursor(row_factory=class_row(ImportedSession)) as cursor:
        await cursor.execute(_SESSION, {"session": session_id})
        return await cursor.fetchone()


async def said_there(
    connection: Connection, session_id: UUID, owner: tuple[str, str], limit: int
) -> list[SaidThere]:
    """Return the latest that users and answers said in a session of V1, the latest first.

    Args:
        connection: to Postgres.
        session_id: of the session.
        owner: tenant and user; what came over for others is not told.
        limit: how many at most.
    """
    given = {"session": session_id, "tenant": owner[0], "user": owner[1], "limit": limit}
    given |= {"looked_at": LOOKED_AT_MAX, "characters": TEXT_CHARACTERS_MAX}
    async with connection.cursor(row_factory=class_row(SaidThere)) as cursor:
        await cursor.execute(_SAID, given)
        return await cursor.fetchall()
