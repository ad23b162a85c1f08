"""/api/v2: sessions, what is said in them, and what happened."""

import time
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Security
from fastapi.security import HTTPBearer

from processors.amounts import NANODOLLARS, nanodollars_of
from schemas.events.access import Scope
from schemas.events.inputs import (
    Attachment,
    FeedbackGiven,
    ForkRequested,
    InputFact,
    MessageReceived,
    Rating,
    SessionBudgetSet,
    SessionCancelled,
    SessionClosed,
    SessionOpened,
)
from sinks import conversations
from sinks.connection import Connection
from sinks.conversations import LoggedEvent, SessionStanding
from sinks.session_messages import ImportedMessage, Mark, mark_of_message, messages_of
from streams.gateway.access import LIFETIME_S, Principal, Purpose
from streams.gateway.bodies import (
    Budget,
    BudgetChange,
    Event,
    EventPage,
    Feedback,
    Message,
    MessagePage,
    NewFork,
    NewMessage,
    NewSession,
    OpenedSession,
    QueuedMessage,
    Reason,
    SessionStatus,
)
from streams.gateway.door import Posted, require
from streams.gateway.front import Front
from streams.gateway.metadata import metadata_json
from streams.gateway.pages import mark_of, moment_in, number_in, parts_of
from streams.gateway.problems import OPENAPI_RESPONSES, Problem

PAGE_MAX: Final = 200


def make_router() -> APIRouter:
    """Return a router for some of /api/v2."""
    bearer = HTTPBearer(auto_error=False, description="A token, as `cartrita tokens` makes it.")
    return APIRouter(prefix="/api/v2", dependencies=[Security(bearer)], responses=OPENAPI_RESPONSES)


router: Final = make_router()


def front_of(request: Request) -> Front:
    """Return what the routes share."""
    front = request.app.state.front
    assert isinstance(front, Front)
    return front


def principal_of(request: Request) -> Principal:
    """Return on whose behalf the request acts; the guard has let nobody else through."""
    principal = request.state.principal
    assert isinstance(principal, Principal)
    return principal


Doors = Annotated[Front, Depends(front_of)]
Bearer = Annotated[Principal, Depends(principal_of)]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


@router.post("/sessions", status_code=201)
async def open_session(
    new: NewSession, front: Doors, bearer: Bearer, idempotency_key: IdempotencyKey = None
) -> OpenedSession:
    """Open a session."""
    opened = SessionOpened(
        title=new.title,
        budget_tokens=new.budget.tokens,
        budget_nanodollars=_nanodollars(new.budget),
        metadata_json=metadata_json(new.metadata),
    )
    return _opened(front, bearer, await front.door.open(bearer, new.user_id, opened, idempotency_key))


def _opened(front: Front, bearer: Principal, posted: Posted) -> OpenedSession:
    session_id = posted.event.session_id
    return OpenedSession(
        session_id=UUID(session_id),
        websocket_url=f"/ws/{session_id}",
        ticket=front.ticket(bearer, session_id),
        expires_at=datetime.fromtimestamp(time.time() + LIFETIME_S[Purpose.TICKET]).astimezone(),
        position=UUID(posted.event.event_id),
    )


@router.post("/sessions/{session_id}/messages", status_code=202)
async def send_message(
    session_id: str, new: NewMessage, front: Doors, bearer: Bearer, idempotency_key: IdempotencyKey = None
) -> QueuedMessage:
    """Say something in a session; answered once Kafka has it."""
    if new.agent is not None and new.agent not in front.agents:
        raise Problem(422, f"there is no agent {new.agent[:100]!r}", code="invalid_request", param="agent")
    body = MessageReceived(
        text=new.content,
        attachments=tuple(
            Attachment(name=one.name, media_type=one.media_type, text=one.text) for one in new.attachments
        ),
        metadata_json=metadata_json(new.metadata),
        agent=new.agent,
    )
    return queued(await front.door.say(bearer, session_id, body, idempotency_key))


