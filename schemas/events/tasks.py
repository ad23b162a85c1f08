"""What happens to each task: the facts of `task.events`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEdge:
    """A relation between two tasks of one session."""

    edge_id: str
    from_task_id: str
    to_task_id: str
    relation: str
    """depends_on, blocks, enables or refines; `from` is the task that states it."""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCreated:
    """A task exists; it is pending unless it was started at once."""

    task_id: str
    parent_id: str | None
    plan_id: str | None
    turn: int
    intent: str
    agent: str
    priority: int
    budget_tokens: int
    """The most tokens that the task's calls may use together."""
    estimated_tokens: int
    spec_json: str
    """JSON object: the task as it was planned."""
    edges: tuple[TaskEdge, ...] = ()
    """Relations to tasks created before this one, in either direction."""
    started: bool = False
    """True: its first attempt runs from here on, and no TaskStarted tells of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReady:
    """Nothing holds the task back but the limit on tasks that run at once."""

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStarted:
    """The task runs; one that runs from its creation on has said so there."""

    task_id: str
    attempt: int
    """1 for the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted:
    """The task ended well."""

    task_id: str
    actual_tokens: int
    cost_nanodollars: int
    steps: int
    """Model calls that it took."""
    excerpt: str
    """The beginning of its result, at most 1,000 characters; the whole is the evidence event's text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRetried:
    """An attempt failed, and another follows after a delay."""

    task_id: str
    attempt: int
    """The attempt that failed."""
    delay_ms: int
    error_kind: str
    error: str
    actual_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed:
    """The task ended without a result."""

    task_id: str
    attempt: int
    error_kind: str
    error: str
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPruned:
    """The task was dropped before it could end: it was unaffordable, or what it needs failed."""

    task_id: str
    reason: str
    """dependency_failed, budget_exhausted or deadline."""
    detail: str
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAborted:
    """The task was stopped by a cancel or by the end of its session."""

    task_id: str
    reason: str
    actual_tokens: int
    cost_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStalled:
    """The task has made no progress for longer than the stall limit; it goes on, and people are told."""

    task_id: str
    silent_ms: int


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
