"""/api/v2: what happened in a session, by windows, and why."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query

from processors.amounts import NANODOLLARS
from schemas.events.access import Scope
from schemas.ids import is_uuid
from sinks import otlp, owned_trace, session_history, span_source, spans
from sinks.session_history import Balance, Line, Mark, WantedEvents
from sinks.trace import Node
from streams.gateway.door import require
from streams.gateway.history_bodies import (
    Amounts,
    EventTrace,
    SessionBalance,
    Task,
    TaskList,
    TimelineEvent,
    TimelinePage,
    TracedEvent,
    WholeEvent,
)
from streams.gateway.lists_api import SEARCH_CHARACTERS_MAX
from streams.gateway.pages import mark_of, moment_in, number_in, parts_of
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router

TRACE_EVENTS_MAX: Final = 1_000

router: Final = make_router()


@router.get("/sessions/{session_id}/timeline")
async def timeline(
    session_id: str,
    front: Doors,
    bearer: Bearer,
    *,
    after: str | None = None,
    limit: Limit = 100,
    type: Annotated[list[str], Query(max_length=64)] = [],  # noqa: A002, B006  # the parameter's name; it is copied
    search: Annotated[str, Query(max_length=SEARCH_CHARACTERS_MAX)] = "",
    direction: Literal["descending", "ascending"] = "descending",
    count: bool = False,
) -> TimelinePage:
    """List a session's events without what they say, the newest first, by windows.

    `search` is a part of what events say, or the beginning of the id of one or of what it is about.
    """
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    wanted = WantedEvents(
        session_id=UUID(session_id),
        owner=(owner.tenant, owner.user),
        types=tuple(one.replace("\0", "") for one in type),
        search=search.replace("\0", "").strip(),
    )
    async with front.door.database(owner) as connection:
        page = await session_history.timeline_of(
            connection,
            wanted,
            ascending=direction == "ascending",
            after=None if after is None else _mark(after),
            limit=limit,
        )
        types = await session_history.types_of(connection, wanted) if count else None
    return TimelinePage(
        events=[_line(one) for one in page],
        next=_mark_of(page[-1]) if len(page) == limit else None,
        types=types,
    )


@router.get("/sessions/{session_id}/events/{event_id}")
async def one_event(session_id: str, event_id: UUID, front: Doors, bearer: Bearer) -> WholeEvent:
    """Tell all that the log has of one event."""
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    async with front.door.database(owner) as connection:
        found = await session_history.event_of(
            connection, UUID(session_id), (owner.tenant, owner.user), event_id
        )
    if found is None:
        raise _no_event()
    return WholeEvent(
        id=found.event_id,
        type=found.type,
        topic=found.topic,
        partition=found.partition,
        offset=found.offset,
        sequence=found.sequence,
        causation_id=found.causation_id,
        correlation_id=found.correlation_id,
        evidence_ids=found.evidence_ids,
        subject_id=found.subject_id,
        occurred_at=found.occurred_at,
        recorded_at=found.recorded_at,
        user_id=found.user_id,
        producer=found.producer,
        versions=found.versions,  # type: ignore[arg-type]  # it came as JSON
        traceparent=found.traceparent,
        body=found.body,  # type: ignore[arg-type]  # likewise
    )


@router.get("/sessions/{session_id}/tasks")
async def tasks(session_id: str, front: Doors, bearer: Bearer) -> TaskList:
    """List a session's tasks, and what each has to wait for."""
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    async with front.door.database(owner) as connection:
        found = await session_history.tasks_of(connection, UUID(session_id))
    listed = [
        Task(
            id=one.id,
            parent_id=one.parent_id,
            intent=one.intent,
            status=one.status,
            agent=one.agent,
            priority=one.priority,
            created_at=one.created_at,
            completed_at=one.completed_at,
            budget_tokens=one.cost_budget_tokens,
            estimated_tokens=one.estimated_cost_tokens,
            actual_tokens=one.actual_cost_tokens,
            error=one.error_message,
            retries=one.retry_count,
            after=one.after,
        )
        for one in found
    ]
    return TaskList(tasks=listed)