@router.post("/sessions/{session_id}/cancel", status_code=202)
async def cancel_session(
    session_id: str, front: Doors, bearer: Bearer, why: Reason | None = None
) -> QueuedMessage:
    """Stop a session: what it does is aborted, and it takes no more."""
    return await act(front, bearer, session_id, SessionCancelled(reason=why.reason if why else None))


@router.post("/sessions/{session_id}/close", status_code=202)
async def close_session(
    session_id: str, front: Doors, bearer: Bearer, why: Reason | None = None
) -> QueuedMessage:
    """End a session once the messages that it has taken are answered."""
    return await act(front, bearer, session_id, SessionClosed(reason=why.reason if why else None))


@router.post("/sessions/{session_id}/fork", status_code=201)
async def fork_session(
    session_id: str, wanted: NewFork, front: Doors, bearer: Bearer, idempotency_key: IdempotencyKey = None
) -> OpenedSession:
    """Go on from a past point of a session in a new one, with a budget of its own and no approvals."""
    fact = ForkRequested(
        origin_session_id=session_id,
        origin_event_id=str(wanted.at),
        text=wanted.message,
        model=wanted.model,
        budget_tokens=wanted.budget.tokens,
        budget_nanodollars=_nanodollars(wanted.budget),
    )
    return _opened(front, bearer, await front.door.fork(bearer, fact, idempotency_key))


@router.post("/sessions/{session_id}/budget", status_code=202)
async def set_budget(session_id: str, change: BudgetChange, front: Doors, bearer: Bearer) -> QueuedMessage:
    """Raise or lower what a session may use in all; an operator's act."""
    dollars = change.dollars
    fact = SessionBudgetSet(
        tokens=change.tokens,
        nanodollars=None if dollars is None else nanodollars_of(dollars, least=0),
        reason=change.reason,
    )
    return await act(front, bearer, session_id, fact)


@router.post("/sessions/{session_id}/feedback", status_code=202)
async def give_feedback(session_id: str, given: Feedback, front: Doors, bearer: Bearer) -> QueuedMessage:
    """Say what one thinks of an answer of the session; it is kept on its log, and changes nothing."""
    require(bearer, Scope.SEND)
    await front.door.owner(bearer, session_id, wait=True)

    async def answer(connection: Connection) -> UUID | None:
        is_there = await conversations.is_answer(connection, UUID(session_id), given.answer_id)
        return given.answer_id if is_there else None

    if await front.door.lately(bearer, answer) is None:
        raise Problem(404, "the session has no such answer", code="answer_not_found", param="answerId")
    fact = FeedbackGiven(answer_id=str(given.answer_id), rating=Rating(given.rating), comment=given.comment)
    return await act(front, bearer, session_id, fact)


@router.get("/sessions/{session_id}/status")
async def session_status(
    session_id: str, front: Doors, bearer: Bearer, after: UUID | None = None
) -> SessionStatus:
    """Tell how a session stands; with `after`, waits a moment until that input is in it."""
    require(bearer, Scope.READ)
    if after is not None:
        await front.door.owner(bearer, session_id, wait=True)
        await front.door.lately(
            bearer, partial(conversations.known_input, event_id=after, tenant=bearer.tenant)
        )
    standing = await front.door.standing(bearer, session_id)
    return status_of(front, session_id, standing)


@router.get("/sessions/{session_id}/events")
async def session_events(
    session_id: str, front: Doors, bearer: Bearer, after: str | None = None, limit: Limit = 100
) -> EventPage:
    """List a session's events, with what each says and which one caused it."""
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    mark = _mark(after)
    async with front.door.database(bearer) as connection:
        page = await conversations.events_of(
            connection, UUID(session_id), (owner.tenant, owner.user), after=mark, limit=limit
        )
    following = _following(page, limit)
    events = [
        Event(
            id=one.event_id,
            type=one.type,
            topic=one.topic,
            sequence=one.sequence,
            causation_id=one.causation_id,
            occurred_at=one.occurred_at,
            body=one.body,  # type: ignore[arg-type]  # it came as JSON
        )
        for one in page
    ]
    return EventPage(events=events, next=following)


