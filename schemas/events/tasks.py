"""What happens to each task: the facts of `task.events`."""

from dataclasses import dataclass

from schemas.events.models import CallPurpose, ModelFailureKind
from schemas.events.plans import Relation
from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class TaskErrorKind(Word):
    """How an attempt of a task failed.

    The first eight are a model call's; those that begin with `tool_` are a tool call's whose effect may have
    taken place; the last five say why a turn ended without an answer, for its root task.
    """

    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    PROMPT_TOO_LONG = "prompt_too_long"
    INVALID_REQUEST = "invalid_request"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    STEP_LIMIT = "step_limit"
    """It had no answer after the most steps that a task may take."""
    EMPTY_ANSWER = "empty_answer"
    """The model wrote nothing."""
    OUTPUT_INVALID = "output_invalid"
    """What it wrote does not fit the agent's output model, and it could not mend it."""
    TOOL_EXECUTION_ERROR = "tool_execution_error"
    TOOL_STREAMING_ERROR = "tool_streaming_error"
    TOOL_TIMEOUT = "tool_timeout"
    TOOL_UNKNOWN = "tool_unknown"
    TOOL_RESULT_INVALID = "tool_result_invalid"
    TOOL_CANCELLED = "tool_cancelled"
    FAILED = "failed"
    """Told again by a fork whose origin does not say."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    TASKS_FAILED = "tasks_failed"
    DEADLINE = "deadline"
    MODEL_FAILED = "model_failed"
    PLAN_REJECTED = "plan_rejected"


class PruneReason(Word):
    """Why a task was dropped."""

    DEPENDENCY_FAILED = "dependency_failed"
    """A task whose result it needs ended without one."""
    BUDGET_EXHAUSTED = "budget_exhausted"
    DEADLINE = "deadline"
    TASKS_FAILED = "tasks_failed"
    """Another task failed, and the configuration ends the turn then."""
    MODEL_FAILED = "model_failed"
    """The turn's own model call failed."""
    PRUNED = "pruned"
    """Told again by a fork whose origin does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdge:
    """A relation between two tasks of one session."""

    edge_id: Impersonal
    from_task_id: Impersonal
    to_task_id: Impersonal
    relation: Relation
    """`from` is the task that states it."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCreated:
    """A task exists; it is pending unless it was started at once."""

    task_id: Impersonal
    parent_id: Impersonal | None
    plan_id: Impersonal | None
    turn: int
    intent: Personal
    agent: Impersonal
    priority: int
    budget_tokens: int
    """The most tokens that the task's calls may use together."""
    estimated_tokens: int
    spec_json: Personal
    """JSON object: the task as it was planned."""
    edges: tuple[TaskEdge, ...] = ()
    """Relations to tasks created before this one, in either direction."""
    started: bool = False
    """True: its first attempt runs from here on, and no TaskStarted tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReady:
    """Nothing holds the task back but the limit on tasks that run at once."""

    task_id: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """The task runs; one that runs from its creation on has said so there."""

    task_id: Impersonal
    attempt: int
    """1 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted:
    """The task ended well."""

    task_id: Impersonal
    actual_tokens: int
    cost_nanodollars: int
    steps: int
    """Model calls that it took."""
    excerpt: Personal
    """The beginning of its result, at most 1,000 characters; the whole is the evidence event's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetried:
    """An attempt failed, and another follows after a delay."""

    task_id: Impersonal
    attempt: int
    """The attempt that failed."""
    delay_ms: int
    error_kind: TaskErrorKind
    error: Personal
    actual_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The task ended without a result."""

    task_id: Impersonal
    attempt: int
    error_kind: TaskErrorKind
    error: Personal
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPruned:
    """The task was dropped before it could end: it was unaffordable, or what it needs failed."""

    task_id: Impersonal
    reason: PruneReason
    detail: Personal
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAborted:
    """The task was stopped by a cancel or by the end of its session."""

    task_id: Impersonal
    reason: Personal
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStalled:
    """The task has made no progress for longer than the stall limit; it goes on, and people are told."""

    task_id: Impersonal
    silent_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRetried:
    """A failed model call is made again: a turn's own, or a task's whose prompt was longer than reserved.

    Other failures of a task's calls fail the task's attempt, which TaskRetried and TaskFailed tell.
    """

    call_id: Impersonal
    """The call that failed; the next one has another id."""
    task_id: Impersonal
    purpose: CallPurpose
    attempt: int
    """The attempt that failed, from 1; a prompt that was too long does not count as one."""
    delay_ms: int
    """0: at once."""
    error_kind: ModelFailureKind
    error: Personal
    prompt_tokens_min: int = 0
    """What the next call reserves for its prompt at least; 0: as much as is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGivenUp:
    """A turn's own model call failed for the last time; what the turn does without it is told next."""

    call_id: Impersonal
    task_id: Impersonal
    purpose: CallPurpose
    attempt: int
    error_kind: ModelFailureKind
    error: Personal


CallFact = CallRetried | CallGivenUp
TaskFact = (
    TaskCreated
    | TaskReady
    | TaskStarted
    | TaskCompleted
    | TaskRetried
    | TaskFailed
    | TaskPruned
    | TaskAborted
    | TaskStalled
)