@router.get("/sessions/{session_id}/spans")
async def session_spans(
    session_id: str, front: Doors, bearer: Bearer, *, content: bool = False
) -> dict[str, object]:
    """Tell a session as OpenTelemetry spans: the body of a request to a receiver's `/v1/traces`, as JSON.

    `content` adds what people, models and tools said.
    """
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    async with front.door.database(owner) as connection:
        try:
            events = await span_source.events_of(
                connection, UUID(session_id), (owner.tenant, owner.user), content=content
            )
        except span_source.TooManyEvents as error:
            raise Problem(413, str(error), code="too_many_events") from error
    # A session may have very many events; others are served meanwhile.
    made = await asyncio.to_thread(spans.spans_of, session_id, events, content=content)
    return await asyncio.to_thread(lambda: otlp.as_plain(otlp.request_of(made)))


@router.get("/sessions/{session_id}/balance")
async def balance(session_id: str, front: Doors, bearer: Bearer) -> SessionBalance:
    """Tell what a session may use, has set aside and has used."""
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    async with front.door.database(owner) as connection:
        found = await session_history.balance_of(connection, UUID(session_id))
    return _balance(found)


@router.get("/events/{event_id}/trace")
async def event_trace(
    event_id: str,
    front: Doors,
    bearer: Bearer,
    *,
    effects: bool = False,
    limit: Annotated[int, Query(ge=1, le=TRACE_EVENTS_MAX)] = 200,
) -> EventTrace:
    """Tell why an event happened, down to what people said; or with `effects`, what it led to."""
    require(bearer, Scope.READ)
    if not is_uuid(event_id):
        raise _no_event()
    wanted = UUID(event_id)
    async with front.door.database(bearer) as connection:
        session = await owned_trace.session_of_event(connection, wanted, bearer.tenant, bearer.user)
    if session is None:
        raise _no_event()
    owner = await front.door.owner(bearer, str(session))
    async with front.door.database(owner) as connection:
        found = await owned_trace.owned_trace(
            connection,
            session,
            (owner.tenant, owner.user),
            wanted,
            effects=effects,
            events_max=limit,
        )
    if found is None:
        raise _no_event()
    return EventTrace(events=list(_traced(found.root)), truncated=found.truncated)


def _no_event() -> Problem:
    """Return what is said of an event that is not there, and of one that is somebody else's."""
    return Problem(404, "there is no such event", code="event_not_found")


def _mark(text: str) -> Mark:
    at, sequence, topic, partition, offset = parts_of(text, 5)
    return moment_in(at), number_in(sequence), topic, number_in(partition), number_in(offset)


def _mark_of(last: Line) -> str:
    numbers = map(str, (last.partition, last.offset))
    return mark_of(last.occurred_at.isoformat(), str(last.sequence), last.topic, *numbers)


def _line(one: Line) -> TimelineEvent:
    return TimelineEvent(
        id=one.event_id,
        type=one.type,
        topic=one.topic,
        sequence=one.sequence,
        causation_id=one.causation_id,
        occurred_at=one.occurred_at,
        subject_id=one.subject_id,
        producer=one.producer,
        agent=one.agent,
        tool=one.tool,
        label=one.label,
    )


def _balance(found: Balance | None) -> SessionBalance:
    if found is None:
        nothing = Amounts(granted=0, available=0, reserved=0, used=0)
        return SessionBalance(tokens=nothing, dollars=nothing)
    return SessionBalance(
        tokens=Amounts(
            granted=float(found.tokens_granted),
            available=float(found.tokens_available),
            reserved=float(found.tokens_reserved),
            used=float(found.tokens_used),
        ),
        dollars=Amounts(
            granted=float(found.nanodollars_granted) / NANODOLLARS,
            available=float(found.nanodollars_available) / NANODOLLARS,
            reserved=float(found.nanodollars_reserved) / NANODOLLARS,
            used=float(found.nanodollars_used) / NANODOLLARS,
        ),
    )


def _traced(root: Node) -> Iterator[TracedEvent]:
    """Tell a tree from its root on, each branch to its end before the next one."""
    waiting: list[tuple[Node, int, UUID | None]] = [(root, 0, None)]
    while waiting:
        node, depth, before = waiting.pop()
        event = node.event
        yield TracedEvent(
            id=event.event_id,
            session_id=event.session_id,
            type=event.type,
            topic=event.topic,
            sequence=event.sequence,
            occurred_at=event.occurred_at,
            producer=event.producer,
            label=event.label,
            link=node.link,
            depth=depth,
            before=before,
            elsewhere=node.elsewhere,
            missing=node.missing,
        )
        waiting += [(child, depth + 1, event.event_id) for child in reversed(node.children)]
