"""What the user sees: the facts of `session.outputs`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class Stage(Word):
    """How far a turn is."""

    PLAN = "plan"
    CRITIQUE = "critique"
    EXECUTE = "execute"
    SYNTHESIZE = "synthesize"


class AnswerReason(Word):
    """Why a turn ended as it did."""

    ANSWERED = "answered"
    BUDGET_EXHAUSTED = "budget_exhausted"
    """Too little was left to go on."""
    TASKS_FAILED = "tasks_failed"
    """A task failed, or was dropped."""
    DEADLINE = "deadline"
    """The turn's time was up."""
    MODEL_FAILED = "model_failed"
    """The planner's or the synthesizer's model did."""
    PLAN_REJECTED = "plan_rejected"
    """No plan passed validation; behaviours up to 4 gave no answer then."""
    UNPLANNED = "unplanned"
    """No plan could be had, and one task of the default agent answered in full."""


class ErrorCode(Word):
    """Why an input could not be acted on."""

    SESSION_CLOSED = "session_closed"
    UNKNOWN_SESSION = "unknown_session"
    UNKNOWN_APPROVAL = "unknown_approval"
    """Nothing waits for it: it was decided before, has expired, or is of another session."""
    APPROVAL_REFUSED = "approval_refused"
    """A decision does not count, and the request goes on waiting: the message says why."""
    UNKNOWN_CALL = "unknown_call"
    """Nobody is asked what became of the call."""
    QUEUE_FULL = "queue_full"
    LEASE_REFUSED = "lease_refused"
    SESSION_EXISTS = "session_exists"
    """A fork begins a new session."""
    FORK_INVALID = "fork_invalid"
    """The point cannot be gone on from."""


class NoticeCode(Word):
    """What a notice is about."""

    BUDGET_SET = "budget_set"
    """An operator set the session's budget; the message says what it is now."""
    BUDGET_IGNORED = "budget_ignored"
    """An input named a budget, and the session has one already."""
    BUDGET_SPENT = "budget_spent"
    """The answer that follows is less than it could be; the message says how to get more."""


class EndReason(Word):
    """Why a session ended."""

    CANCELLED = "cancelled"
    CLOSED = "closed"
    IDLE = "idle"
    """Nobody spoke in it for too long."""
    LEASE_REFUSED = "lease_refused"
    """Its account has nothing left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A message was taken up."""

    turn: int
    input_id: Impersonal
    """Event id of the message."""
    task_id: Impersonal
    """The turn's root task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """Something moved."""

    turn: int
    stage: Stage
    detail: Personal
    tasks_done: int
    tasks_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A task on which an answer rests."""

    task_id: Impersonal
    intent: Personal
    number: int
    """As the answer's text cites it: [1], [2] …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerGiven:
    """The turn ended with an answer."""

    turn: int
    input_id: Impersonal
    task_id: Impersonal
    """The turn's root task."""
    text: Personal
    citations: tuple[Citation, ...]
    complete: bool
    """False for the best answer so far: some task did not end well, or money ran out."""
    reason: AnswerReason
    model: Impersonal
    """The model that wrote the text; empty when it was put together without one."""
    local: bool
    """True when the deterministic local model wrote it."""
    tokens: int
    """What the turn used, all calls together."""
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReported:
    """An input could not be acted on, or a turn failed without any answer."""

    code: ErrorCode
    message: Personal
    input_id: Impersonal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeGiven:
    """Something that a person should know of an input that was acted on."""

    code: NoticeCode
    message: Personal
    input_id: Impersonal


class ApprovalEnd(Word):
    """What became of an approval request."""

    APPROVED = "approved"
    """For this call, once."""
    REFUSED = "refused"
    EDITED = "edited"
    """The call was decided anew with other arguments."""
    EXPIRED = "expired"
    """Nobody decided in time: the call is refused."""
    RENEWED = "renewed"
    """What it rested on has changed, so that the call was decided anew."""
    WITHDRAWN = "withdrawn"
    """The task that wanted the call has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A tool call waits for a person."""

    approval_id: Impersonal
    call_id: Impersonal
    task_id: Impersonal
    agent: Impersonal
    tool: Impersonal
    arguments_json: Personal
    """What will run, to the byte."""
    arguments_sha256: Impersonal
    reason: Impersonal
    expires_at_ms: int
    tool_version: Impersonal = ""
    tool_schema_sha256: Impersonal = ""
    """SHA-256 of the JSON Schema of the tool's arguments."""
    message: Impersonal = ""
    """Where the message stands whose attachments the tool may read: topic/partition/offset."""
    policy: Impersonal = ""
    """Content hash of the policy that asks."""
    rule: Impersonal = ""
    """Name of the rule that asks."""
    shown: Personal = ""
    """What a person is shown, without anything that acts on a terminal; the digest covers it."""
    digest: Impersonal = ""
    """What a decision has to name: SHA-256 over what runs, for whom, by which policy, and what is shown."""
    approvers: tuple[Impersonal, ...] = ()
    """Who may decide; empty: every approver of the tenant."""
    scope: Impersonal = ""
    """What the approver must be good for; empty: anything."""
    four_eyes: bool = False
    """True: neither the user of the session nor who wrote the arguments may approve."""
    replaces: Impersonal | None = None
    """The request of the same call before this one."""
    asked_again: Personal = ""
    """Why it is asked again; empty the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalClosed:
    """An approval request waits for nobody any more."""

    approval_id: Impersonal
    call_id: Impersonal
    end: ApprovalEnd
    approver: Personal = ""
    """Who decided or edited; empty where nobody did."""
    reason: Personal = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeAsked:
    """A tool call may have been carried out, and repeating it may do harm: a person has to find out."""

    call_id: Impersonal
    task_id: Impersonal
    agent: Impersonal
    tool: Impersonal
    arguments_json: Personal
    idempotency_key: Impersonal
    """By which the tool may know the call."""
    kind: Impersonal
    """How the call ended, as far as is known: a ToolFailureKind."""
    message: Personal
    expires_at_ms: int
    """From then on the call counts as one of which nobody knows, and its task ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The session takes no more input."""

    reason: EndReason
    turns: int
    tokens: int
    cost_nanodollars: int


OutputFact = (
    TurnStarted
    | ProgressReported
    | AnswerGiven
    | ErrorReported
    | ApprovalRequested
    | SessionEnded
    | NoticeGiven
    | OutcomeAsked
    | ApprovalClosed
)
