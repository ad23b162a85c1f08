"""Calls with more than one outcome on the log: two processes made them, or somebody forged one."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

FOUND_MAX: Final = 1_000
"""So many are told of; where there are more, they have one cause."""
_TWICE: Final = """
    WITH twice AS (
        SELECT session_id, subject_id
        FROM event_log
        WHERE topic IN ('model.results', 'tool.results') AND subject_id IS NOT NULL
        GROUP BY session_id, subject_id
        HAVING count(*) > 1
    )
    SELECT e.session_id, e.subject_id AS call_id, count(*) AS outcomes,
           count(*) FILTER (WHERE EXISTS (
               SELECT FROM event_log r WHERE r.causation_id = e.event_id AND r.topic = 'dead.letters'
           )) AS put_aside,
           array_agg(DISTINCT e.producer ORDER BY e.producer) AS producers
    FROM twice JOIN event_log e USING (session_id, subject_id)
    WHERE e.topic IN ('model.results', 'tool.results')
    GROUP BY e.session_id, e.subject_id
    ORDER BY e.session_id, e.subject_id
    LIMIT %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """A call that has several outcomes."""

    session_id: UUID
    call_id: UUID
    outcomes: int
    put_aside: int
    """So many of them its session refused; dead letters say why."""
    producers: list[str]
    """Who wrote them, as they say."""

    @property
    def is_explained(self) -> bool:
        """Tell whether the session took at most one, and refused the others by name."""
        return self.put_aside >= self.outcomes - 1

    def __str__(self) -> str:
        """Say it in a line."""
        told = f"call {self.call_id} of session {self.session_id} has {self.outcomes} outcomes"
        return f"{told}, {self.put_aside} put aside; written by {', '.join(self.producers)}"


async def calls_with_several(connection: AsyncConnection[TupleRow]) -> list[Outcomes]:
    """Return the calls that have more than one outcome in the event log, at most FOUND_MAX."""
    async with connection.cursor(row_factory=class_row(Outcomes)) as cursor:
        await cursor.execute(_TWICE, [FOUND_MAX])
        return await cursor.fetchall()
