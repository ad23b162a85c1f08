"""What the front door asks of Postgres: whose a session is, what was said in it, and what happened."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, get_args
from uuid import UUID

from psycopg.rows import class_row

from schemas.events.inputs import OperatorFact
from sinks.connection import Connection
from topics.catalog import DEAD_LETTERS, ENTRANCES, SESSION_INPUTS

IMPORTED: Final = "imported"
"""How a session stands that came over from V1, until somebody speaks in it. It is stored as open."""
STATUS: Final = f"""
    CASE WHEN status = 'open' AND messages = 0 AND imported_from IS NOT NULL THEN '{IMPORTED}' ELSE status END
"""
"""How a row of session_summaries stands."""
STANDINGS: Final = f"""
    SELECT id, tenant_id, user_id, {STATUS} AS status, title, opened_at, messages, turns, budget_tokens,
           budget_nanodollars, tokens_used, nanodollars_used,
           greatest(last_input_at, last_output_at, ended_at) AS last_activity, ended_at,
           COALESCE(put_aside_at > COALESCE(last_output_at, '-infinity'), FALSE) AS quarantined,
           forked_from, imported_from, imported_at, COALESCE(imported_messages, 0) AS imported_messages
    FROM session_summaries
"""  # noqa: S608  # names of our own columns
"""All that a SessionStanding has, of every session."""
# What others have said in a session was refused, and is for them alone to see.
_CLAIMED: Final = [*(topic.name for topic in ENTRANCES), SESSION_INPUTS.name, DEAD_LETTERS.name]
# What operators decide counts, and is the session's.
_ACTS: Final = sorted(fact.__name__ for fact in get_args(OperatorFact))
OWNS: Final = """
    (topic <> ALL(%(claimed)s) OR (tenant_id, user_id) = (%(tenant)s, %(user)s)
     OR type = ANY(%(acts)s) AND topic = 'session.inputs' AND tenant_id IN (%(tenant)s, '*'))
"""
"""Which events of a session its owner is told of; see `owns`."""
# Some of an event's columns; those of a page are in the order in which they happened.
_EVENTS: Final = f"""
    SELECT event_id, type, topic, partition, "offset", sequence, causation_id, occurred_at, recorded_at, body
    FROM event_log
    WHERE session_id = %(session)s
      AND {OWNS}
      AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s))
      AND (%(topics)s::text[] IS NULL OR topic = ANY(%(topics)s))
      AND (%(at)s::timestamptz IS NULL
           OR (occurred_at, sequence, topic, partition, "offset")
              > (%(at)s, %(sequence)s, %(topic)s, %(partition)s, %(offset)s))
    ORDER BY occurred_at, sequence, topic, partition, "offset"
    LIMIT %(limit)s
"""  # noqa: S608  # texts of ours
_OUTPUTS: Final = """
    SELECT event_id, type, topic, partition, "offset", sequence, causation_id, occurred_at, recorded_at, body
    FROM event_log
    WHERE session_id = %s AND topic = 'session.outputs' AND sequence > %s
    ORDER BY sequence
    LIMIT %s
"""
TURN_BEGINS: Final = "TurnStarted"
TURN_ENDS: Final = ("AnswerGiven", "SessionEnded")
_TURN: Final = """
    SELECT type, body ->> 'task_id', occurred_at FROM event_log
    WHERE session_id = %s AND topic = 'session.outputs' AND sequence <= %s AND type = ANY(%s)
    ORDER BY sequence DESC
    LIMIT 1
"""
_TURN_OF: Final = """
    SELECT sequence FROM event_log
    WHERE session_id = %s AND topic = 'session.outputs' AND type = %s AND body ->> 'input_id' = %s
    LIMIT 1
"""
_TOLD: Final = "SELECT max(sequence) FROM event_log WHERE session_id = %s AND topic = 'session.outputs'"
_ANSWER: Final = """
    SELECT 1 FROM event_log
    WHERE event_id = %s AND session_id = %s AND topic = 'session.outputs' AND type = 'AnswerGiven'