@router.get("/sessions/{session_id}/messages")
async def session_messages(
    session_id: str, front: Doors, bearer: Bearer, after: str | None = None, limit: Limit = 100
) -> MessagePage:
    """List what was said in a session, and what was answered; first what came over of it from V1."""
    require(bearer, Scope.READ)
    owner = await front.door.owner(bearer, session_id)
    mark = _mark(after)
    async with front.door.database(bearer) as connection:
        page = await messages_of(
            connection, UUID(session_id), (owner.tenant, owner.user), after=mark, limit=limit
        )
    following = _following(page, limit)
    return MessagePage(messages=[_message(one) for one in page], next=following)


def _nanodollars(budget: Budget) -> int | None:
    return None if budget.dollars is None else nanodollars_of(budget.dollars)


async def act(front: Front, bearer: Principal, session_id: str, fact: InputFact) -> QueuedMessage:
    """Write an input that is one each time it is asked for, and tell of it."""
    return queued(await front.door.say(bearer, session_id, fact))


def queued(posted: Posted) -> QueuedMessage:
    """Tell of what Kafka has."""
    message_id = UUID(posted.event.event_id)
    return QueuedMessage(message_id=message_id, position=message_id, repeated=posted.repeated)


def _mark(after: str | None) -> Mark | None:
    if after is None:
        return None
    at, sequence, topic, partition, offset = parts_of(after, 5)
    return moment_in(at), number_in(sequence), topic, number_in(partition), number_in(offset)


def _following(page: Sequence[LoggedEvent | ImportedMessage], limit: int) -> str | None:
    """Return the mark behind which the next window begins; None: this is the last one."""
    if len(page) < limit:
        return None
    at, sequence, topic, partition, offset = mark_of_message(page[-1])
    return mark_of(at.isoformat(), str(sequence), topic, str(partition), str(offset))


def _message(event: LoggedEvent | ImportedMessage) -> Message:
    if isinstance(event, ImportedMessage):
        return Message(
            id=event.message_id,
            role="user" if event.role == "user" else "assistant",
            content=event.text,
            created_at=event.said_at,
            imported_from=event.origin,
            imported_at=event.came_at,
        )
    said = Message(
        id=event.event_id,
        role="user",
        content=str(event.body.get("text", "")),
        created_at=event.occurred_at,
    )
    if event.type != "AnswerGiven":
        return said
    body = event.body
    answer = {
        "role": "assistant",
        "complete": bool(body.get("complete")),
        "reply_to": UUID(str(body["input_id"])),
        "reason": str(body.get("reason", "")),
        "model": str(body.get("model", "")),
        "tokens": int(str(body.get("tokens", 0))),
        "dollars": int(str(body.get("cost_nanodollars", 0))) / NANODOLLARS,
    }
    return said.model_copy(update=answer)


def status_of(front: Front, session_id: str, standing: SessionStanding | None) -> SessionStatus:
    """Return a session as it is told; `standing` is None as long as the sink has not read of it."""
    follows = front.feed.follows(session_id)
    if standing is None:
        return SessionStatus(
            session_id=UUID(session_id), status="queued", last_activity=None, has_web_socket=follows
        )
    nanodollars = standing.budget_nanodollars
    return SessionStatus(
        session_id=standing.id,
        status=standing.status,
        last_activity=standing.last_activity,
        has_web_socket=follows,
        title=standing.title,
        messages=standing.messages,
        turns=standing.turns,
        tokens_used=standing.tokens_used,
        dollars_used=standing.nanodollars_used / NANODOLLARS,
        budget_tokens=standing.budget_tokens,
        budget_dollars=None if nanodollars is None else nanodollars / NANODOLLARS,
        opened_at=standing.opened_at,
        ended_at=standing.ended_at,
        user_id=standing.user_id,
        quarantined=standing.quarantined,
        forked_from=standing.forked_from,
        imported_from=standing.imported_from,
        imported_at=standing.imported_at,
        imported_messages=standing.imported_messages,
    )
