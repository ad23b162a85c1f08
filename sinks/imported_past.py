"""What V1 had of a session that came over, for whoever is the first to go on with it."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sinks.connection import Connection

TEXT_CHARACTERS_MAX: Final = 20_000
"""So much of a text is read; of a longer one only the lengths are known."""
LOOKED_AT_MAX: Final = 200
"""So many of the latest messages are looked at, whoever said them."""

_ANY: Final = "SELECT EXISTS (SELECT FROM sink_offsets WHERE topic = 'session.imports' AND next_offset > 0)"
_SESSION: Final = """
    SELECT s.tenant_id, s.user_id, s.imported_from, COALESCE(s.title, ''), COALESCE(s.imported_messages, 0),
           (SELECT e.event_id::text FROM event_log e
            WHERE e.session_id = s.id AND e.topic = 'session.imports' AND e.type = 'ConversationImported'
            ORDER BY e."offset" DESC LIMIT 1)
    FROM session_summaries s
    WHERE s.id = %(session)s AND s.imported_from IS NOT NULL
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
    SELECT event_id::text, partition, "offset", body ->> 'role', left(body ->> 'text', %(characters)s),
           length(body ->> 'text'), octet_length(body ->> 'text')
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
    cursor = await connection.execute(_SESSION, {"session": session_id})
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        return None
    return ImportedSession(
        tenant_id=row[0], user_id=row[1] or "", origin=row[2], title=row[3], messages=row[4], event_id=row[5]
    )


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
    cursor = await connection.execute(_SAID, given)
    return [
        SaidThere(
            event_id=row[0],
            partition=row[1],
            offset=row[2],
            role=row[3],
            text=row[4],
            characters=row[5],
            size_bytes=row[6],
        )
        for row in await cursor.fetchall()
    ]