"""
_READ: Final = "SELECT topic, partition, max(next_offset) FROM sink_offsets GROUP BY topic, partition"
_INPUT: Final = """
    SELECT type, session_id, body, occurred_at FROM event_log
    WHERE event_id = %s AND tenant_id = %s AND topic IN ('user.inputs', 'session.inputs') LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStanding:
    """A session, as whoever may see it is told."""

    id: UUID
    tenant_id: str | None
    user_id: str | None
    status: str
    title: str | None
    opened_at: datetime | None
    messages: int
    turns: int
    budget_tokens: int | None
    budget_nanodollars: int | None
    tokens_used: int
    nanodollars_used: int
    last_activity: datetime | None
    ended_at: datetime | None
    quarantined: bool
    """An input of it could not be applied, and nothing was told since."""
    forked_from: UUID | None
    imported_from: str | None
    """Name of the V1 that it came over from."""
    imported_at: datetime | None
    imported_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One event of the log."""

    event_id: UUID
    type: str
    topic: str
    partition: int
    offset: int
    sequence: int
    causation_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    body: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownInput:
    """An input that was taken earlier."""

    type: str
    session_id: UUID | None
    body: dict[str, object]
    occurred_at: datetime


def owns(owner: tuple[str, str]) -> dict[str, object]:
    """Return the values of the names in OWNS; an owner is a tenant and a user."""
    return {"claimed": _CLAIMED, "acts": _ACTS, "tenant": owner[0], "user": owner[1]}


async def session_of(connection: Connection, session_id: UUID) -> SessionStanding | None:
    """Return a session; None: the sink knows none, or not yet who opened it."""
    async with connection.cursor(row_factory=class_row(SessionStanding)) as cursor:
        await cursor.execute(f"{STANDINGS} WHERE id = %s AND tenant_id IS NOT NULL", [session_id])
        return await cursor.fetchone()


async def events_of(
    connection: Connection,
    session_id: UUID,
    owner: tuple[str, str],
    *,
    types: list[str] | None = None,
    topics: list[str] | None = None,
    after: tuple[datetime, int, str, int, int] | None = None,
    limit: int,
) -> list[LoggedEvent]:
    """Return a page of a session's events in the order in which they happened.

    Args:
        connection: to Postgres.
        session_id: of the session.
        owner: tenant and user to whom it belongs.
        types: only facts of these names.
        topics: only what stands on these.
        after: time and place of the last event of the page before.
        limit: how many at most.
    """
    at, sequence, topic, partition, offset = after or (None, None, None, None, None)
    given: dict[str, object] = {
        "session": session_id,
        "types": types,
        "topics": topics,
        "at": at,
        "limit": limit,
    }
    given |= owns(owner)
    given |= {"sequence": sequence, "topic": topic, "partition": partition, "offset": offset}
    async with connection.cursor(row_factory=class_row(LoggedEvent)) as cursor:
        await cursor.execute(_EVENTS, given)
        return await cursor.fetchall()


async def outputs_after(
    connection: Connection, session_id: UUID, sequence: int, limit: int
) -> list[LoggedEvent]:
    """Return what a session told after an event of it, in order."""
    async with connection.cursor(row_factory=class_row(LoggedEvent)) as cursor:
        await cursor.execute(_OUTPUTS, [session_id, sequence, limit])
        return await cursor.fetchall()


async def told_up_to(connection: Connection, session_id: UUID) -> int:
    """Return the sequence of the newest output of a session that the sink has read; 0: there is none."""
    cursor = await connection.execute(_TOLD, [session_id])
    row = await cursor.fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


async def turn_of(connection: Connection, session_id: UUID, input_id: str) -> int | None:
    """Return the sequence at which a message's turn begins; None: the sink has read of none."""
    cursor = await connection.execute(_TURN_OF, [session_id, TURN_BEGINS, input_id])
    row = await cursor.fetchone()
    return None if row is None else int(row[0])


async def is_answer(connection: Connection, session_id: UUID, event_id: UUID) -> bool:
    """Tell whether an event is an answer of a session that the sink has read."""
    cursor = await connection.execute(_ANSWER, [event_id, session_id])
    return await cursor.fetchone() is not None


async def turn_at(connection: Connection, session_id: UUID, sequence: int) -> tuple[str, datetime] | None:
    """Return root task and beginning of the turn that was under way at an event; None: none was."""
    cursor = await connection.execute(_TURN, [session_id, sequence, [TURN_BEGINS, *TURN_ENDS]])
    row = await cursor.fetchone()
    return (str(row[1]), row[2]) if row is not None and row[0] == TURN_BEGINS else None


async def read_up_to(connection: Connection) -> dict[tuple[str, int], int]:
    """Return the offset that the sink reads next, by topic, without the configured prefix, and partition."""
    cursor = await connection.execute(_READ)
    return {(str(topic), int(partition)): int(offset) for topic, partition, offset in await cursor.fetchall()}


async def known_input(connection: Connection, event_id: UUID, tenant: str) -> KnownInput | None:
    """Return the input of an id that the tenant has sent; None: there is none that the sink has read."""
    async with connection.cursor(row_factory=class_row(KnownInput)) as cursor:
        await cursor.execute(_INPUT, [event_id, tenant])
        return await cursor.fetchone()
