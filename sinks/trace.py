"""Why something happened, and what it led to: one recursive query over the event log, shown as a tree."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

EVENTS_MAX: Final = 10_000
LABEL_CHARACTERS_MAX: Final = 120

LABEL: Final = f"""
    left(regexp_replace(left(COALESCE(
        NULLIF(body ->> 'text', ''), body ->> 'intent', body ->> 'query', body ->> 'excerpt',
        body ->> 'error', body ->> 'reason', body ->> 'detail', body ->> 'tool',
        body ->> 'purpose' || COALESCE(': ' || (
            SELECT string_agg(r.reason ->> 'detail', '; ' ORDER BY r.place)
            FROM jsonb_array_elements(
                CASE jsonb_typeof(body -> 'routing') WHEN 'array' THEN body -> 'routing' END
            ) WITH ORDINALITY AS r(reason, place)
        ), ''), ''
    ), {4 * LABEL_CHARACTERS_MAX}), '\\s+', ' ', 'g'), {LABEL_CHARACTERS_MAX})
"""  # noqa: S608  # numbers of our own
"""What a person recognises an event by; the body itself may be large and stays in the database."""
COLUMNS: Final = f"""
    event_id, topic, partition, "offset", type, session_id, sequence, occurred_at,
    causation_id, evidence_ids, subject_id, producer, {LABEL} AS label
"""
CAUSES: Final = f"SELECT {COLUMNS} FROM cartrita_trace(%s, %s)"  # noqa: S608  # names of our own columns
EFFECTS: Final = f"SELECT {COLUMNS} FROM cartrita_effects(%s, %s)"  # noqa: S608  # as above
_START: Final = "SELECT event_id FROM cartrita_trace_start(%s, %s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedEvent:
    """One event of a trace."""

    event_id: UUID
    topic: str
    partition: int
    offset: int
    type: str
    session_id: UUID | None
    sequence: int
    occurred_at: datetime
    causation_id: UUID | None
    evidence_ids: tuple[UUID, ...]
    subject_id: UUID | None
    producer: str
    label: str
    """What a person recognises it by, at most 120 characters."""


@dataclass(slots=True, kw_only=True)
class Node:
    """One event in the tree."""

    event: TracedEvent
    link: str
    """How it is linked to the node above: start, cause or evidence."""
    children: list["Node"] = field(default_factory=list)
    """Its causes (or effects); each event stands once, where it is the fewest steps from the start."""
    elsewhere: list[UUID] = field(default_factory=list)
    """Further causes (or effects) that stand elsewhere in the tree."""
    missing: list[UUID] = field(default_factory=list)
    """Causes that the event log does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A tree of causes, or of effects."""

    root: Node
    events: int
    truncated: bool
    """True when there are more events than were asked for."""


async def trace(
    connection: AsyncConnection[TupleRow],
    given: UUID,
    *,
    effects: bool = False,
    events_max: int = EVENTS_MAX,
) -> Trace | None:
    """Return why `given` happened, down to the users' inputs; or, for `effects`, what it led to.

    Args:
        connection: to Postgres.
        given: id of an event, task, model or tool call, plan, decision, snapshot, or session.
        effects: look forward instead.
        events_max: bounds the answer; the nearest events are kept, and one more tells that there were more.

    Returns:
        None when nothing of that id is known.
    """
    started = await connection.execute(_START, [given, effects])
    start = await started.fetchone()
    if start is None:
        return None
    cursor = await connection.execute(EFFECTS if effects else CAUSES, [given, events_max + 1])
    events = events_of(await cursor.fetchall())
    truncated = len(events) > events_max
    return tree(start[0], events, effects=effects, truncated=truncated)


def events_of(rows: Sequence[TupleRow]) -> list[TracedEvent]:
    """Return the events that the rows of CAUSES or EFFECTS stand for."""
    return [_event(row) for row in rows]


def tree(start: UUID, events: Sequence[TracedEvent], *, effects: bool, truncated: bool = False) -> Trace:
    """Lay a set of events out as a tree, breadth first from `start`, so that cycles and diamonds end."""
    by_id = {event.event_id: event for event in events}
    links = _effects_of(events) if effects else _causes_of(events)
    root = Node(event=by_id[start], link="start")
    placed = {start}
    waiting = deque([root])
    while waiting:
        node = waiting.popleft()
        for identity, link in links.get(node.event.event_id, ()):
            if identity not in by_id:
                node.missing.append(identity)
            elif identity in placed:
                node.elsewhere.append(identity)
            else:
                placed.add(identity)
                child = Node(event=by_id[identity], link=link)
                node.children.append(child)
                waiting.append(child)
    return Trace(root=root, events=len(placed), truncated=truncated)


_Links = dict[UUID, list[tuple[UUID, str]]]


def _causes_of(events: Sequence[TracedEvent]) -> _Links:
    links: _Links = {}
    for event in events:
        direct = [(event.causation_id, "cause")] if event.causation_id is not None else []
        others = [(one, "evidence") for one in event.evidence_ids if one != event.causation_id]
        links[event.event_id] = [*direct, *others]
    return links


def _effects_of(events: Sequence[TracedEvent]) -> _Links:
    links: _Links = {}
    for event in sorted(events, key=lambda one: (one.occurred_at, one.sequence)):
        for cause, link in _causes_of([event])[event.event_id]:
            links.setdefault(cause, []).append((event.event_id, link))
    return links


def _event(row: TupleRow) -> TracedEvent:
    return TracedEvent(
        event_id=row[0],
        topic=row[1],
        partition=row[2],
        offset=row[3],
        type=row[4],
        session_id=row[5],
        sequence=row[6],
        occurred_at=row[7],
        causation_id=row[8],
        evidence_ids=tuple(row[9]),
        subject_id=row[10],
        producer=row[11],
        label=row[12],
    )
