"""What the user sees: the facts of `session.outputs`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnStarted:
    """A message was taken up."""

    turn: int
    input_id: str
    """Event id of the message."""
    task_id: str
    """The turn's root task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressReported:
    """Something moved."""

    turn: int
    stage: str
    """plan, critique, execute or synthesize."""
    detail: str
    tasks_done: int
    tasks_total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """A task on which an answer rests."""

    task_id: str
    intent: str
    number: int
    """As the answer's text cites it: [1], [2] …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerGiven:
    """The turn ended with an answer."""

    turn: int
    input_id: str
    task_id: str
    """The turn's root task."""
    text: str
    citations: tuple[Citation, ...]
    complete: bool
    """False for the best answer so far: some task did not end well, or money ran out."""
    reason: str
    """answered, budget_exhausted, tasks_failed, deadline or model_failed."""
    model: str
    """The model that wrote the text; empty when it was put together without one."""
    local: bool
    """True when the deterministic local model wrote it."""
    tokens: int
    """What the turn used, all calls together."""
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorReported:
    """An input could not be acted on, or a turn failed without any answer."""

    code: str
    """session_closed, unknown_session, unknown_approval, queue_full, lease_refused or quarantined."""
    message: str
    input_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequested:
    """A tool call waits for a person."""

    approval_id: str
    call_id: str
    task_id: str
    agent: str
    tool: str
    arguments_json: str
    arguments_sha256: str
    reason: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEnded:
    """The session takes no more input."""

    reason: str
    """cancelled, closed, idle or lease_refused."""
    turns: int
    tokens: int
    cost_nanodollars: int


OutputFact = TurnStarted | ProgressReported | AnswerGiven | ErrorReported | ApprovalRequested | SessionEnded
