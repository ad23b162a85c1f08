"""The state of a session: what its deciders need to know; it stays small, as texts go by reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from processors.client_state import CallAccount, ClientCall
from processors.health import ModelFailures
from processors.memory.state import Exchange, ImportedPast, Summary, SummaryCall
from processors.provenance import UNNOTED, Provenance
from schemas.configuration import Policy
from schemas.events.models import PromptMessage, ToolCallProposed
from schemas.events.outputs import AnswerReason
from schemas.events.plans import Difficulty, PlannedTask
from schemas.events.tools import CallApproval, Retrieval
from schemas.events.trust import Trust
from schemas.references import RecordReference

TOOL_PREFIX: Final = "tool:"


class SessionStatus(StrEnum):
    """Where a session stands."""

    NEW = "new"
    LEASING = "leasing"
    """It waits for its account's lease."""
    OPEN = "open"
    CLOSING = "closing"
    """It ends when the turns that it has taken have ended."""
    ENDED = "ended"


class Phase(StrEnum):
    """Where a turn stands."""

    PLAN = "plan"
    CRITIQUE = "critique"
    EXECUTE = "execute"
    SYNTHESIZE = "synthesize"


class TaskStatus(StrEnum):
    """Where a task stands; the last four are ends."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    PRUNED = "pruned"
    ABORTED = "aborted"

    @property
    def is_end(self) -> bool:
        """Tell whether the task will not change again."""
        return self not in (TaskStatus.PENDING, TaskStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The most that one call may use, set aside until its outcome is known."""

    task_id: str
    model: str
    """Name of the model, or `tool:` and the name of the tool."""
    tokens: int
    nanodollars: int

    @property
    def is_of_tool(self) -> bool:
        """Tell whether a tool was called, and not a model."""
        return self.model.startswith(TOOL_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A session's budget; nothing is spent that was not reserved before."""

    tokens_granted: int = 0
    nanodollars_granted: int = 0
    tokens_used: int = 0
    nanodollars_used: int = 0
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    """By call id."""
    warned: bool = False

    @property
    def tokens_left(self) -> int:
        """Tokens that can still be reserved; negative when a provider billed beyond a reservation."""
        return self.tokens_granted - self.tokens_used - sum(r.tokens for r in self.reservations.values())

    @property
    def nanodollars_left(self) -> int:
        """Money that can still be reserved, in 10⁻⁹ dollars."""
        return (
            self.nanodollars_granted
            - self.nanodollars_used
            - sum(r.nanodollars for r in self.reservations.values())
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prerequisite:
    """A task that must end before another can start."""

    task_id: str
    must_complete: bool
    """False for `blocks`: any end will do."""


class ToolCallStatus(StrEnum):
    """Where a tool call that a model asked for stands."""

    WAITING = "waiting"
    """For budget."""
    THROTTLED = "throttled"
    ESCALATED = "escalated"
    """For a person."""
    REQUESTED = "requested"
    OPEN = "open"
    """Nobody knows whether it was carried out, and a person is asked."""
    SETTLED = "settled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person was asked about a tool call, and what they said."""

    approval_id: str
    digest: str
    shown_sha256: str
    policy: str
    """Content hash of the policy that asked."""
    tool: str
    """What tells the tool's version and schema from others."""
    approvers: tuple[str, ...] = ()
    scope: str = ""
    four_eyes: bool = False
    given: CallApproval | None = None
    """The approval; None while nobody has decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPending:
    """One tool call of the step that a task is in."""

    proposed: ToolCallProposed
    call_id: str
    status: ToolCallStatus
    decided_event_id: str = ""
    """Of the policy decision."""
    due_at_ms: int = 0
    """When a throttled call goes on, or what a person is asked of an escalated or open one expires."""
    answer: PromptMessage | None = None
    """What the model is told, once settled."""
    asked: Asked | None = None
    """The latest request to a person; None where nobody was asked."""
    edited_by: str = ""
    """Who wrote the arguments in the place of the model; empty: they are the model's own."""
    trust: Trust = Trust.UNKNOWN
    """Of what led to it, as it was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalPending:
    """A search whose usefulness is known when its task ends."""

    call_id: str
    event_id: str
    retrieval: Retrieval
    """Without the embedding, which stays on the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task of a turn."""

    task_id: str
    key: str
    parent_id: str
    intent: str
    agent: str
    priority: int
    budget_tokens: int
    prerequisites: tuple[Prerequisite, ...]
    relations: tuple[str, ...] = ()
    """`relation:other_key`, for snapshots."""
    status: TaskStatus = TaskStatus.PENDING
    attempt: int = 0
    steps: int = 0
    """Model calls of this attempt."""
    steps_total: int = 0
    difficulty: Difficulty = Difficulty.USUAL
    repairs: int = 0
    """How often, in this attempt, an answer was sent back that did not fit the agent's output model."""
    tokens_used: int = 0
    nanodollars_used: int = 0
    conversation: tuple[PromptMessage, ...] = ()
    """What came after the task's opening messages."""
    model_call_id: str | None = None
    """The model call in flight."""
    prompt_tokens_min: int = 0
    """What a refused prompt was counted to have."""
    needs_step: bool = False
    """True when its next model call waits for budget."""
    tool_calls: tuple[ToolCallPending, ...] = ()
    tools_called: Mapping[str, int] = field(default_factory=dict)
    retrievals: tuple[RetrievalPending, ...] = ()
    result: RecordReference | None = None
    created_event_id: str = ""
    started_event_id: str = ""
    """The events that told of its beginnings: evidence of its calls."""
    ended_event_id: str | None = None
    """The event that told of its end: evidence of what builds on it."""
    excerpt: str = ""
    error: str = ""
    retry_at_ms: int | None = None
    started_at_ms: int | None = None
    progress_at_ms: int = 0
    stalled: bool = False
    made_from: Provenance = UNNOTED
    """All that its model has read so far, and its plan; its result is made of that."""

    @property
    def is_asking(self) -> bool:
        """Tell whether a call of it waits for a person."""
        asking = (ToolCallStatus.ESCALATED, ToolCallStatus.OPEN)
        return any(call.status in asking for call in self.tool_calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentName:
    """An attachment of the turn's message; its text stands on the log."""

    name: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageTaken:
    """A user's message, by reference."""

    reference: RecordReference
    excerpt: str = ""
    """Its beginning."""
    attachments: tuple[AttachmentName, ...]
    received_at_ms: int
    traceparent: str | None = None
    forked_by: str | None = None
    """Event id of the fork that took the message over from another session."""
    agent: str | None = None
    """The agent that the message names; None: a plan is made."""
    characters: int = 0
    """How long its text is."""
    made_from: Provenance = UNNOTED

    @property
    def input_id(self) -> str:
        """Event id of the session's input that began the turn."""
        return self.forked_by or self.reference.event_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The plan in the making."""

    plan_id: str
    revision: int = 0
    repairs: int = 0
    """Repairs asked for in this revision."""
    tasks: tuple[PlannedTask, ...] = ()
    """The newest plan that passed validation."""
    conversation: tuple[PromptMessage, ...] = ()
    """The planner's outputs and what it was told of them."""
    proposed_event_id: str | None = None
    is_default: bool = False
    """True: no plan could be had, and one task of the default agent takes its place."""
    made_from: Provenance = UNNOTED
    """All that planner and critic have read so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message on its way to an answer."""

    number: int
    message: MessageTaken
    root_task_id: str
    phase: Phase
    started_at_ms: int
    deadline_at_ms: int
    asking_since_ms: int | None = None
    """Since when a person is asked; the deadline rests meanwhile. None while nobody is."""
    stall_check_at_ms: int
    synthesis_tokens: int
    """Held back from plan and tasks, so that an answer can be written."""
    synthesis_nanodollars: int
    draft: Draft
    tasks: Mapping[str, Task] = field(default_factory=dict)
    """By task id, in the order of the plan."""
    model_call_id: str | None = None
    """The planner's, critic's or synthesizer's call in flight."""
    attempt: int = 1
    """Of that call."""
    retry_at_ms: int | None = None
    """When that call is tried again."""
    prompt_tokens_min: int = 0
    calls: int = 0
    retries: int = 0
    tokens_used: int = 0
    nanodollars_used: int = 0
    short_of: str = ""
    """What its latest unaffordable call lacked: tokens, money, its task's tokens (task), a model (window)."""
    degraded: AnswerReason | None = None
    """Why the answer cannot be complete; the first reason counts. None while it can."""

    def tool_call(self, call_id: str) -> tuple[Task, ToolCallPending] | None:
        """Return a task and its tool call with this id, while it is in its step; None: there is none."""
        for task in self.tasks.values():
            for call in task.tool_calls:
                if call.call_id == call_id:
                    return task, call
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """What decides in this session in place of what is configured."""

    model: str | None = None
    policy: Policy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWish:
    """What an operator set, while the session's account has still to answer."""

    input_id: str
    tokens: int | None
    """None: as many as are granted."""
    nanodollars: int | None
    lease_id: str | None
    """Of the request for more that is on its way; None while the session's first lease is."""
    tokens_asked: int = 0
    """By that request."""
    nanodollars_asked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """One session."""

    session_id: str
    tenant_id: str = "default"
    user_id: str = "anonymous"
    status: SessionStatus = SessionStatus.NEW
    sequence: int = 0
    """Of the last event."""
    now_ms: int = 0
    """The latest time that any input told; it never goes back."""
    seen: str = ""
    """Marks of the latest user inputs, oldest first, by which repeats are known (`processors/repeats.py`)."""
    budget: Budget = field(default_factory=Budget)
    lease_id: str | None = None
    leased_tokens: int = 0
    """What its account has lent it in all; what an operator took off again stays lent to its end."""
    leased_nanodollars: int = 0
    wish: BudgetWish | None = None
    queue: tuple[MessageTaken, ...] = ()
    turn: Turn | None = None
    turns: int = 0
    """Turns that have begun."""
    history: tuple[Exchange, ...] = ()
    """The latest turns, oldest first; at most HISTORY_MAX of processors/memory/summaries.py."""
    imported: ImportedPast | None = None
    """What came over from V1 before the first turn."""
    past: Provenance = UNNOTED
    """What all turns that have ended were made of, those too that are no longer told."""
    summary: Summary | None = None
    """Of the turns before; None while there is no summary of them."""
    summary_call: SummaryCall | None = None
    summary_tokens_missed: int = 0
    """How much longer the prompt of the latest one was counted to be than it was thought."""
    idle_since_ms: int | None = None
    """Since when an open session has nothing to do; None while it works, and before it opens."""
    ended_at_ms: int | None = None
    tools_called: Mapping[str, int] = field(default_factory=dict)
    """Calls of each tool that were decided in the session's turns."""
    models_failed: Mapping[str, ModelFailures] = field(default_factory=dict)
    """By the model's name; one that answers is taken out."""
    overrides: Overrides = Overrides()
    resumption: Turn | None = None
    """The turn of its origin that a fork goes on with once it is open."""
    calls_of: str | None = None
    """The token whose clients' single calls this session holds; None: it is a conversation."""
    account: CallAccount | None = None
    """Of that token, where it has a budget of its own."""
    calls: Mapping[str, ClientCall] = field(default_factory=dict)
    """By call id, in the order in which they came; those that are not answered yet."""
