"""A conversation's own past in Postgres, as the tool that finds things in it reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

TEXTS_MAX: Final = 4_000
"""Messages and answers of one conversation that are read, the latest; 2,000 turns."""
FORKS_MAX: Final = 50
"""How many forks back the past is followed."""

# A fork goes on from an event of its origin: what stands there up to it is its past as well.
_PAST: Final = """
WITH RECURSIVE line AS (
    SELECT %(session)s::uuid AS session_id, NULL::bigint AS sequence_max, 0 AS forks
    UNION ALL
    SELECT (fork.body ->> 'origin_session_id')::uuid, (fork.body ->> 'origin_sequence')::bigint, line.forks + 1
    FROM line JOIN event_log AS fork
        ON fork.session_id = line.session_id AND fork.type = 'SessionForked' AND fork.tenant_id = %(tenant)s
    WHERE line.forks < %(forks)s
), told AS (
    SELECT line.forks, line.session_id, event.type, (event.body ->> 'turn')::int AS turn,
        event.body ->> 'text' AS text, (event.body ->> 'input_id')::uuid AS input_id
    FROM line JOIN event_log AS event
        ON event.session_id = line.session_id AND event.type IN ('TurnStarted', 'AnswerGiven')
        AND event.tenant_id = %(tenant)s
        AND (line.sequence_max IS NULL OR event.sequence <= line.sequence_max)
), said AS (
    SELECT told.forks, told.turn, 'user' AS speaker, input.body ->> 'text' AS text
    FROM told JOIN event_log AS input
        ON input.event_id = told.input_id AND input.session_id = told.session_id
        AND input.type IN ('MessageReceived', 'SessionForked')
    WHERE told.type = 'TurnStarted'
    UNION ALL
    SELECT forks, turn, 'answer', text FROM told WHERE type = 'AnswerGiven'
)
SELECT turn, speaker, text FROM said WHERE text <> ''
ORDER BY turn DESC, forks, speaker LIMIT %(texts)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastText:
    """What was said once."""

    turn: int
    speaker: str
    """user or answer."""
    text: str


class ConversationPast:
    """Reads the event log; a session finds its own past alone."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        """Note the pool, which its owner opens and closes."""
        self._pool = pool

    async def texts(self, *, tenant_id: str, session_id: str) -> Sequence[PastText]:
        """Return what was said in a session and in those that it was forked from, the latest first.

        What was said a moment ago may be absent: the log is written down behind the session.
        """
        given = {"session": session_id, "tenant": tenant_id, "forks": FORKS_MAX, "texts": TEXTS_MAX}
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_PAST, given)
            return [
                PastText(turn=int(turn), speaker=str(speaker), text=str(text))
                for turn, speaker, text in await cursor.fetchall()
            ]
