"""The JSON of /api/v2: what requests and answers hold."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
)
from pydantic.alias_generators import to_camel


def _written(given: object) -> object:
    """Let no number pass for a moment."""
    if isinstance(given, int | float) or (isinstance(given, str) and ":" not in given):
        raise ValueError("a moment is written like 2026-01-31T12:00:00Z")
    return given


def _universal(moment: datetime) -> datetime:
    """Return it in UTC: Postgres takes no zone that is sixteen hours away or more."""
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment is one of the years 1 to 9999 in UTC") from error


Moment = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_universal)]
"""A time that a request names, with its zone; told in UTC."""


class Body(BaseModel):
    """What all of them have in common: names as JSON has them, and none that is not known."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", use_attribute_docstrings=True
    )


class Budget(Body):
    """What a session may use in all."""

    tokens: Annotated[int, Field(ge=1, strict=True)] | None = None
    dollars: Annotated[float, Field(gt=0, lt=9_000_000, strict=True)] | None = None


class NewSession(Body):
    """A session to open."""

    user_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    title: Annotated[str, Field(max_length=500)] | None = None
    metadata: dict[str, JsonValue] = {}
    budget: Budget = Budget()


class OpenedSession(Body):
    """A session that was opened."""

    session_id: UUID
    websocket_url: str
    ticket: str
    """Opens the WebSocket from a browser, as the subprotocol `cartrita.ticket.TICKET`."""
    expires_at: datetime
    """When the ticket does; the session itself stays."""
    position: UUID
    """For `status?after=`."""


class NewAttachment(Body):
    """A text that comes with a message."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    media_type: str = "text/plain"
    text: str


class NewMessage(Body):
    """Something that a user says."""

    content: Annotated[str, Field(min_length=1)]
    role: Literal["user"] = "user"
    metadata: dict[str, JsonValue] = {}
    attachments: Annotated[list[NewAttachment], Field(max_length=32)] = []
    agent: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Who is to answer it alone, without a plan."""


class QueuedMessage(Body):
    """An input that is on the log; it is taken up in its turn."""

    message_id: UUID
    status: Literal["queued"] = "queued"
    position: UUID
    """For `status?after=`."""
    repeated: bool = False
    """True: it had been sent before under the same Idempotency-Key."""


class Reason(Body):
    """Why somebody ends a session."""

    reason: Annotated[str, Field(max_length=2_000)] | None = None


class NewFork(Body):
    """A session that goes on from a past point of another one."""

    at: UUID
    """An event of it: the two part after one that it decided, and before one that it was given."""
    message: Annotated[str, Field(min_length=1)] | None = None
    """What is asked in the place of what was in progress; absent: that goes on."""
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The one chat model for all calls; absent: those that are configured."""
    budget: Budget = Budget()


class BudgetChange(Body):
    """What a session may use in all from now on; what is absent stays as it is."""

    tokens: Annotated[int, Field(ge=0, strict=True)] | None = None
    dollars: Annotated[float, Field(ge=0, lt=9_000_000, strict=True)] | None = None
    reason: Annotated[str, Field(max_length=2_000)] | None = None


class Feedback(Body):
    """What somebody thinks of an answer."""

    answer_id: UUID
    """Of the answer, as `messages` and the events tell it."""
    rating: Literal["good", "bad"]
    comment: Annotated[str, Field(max_length=2_000)] | None = None


class _About(Body):
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """Of the request that the person was shown; for another one nothing counts."""
    reason: Annotated[str, Field(max_length=2_000)] | None = None


class Decision(_About):
    """What a person decides about a tool call: this one, once."""

    approved: StrictBool
    """A decision is said as JSON's true or false: what only looks like one is refused."""


class Edit(_About):
    """Other arguments for a tool call; it is asked about anew."""

    arguments: Annotated[str, Field(max_length=65_536)]
    """A JSON object, as text: what will run is this, to the byte."""


class Approval(Body):
    """A tool call that waits, or waited, for a person."""

    approval_id: UUID
    session_id: UUID
    user_id: str
    """Whose session it is."""
    asked_at: datetime
    expires_at: datetime
    status: str
    """waiting, expired, or what became of it: approved, refused, edited, renewed, withdrawn."""
    approver: str | None
    """Who decided."""
    agent: str
    tool: str
    arguments: str
    """JSON, to the byte as it will run."""
    shown: str
    """For the person; nothing in it acts on a terminal."""
    digest: str
    """What a decision has to name."""
    reason: str
    """Why a person is asked."""
    asked_again: str
    """Why again; empty the first time."""
    approvers: list[str]
    """Who may decide; empty: every approver of the tenant."""
    scope: str
    four_eyes: bool


