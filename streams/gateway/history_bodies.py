"""The JSON of /api/v2 about what happened in a session."""

from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from streams.gateway.bodies import Body


class TimelineEvent(Body):
    """One event, without what it says."""

    id: UUID
    type: str
    topic: str
    sequence: int
    causation_id: UUID | None
    occurred_at: datetime
    subject_id: UUID | None
    """What it is about: a task, call, plan, decision or snapshot."""
    producer: str
    agent: str | None
    tool: str | None
    label: str
    """What a person recognises it by, at most 120 characters."""


class TimelinePage(Body):
    """Some events, in the order that was asked for."""

    events: list[TimelineEvent]
    next: str | None
    """For `?after=`; null: there are no more."""
    types: dict[str, int] | None = None
    """How many there are of each type, where `count` asked for it."""


class WholeEvent(Body):
    """One event with all that the log has of it."""

    id: UUID
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
    versions: dict[str, JsonValue]
    traceparent: str | None
    body: dict[str, JsonValue]


class Task(Body):
    """A task, as it stands."""

    id: UUID
    parent_id: UUID | None
    intent: str
    status: str
    agent: str | None
    priority: int
    created_at: datetime | None
    completed_at: datetime | None
    budget_tokens: int | None
    estimated_tokens: int | None
    actual_tokens: int | None
    error: str | None
    retries: int
    after: list[UUID]
    """Tasks that have to end before it may begin."""


class TaskList(Body):
    """A session's tasks, the oldest first; of very many the newest 2,000."""

    tasks: list[Task]


class Amounts(Body):
    """What the accounts of a session hold, in one unit."""

    granted: float
    available: float
    reserved: float
    used: float


class SessionBalance(Body):
    """What a session may use, has set aside for calls that are being made, and has used."""

    tokens: Amounts
    dollars: Amounts


class TracedEvent(Body):
    """One event of a trace."""

    id: UUID
    session_id: UUID | None
    type: str
    topic: str
    sequence: int
    occurred_at: datetime
    producer: str
    label: str
    link: str
    """How it is linked to the one before: start, cause or evidence."""
    depth: int
    """Steps from the start."""
    before: UUID | None
    """The event whose cause, or whose effect, it is."""
    elsewhere: list[UUID]
    """Further causes, or effects, that stand elsewhere in the trace."""
    missing: list[UUID]
    """Causes that are not told here: the log does not have them, or they are somebody else's."""


class EventTrace(Body):
    """Why an event happened, or what it led to: each event once, as a tree is read from its root."""

    events: list[TracedEvent]
    truncated: bool
    """true: there are more events than were asked for."""
