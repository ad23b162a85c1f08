"""Calls of tools: the facts of `tool.calls`, `tool.results` and `tool.outcomes`."""

from dataclasses import dataclass
from typing import Annotated

from schemas.events.trust import Trust
from schemas.privacy import Impersonal, Personal, Privacy
from schemas.references import RecordReference
from schemas.words import Word


class SafetyLevel(Word):
    """How much care a tool needs."""

    SAFE = "safe"
    CAUTION = "caution"
    RESTRICTED = "restricted"


class ResourceIntensity(Word):
    """How much a tool uses."""

    LIGHT = "light"
    MEDIUM = "medium"
    HEAVY = "heavy"


class ToolFailureKind(Word):
    """How a tool call failed."""

    UNKNOWN_TOOL = "unknown_tool"
    """No tool has that name."""
    PARSE_ERROR = "parse_error"
    """The arguments are not JSON."""
    VALIDATION_ERROR = "validation_error"
    """The arguments do not fit their schema."""
    EXECUTION_ERROR = "execution_error"
    STREAMING_ERROR = "streaming_error"
    TIMEOUT = "timeout"
    UNKNOWN = "unknown"
    """Its process died or its answer was lost, and nobody knows what became of it."""
    RESULT_INVALID = "result_invalid"
    """It was carried out, and what it gave does not fit its schema or is too large."""
    CANCELLED = "cancelled"
    APPROVAL_INVALID = "approval_invalid"
    """It needs a person's approval, and what it came with is none of exactly this call; it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallApproval:
    """A person's signed decision that a call may be made, once, as it was shown."""

    approval_id: Impersonal
    digest: Impersonal
    """Of the request, as ApprovalRequested has it; made anew from the call before it runs."""
    shown_sha256: Impersonal
    policy: Impersonal
    """Content hash of the policy under which it was asked for."""
    approver: Personal
    tenant: Personal
    """For which the approver acted: `*` is every one."""
    expires_at_ms: int
    """Until when the call may begin to run."""
    nonce: Impersonal
    key: Impersonal
    signature: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallRequested:
    """A tool call was allowed by policy and admitted against a reservation."""

    call_id: Impersonal
    task_id: Impersonal
    turn: int
    tool_call_id: Impersonal
    """The id that the model gave it."""
    agent: Impersonal
    tool: Impersonal
    tool_version: Impersonal
    arguments_json: Personal
    message: RecordReference | None = None
    """The message of the turn, for tools that read its attachments."""
    idempotency_key: Impersonal
    idempotent: bool
    """True when repeating the call is harmless."""
    reserved_tokens: int
    """What the tool's own model calls may use at most, in and out together; 0: it makes none."""
    reserved_nanodollars: int
    session_tokens_left: int = 0
    """What the session has left to reserve after this."""
    session_nanodollars_left: int = 0
    task_tokens_left: int = 0
    timeout_ms: int
    approval: CallApproval | None = None
    """Of the person who was asked; None: policy allowed it by itself."""
    trust: Trust = Trust.UNKNOWN
    """Of what the model that asked for the call had read, as it was decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallCancelled:
    """The outcome of a tool call is no longer wanted; what it has cost is still to be reported."""

    call_id: Impersonal
    reason: Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievedDocument:
    """A passage that a search found."""

    document: Personal
    """Name of the document, with `#` and the passage's number."""
    score: float
    """Similarity, 0 to 1."""
    tokens: int
    used: bool
    """True when the passage went into the result, false when it was found and left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """How a search went; the session adds how useful it was."""

    query: Personal
    query_embedding: Annotated[tuple[float, ...], Privacy.PERSONAL]
    """1,536 numbers, or none when the search does not embed."""
    k_initial: int
    k_rerank: int
    retrieval_latency_ms: int
    rerank_latency_ms: int
    context_tokens_before: int
    """Tokens of all the passages found."""
    context_tokens_after: int
    """Tokens of the passages in the result."""
    documents: tuple[RetrievedDocument, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallCompleted:
    """A tool gave a result that fits its schema."""

    call_id: Impersonal
    task_id: Impersonal
    tool_call_id: Impersonal
    agent: Impersonal
    tool: Impersonal
    tool_version: Impersonal
    result_json: Personal
    result_tokens: int
    retrieval: Retrieval | None = None
    used_tokens: int
    """Tokens that the tool's own model calls used."""
    cost_nanodollars: int
    attempts: int
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFailed:
    """A tool call ended without a result."""

    call_id: Impersonal
    task_id: Impersonal
    tool_call_id: Impersonal
    agent: Impersonal
    tool: Impersonal
    tool_version: Impersonal
    kind: ToolFailureKind
    message: Personal
    retryable: bool
    maybe_effected: bool
    """True when it is not known whether the effect took place."""
    used_tokens: int = 0
    cost_nanodollars: int = 0
    maybe_billed: bool = False
    """True when more may be billed than is known: the whole reservation is charged."""
    attempts: int
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcomeObserved:
    """One outcome, keyed by tool and version, from which capability statistics are made."""

    call_id: Impersonal
    tool: Impersonal
    tool_version: Impersonal
    category: Impersonal
    safety_level: SafetyLevel
    complexity_score: int
    resource_intensity: ResourceIntensity
    succeeded: bool
    latency_ms: int
    used_tokens: int
    ended_at_ms: int


ToolCallFact = ToolCallRequested | ToolCallCancelled
ToolResultFact = ToolCallCompleted | ToolCallFailed
ToolOutcomeFact = ToolOutcomeObserved