class Approvals(Body):
    """Requests that wait for a person, the oldest first."""

    approvals: list[Approval]


class PastDecision(Body):
    """What became of an earlier request about a call of a tool."""

    approval_id: UUID
    end: str
    """approved, refused, edited, expired, renewed or withdrawn."""
    approver: str
    """Who decided; empty: nobody."""
    reason: str
    at: datetime
    agent: str
    arguments: str


class PastDecisions(Body):
    """What became of earlier requests, the newest first."""

    past: list[PastDecision]


class Finding(Body):
    """What an operator found out about a tool call."""

    carried_out: StrictBool
    result: Annotated[str, Field(max_length=20_000)] | None = None
    """What it gave, as far as is known."""
    reason: Annotated[str, Field(max_length=2_000)] | None = None
    """How it is known."""


class Outcome(Body):
    """A tool call that may have been carried out, and that nobody may repeat until somebody has found out."""

    call_id: UUID
    session_id: UUID
    user_id: str
    """Whose session it is."""
    asked_at: datetime
    expires_at: datetime
    status: str
    """waiting, or what became of it: told, expired, withdrawn."""
    carried_out: bool | None
    """What was told."""
    told_by: str | None
    agent: str
    tool: str
    arguments: str
    """JSON, as it was sent."""
    idempotency_key: str
    """By which the tool may know the call."""
    kind: str
    """How the call ended, as far as is known."""
    message: str


class Outcomes(Body):
    """Calls that somebody has to find out about, the oldest first."""

    outcomes: list[Outcome]


class SessionStatus(Body):
    """How a session stands."""

    session_id: UUID
    status: str
    """imported: it came over from V1, and nobody has spoken in it since."""
    last_activity: datetime | None
    has_web_socket: bool
    """Whether somebody follows it at this gateway."""
    title: str | None = None
    messages: int = 0
    turns: int = 0
    tokens_used: int = 0
    dollars_used: float = 0.0
    budget_tokens: int | None = None
    budget_dollars: float | None = None
    opened_at: datetime | None = None
    ended_at: datetime | None = None
    user_id: str | None = None
    quarantined: bool = False
    """Whether an input of it could not be applied, and nothing was told since."""
    forked_from: UUID | None = None
    imported_from: str | None = None
    """Name of the V1 that it came over from."""
    imported_at: datetime | None = None
    imported_messages: int = 0
    """How many it had there; `messages` are those of since then."""


class SessionPage(Body):
    """Some sessions, in the order that was asked for."""

    sessions: list[SessionStatus]
    next: str | None
    """For `?before=`; null: there are no more."""
    total: int | None = None
    """How many there are in all, where `count` asked for it."""


class Me(Body):
    """What the bearer of a token may do, and for whom."""

    tenant: str
    user: str | None
    """null: any user of the tenant."""
    scopes: list[str]


class Event(Body):
    """One event of a session's log."""

    id: UUID
    type: str
    topic: str
    sequence: int
    causation_id: UUID | None
    occurred_at: datetime
    body: dict[str, JsonValue]


class EventPage(Body):
    """Some events, in the order in which they happened."""

    events: list[Event]
    next: str | None
    """For `?after=`; null: there are no more yet."""


class Message(Body):
    """What a user said, or was answered."""

    id: UUID
    role: Literal["user", "assistant"]
    content: str
    created_at: datetime
    complete: bool | None = None
    """Of an answer: whether all of it could be done."""
    reply_to: UUID | None = None
    reason: str | None = None
    """Of an answer, as what follows: why the turn ended as it did."""
    model: str | None = None
    """Empty: it was put together without one."""
    tokens: int | None = None
    """What the turn used, all calls together."""
    dollars: float | None = None
    imported_from: str | None = None
    """Of what was said in V1: the source's name. `id` is then its row's, and none of an event."""
    imported_at: datetime | None = None
    """When it came over; `createdAt` is when it was said."""


class MessagePage(Body):
    """Some messages, in their order: what came over from V1 before what was said here."""

    messages: list[Message]
    next: str | None
