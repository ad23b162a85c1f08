"""All that happened in one session: its events by windows, one of them whole, its tasks, and its budget."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection
from sinks.conversations import OWNS, owns
from sinks.patterns import literal_of
from sinks.trace import LABEL

TASKS_MAX: Final = 2_000
_PLACE: Final = 'occurred_at, sequence, topic, partition, "offset"'
_MARK: Final = "%(at)s, %(sequence)s, %(topic)s, %(part)s, %(offset)s"
_WANTED: Final = f"""
    session_id = %(session)s AND {OWNS}
    AND (%(types)s::text[] IS NULL OR type = ANY(%(types)s))
    AND (%(pattern)s::text IS NULL
         OR type ILIKE %(pattern)s OR body::text ILIKE %(pattern)s
         OR event_id::text LIKE %(beginning)s OR subject_id::text LIKE %(beginning)s)
"""
_LINES: Final = f"""
    event_id, type, topic, partition, "offset", sequence, causation_id, occurred_at, subject_id, producer,
    body ->> 'agent' AS agent, body ->> 'tool' AS tool, {LABEL} AS label
"""
_TYPES: Final = f"SELECT type, count(*) FROM event_log WHERE {_WANTED} GROUP BY type"  # noqa: S608  # texts of ours
_WHOLE: Final = f"""
    SELECT event_id, type, topic, partition, "offset", sequence, causation_id, correlation_id, evidence_ids,
           subject_id, occurred_at, recorded_at, user_id, producer, versions, traceparent, body
    FROM event_log WHERE event_id = %(event)s AND session_id = %(session)s AND {OWNS}
    ORDER BY topic LIMIT 1
"""  # noqa: S608  # as above
_TASKS: Final = f"""
    SELECT t.id, t.parent_id, t.intent, t.status, t.agent_assigned AS agent, t.priority, t.created_at,
           t.completed_at, t.cost_budget_tokens, t.estimated_cost_tokens, t.actual_cost_tokens,
           t.error_message, t.retry_count,
           ARRAY(SELECT to_task_id FROM task_edges WHERE from_task_id = t.id
                 AND relation_type IN ('depends_on', 'refines')
                 UNION
                 SELECT from_task_id FROM task_edges WHERE to_task_id = t.id
                 AND relation_type IN ('enables', 'blocks')) AS after
    FROM tasks_v2 t WHERE t.session_id = %s
    ORDER BY t.created_at DESC, t.id LIMIT {TASKS_MAX}
"""  # noqa: S608  # as above
_BALANCE: Final = """
    SELECT tokens_granted, tokens_available, tokens_reserved, tokens_used,
           nanodollars_granted, nanodollars_available, nanodollars_reserved, nanodollars_used
    FROM budget_balances WHERE session_id = %s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One event of a timeline, without its body."""

    event_id: UUID
    type: str
    topic: str
    partition: int
    offset: int
    sequence: int
    causation_id: UUID | None
    occurred_at: datetime
    subject_id: UUID | None
    producer: str
    agent: str | None
    tool: str | None
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeEvent:
    """One event with all that the log has of it."""

    event_id: UUID
    type: str
    topic: str
    partition: int
    offset: int
    sequence: int
    causation_id: UUID | None
    correlation_id: UUID | None
    evidence_ids: list[UUID]
    subject_id: UUID | None
    occurred_at: datetime
    recorded_at: datetime
    user_id: str
    producer: str
    versions: dict[str, object]
    traceparent: str | None
    body: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStanding:
    """A task, as it stands."""

    id: UUID
    parent_id: UUID | None
    intent: str
    status: str
    agent: str | None
    priority: int
    created_at: datetime | None
    completed_at: datetime | None
    cost_budget_tokens: int | None
    estimated_cost_tokens: int | None
    actual_cost_tokens: int | None
    error_message: str | None
    retry_count: int
    after: list[UUID]
    """Tasks that have to end before it may begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a session's accounts hold."""

    tokens_granted: Decimal
    tokens_available: Decimal
    tokens_reserved: Decimal
    tokens_used: Decimal
    nanodollars_granted: Decimal
    nanodollars_available: Decimal
    nanodollars_reserved: Decimal
    nanodollars_used: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEvents:
    """Which of a session's events are wanted."""

    session_id: UUID
    owner: tuple[str, str]
    """Tenant and user to whom the session belongs."""
    types: tuple[str, ...] = ()
    """None of them: of every type."""
    search: str = ""
    """A part of what they say, or the beginning of an id."""

    def given(self) -> dict[str, object]:
        """Return the values of the query's names."""
        literal = literal_of(self.search)
        return owns(self.owner) | {
            "session": self.session_id,
            "types": list(self.types) or None,
            "pattern": f"%{literal}%" if literal else None,
            "beginning": f"{literal.lower()}%",
        }


Mark = tuple[datetime, int, str, int, int]
"""Where an event stands among its session's: time, sequence, topic, partition and offset."""


async def timeline_of(
    connection: Connection, wanted: WantedEvents, *, ascending: bool, after: Mark | None, limit: int
) -> list[Line]:
    """Return a window of a session's events, the newest first or the oldest.

    Args:
        connection: to Postgres.
        wanted: which ones.
        ascending: the oldest first.
        after: where the last event of the window before stands.
        limit: how many at most.
    """
    direction, beyond = ("ASC", ">") if ascending else ("DESC", "<")
    mark = (
        ""
        if after is None
        else f"AND ({_PLACE}) {beyond} (%(at)s, %(sequence)s, %(topic)s, %(part)s, %(offset)s)"
    )
    order = ", ".join(f"{column} {direction}" for column in _PLACE.split(", "))
    query = f"SELECT {_LINES} FROM event_log WHERE {_WANTED} {mark} ORDER BY {order} LIMIT %(limit)s"  # noqa: S608
    at, sequence, topic, partition, offset = after or (None, None, None, None, None)
    place = {"at": at, "sequence": sequence, "topic": topic, "part": partition, "offset": offset}
    async with connection.cursor(row_factory=class_row(Line)) as cursor:
        await cursor.execute(query, wanted.given() | place | {"limit": limit})
        return await cursor.fetchall()


async def types_of(connection: Connection, wanted: WantedEvents) -> dict[str, int]:
    """Return how many events of each type there are of what is wanted."""
    cursor = await connection.execute(_TYPES, wanted.given())
    return dict(await cursor.fetchall())


async def event_of(
    connection: Connection, session_id: UUID, owner: tuple[str, str], event_id: UUID
) -> WholeEvent | None:
    """Return an event of a session; None: it has none of that id that its owner is told of."""
    async with connection.cursor(row_factory=class_row(WholeEvent)) as cursor:
        await cursor.execute(_WHOLE, owns(owner) | {"session": session_id, "event": event_id})
        return await cursor.fetchone()


async def tasks_of(connection: Connection, session_id: UUID) -> list[TaskStanding]:
    """Return the newest tasks of a session, the oldest of them first."""
    async with connection.cursor(row_factory=class_row(TaskStanding)) as cursor:
        await cursor.execute(_TASKS, [session_id])
        return (await cursor.fetchall())[::-1]


async def balance_of(connection: Connection, session_id: UUID) -> Balance | None:
    """Return what a session's accounts hold; None: it was granted nothing yet."""
    async with connection.cursor(row_factory=class_row(Balance)) as cursor:
        await cursor.execute(_BALANCE, [session_id])
        return await cursor.fetchone()
