"""What came over from V1: the facts of `session.imports`.

Their envelopes have `sequence` 0, since no shell decided them, and `occurred_at_ms` of then; the record's own
time is that of the import. The same row of V1 gives the same event, and one that was changed since another.
"""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class ImportedStatus(Word):
    """How a conversation of V1 stands."""

    COMPLETE = "complete"
    RUNNING = "running"
    """V1 says so, or it went on until just before the import."""
    FAILED = "failed"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskColumns:
    """What an earlier backfill left in a task's row beside what is told again."""

    budget_tokens: int | None
    estimated_tokens: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTask:
    """What an answer or a tool's message of V1 stands for: a subtask of its conversation."""

    task_id: Impersonal
    intent: Impersonal
    """`assistant_response`, or `tool_` and the tool's name."""
    preview: Personal
    """The first 100 characters of the message."""
    after_task_id: Impersonal | None
    """The subtask before it, in time's order; None: it is the first."""
    adopted: TaskColumns | None = None
    """Not None: an earlier backfill had made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationImported:
    """A session of V1, and its root task."""

    origin: Impersonal
    """Name of the source: whatever V1 the import was told to read."""
    source_key: Impersonal
    """The session's id in V1, as text."""
    task_id: Impersonal
    """Its root task, `root_conversation_objective`."""
    status: ImportedStatus
    title: Personal
    """As V1 has it, or the beginning of the first message."""
    messages: int
    """How many it has in V1."""
    created_at_us: int | None
    """As V1's session says, in microseconds since 1970; None: it says nothing."""
    began_at_us: int
    """The same, or else the time of its first message; 0: nothing says."""
    newest_at_us: int | None
    """The time of its newest message."""
    ended_at_us: int | None
    """As V1's session says."""
    adopted: TaskColumns | None = None
    """Not None: an earlier backfill had made the root task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageImported:
    """A message of V1."""

    origin: Impersonal
    source_key: Impersonal
    """Its id in V1, as text."""
    message_id: Impersonal
    """Of its row: its id in V1 where that is a UUID, else one made of it."""
    in_place: bool
    """True: V1's table is V2's too, so that its row is there and only gets what V2 knows beside it."""
    role: Impersonal
    text: Personal
    said_at_us: int | None
    """In microseconds since 1970."""
    metadata_json: Personal
    """JSON object: V1's own."""
    cost_tokens: int
    """What V1 says that it cost; 0: nothing."""
    cost_tokens_before: int
    """What an earlier event of the same message told of that."""
    root_task_id: Impersonal
    task: ImportedTask | None
    """None: it is no task by itself, as a user's message, or a short answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationImported:
    """A call of a tool in V1."""

    origin: Impersonal
    source_key: Impersonal
    invocation_id: Impersonal
    """Of its row: its id in V1 where that is a UUID, else one made of it."""
    in_place: bool
    """True: V1's table is V2's too, and has the row already."""
    tool: Impersonal
    category: Impersonal
    output_json: Personal
    latency_ms: int | None
    cost_tokens: int | None
    called_at_us: int | None
    """In microseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalImported:
    """A search of V1, of which a message or a call keeps measurements; None: V1 has none."""

    origin: Impersonal
    source_key: Impersonal
    """Of the message or call that tells of it."""
    retrieval_id: Impersonal
    query: Personal
    k_initial: int | None
    k_rerank: int | None
    retrieval_latency_ms: int | None
    rerank_latency_ms: int | None
    usefulness_score: float | None
    context_tokens_before: int | None
    context_tokens_after: int | None
    documents_retrieved: int | None
    documents_used: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineImported:
    """The tasks that a conversation of V1 came to, at the time of the import."""

    origin: Impersonal
    snapshot_id: Impersonal
    snapshot_json: Personal
    """JSON object: `tasks` and `migration_info`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUseImported:
    """Statistics of a tool over the 30 days of V1 that ended with the import."""

    origin: Impersonal
    tool: Impersonal
    category: Impersonal
    calls: int
    success_rate: float | None
    """0 to 100, of the calls of which V1 says whether they succeeded; None: it says it of none."""
    latency_ms_mean: float | None
    """None: V1 measured none."""
    cost_tokens_mean: float
    succeeded_at_us: int | None
    """When a call last succeeded, in microseconds since 1970."""
    failed_at_us: int | None
    measured_at_ms: int


ImportFact = (
    ConversationImported
    | MessageImported
    | InvocationImported
    | RetrievalImported
    | BaselineImported
    | ToolUseImported
)
