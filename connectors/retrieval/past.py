"""A conversation's own past in Postgres, as the tool that finds things in it reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from topics.catalog import SESSION_IMPORTS, SESSION_INPUTS, SESSION_OUTPUTS

CHARACTERS_MAX: Final = 2_000_000
"""Of one conversation are read, the latest; a search of so many takes about a second of one core."""
TEXT_CHARACTERS_MAX: Final = 20_000
"""Of one text; what comes after is not searched."""
FORKS_MAX: Final = 50
"""How many forks back the past is followed."""

# A fork goes on from an event of its origin: what stands there up to it is its past as well. The fork that
# counts is the one that opened the session, and only sessions of the same user are gone back to.
_PAST: Final = """
WITH RECURSIVE line AS (
    SELECT %(session)s::uuid AS session_id, NULL::bigint AS sequence_max, 0 AS forks
    UNION ALL
    SELECT (fork.body ->> 'origin_session_id')::uuid, (fork.body ->> 'origin_sequence')::bigint,
        line.forks + 1
    FROM line
    JOIN event_log AS opened ON opened.session_id = line.session_id AND opened.sequence = 1
    JOIN event_log AS fork
        ON fork.event_id = opened.causation_id AND fork.session_id = line.session_id
        AND fork.type = 'SessionForked' AND fork.topic = %(inputs)s
        AND fork.tenant_id = %(tenant)s AND fork.user_id = %(user)s
    WHERE line.forks < %(forks)s
), told AS (
    SELECT line.forks, line.session_id, event.event_id, event.type, (event.body ->> 'turn')::int AS turn,
        event.body ->> 'text' AS text, (event.body ->> 'input_id')::uuid AS input_id
    FROM line JOIN event_log AS event
        ON event.session_id = line.session_id AND event.type IN ('TurnStarted', 'AnswerGiven')
        AND event.topic = %(outputs)s AND event.tenant_id = %(tenant)s AND event.user_id = %(user)s
        AND (line.sequence_max IS NULL OR event.sequence <= line.sequence_max)
), imported AS (
    SELECT DISTINCT ON (line.forks, event.subject_id) line.forks, event.event_id, event.occurred_at,
        event."offset", event.body ->> 'role' AS role, event.body ->> 'text' AS text
    FROM line JOIN event_log AS event
        ON event.session_id = line.session_id AND event.type = 'MessageImported'
        AND event.topic = %(imports)s AND event.tenant_id = %(tenant)s AND event.user_id = %(user)s
    ORDER BY line.forks, event.subject_id, event."offset" DESC
), said AS (
    SELECT told.forks, told.turn, 0::bigint AS number, 'user' AS speaker, input.event_id,
        input.body ->> 'text' AS text
    FROM told JOIN event_log AS input
        ON input.event_id = told.input_id AND input.session_id = told.session_id
        AND input.type IN ('MessageReceived', 'SessionForked') AND input.topic = %(inputs)s
    WHERE told.type = 'TurnStarted'
    UNION ALL
    SELECT forks, turn, 0, 'answer', event_id, text FROM told WHERE type = 'AnswerGiven'
    UNION ALL
    SELECT forks, 0, row_number() OVER (PARTITION BY forks ORDER BY occurred_at, "offset"),
        CASE role WHEN 'user' THEN 'user' ELSE 'answer' END, event_id, text
    FROM imported WHERE role IN ('user', 'assistant')
), latest AS (
    SELECT turn, number, speaker, event_id, left(text, %(text_characters)s) AS text,
        sum(least(length(text), %(text_characters)s)) OVER (
            ORDER BY turn DESC, number DESC, forks, speaker, event_id ROWS UNBOUNDED PRECEDING
        ) AS characters
    FROM said WHERE text <> ''
)
SELECT turn, number::int AS number, speaker, event_id::text AS event_id, text FROM latest
WHERE characters <= %(characters)s
ORDER BY characters
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastText:
    """What was said once."""

    turn: int
    """0: before the first one, in V1."""
    number: int = 0
    """Among what was said in V1, from 1."""
    speaker: str
    """user or answer."""
    event_id: str
    """Of the message, or of the answer."""
    text: str


class ConversationPast:
    """Reads the event log; a session finds its own past alone."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        """Note the pool, which its owner opens and closes."""
        self._pool = pool

    async def texts(self, *, tenant_id: str, user_id: str, session_id: str) -> Sequence[PastText]:
        """Return what was said in a session and in those that it was forked from, the latest first.

        What was said a moment ago may be absent: the log is written down behind the session.
        """
        given = {
            "session": UUID(session_id),
            "tenant": tenant_id,
            "user": user_id,
            "inputs": SESSION_INPUTS.name,
            "outputs": SESSION_OUTPUTS.name,
            "imports": SESSION_IMPORTS.name,
            "forks": FORKS_MAX,
            "characters": CHARACTERS_MAX,
            "text_characters": TEXT_CHARACTERS_MAX,
        }
        async with (
            self._pool.connection() as connection,
            connection.cursor(row_factory=class_row(PastText)) as cursor,
        ):
            await cursor.execute(_PAST, given)
            return await cursor.fetchall()
