"""Calls of language models: the facts of `model.calls` and `model.results`."""

from dataclasses import dataclass

from schemas.events.trust import Trust
from schemas.privacy import Impersonal, Personal, PersonalBytes
from schemas.references import RecordReference
from schemas.words import Word


class ChatRole(Word):
    """Who says a chat message."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class CallPurpose(Word):
    """What a model is called for."""

    PLAN = "plan"
    """To split a request into tasks."""
    CRITIQUE = "critique"
    """To score a plan."""
    STEP = "step"
    """To take a task a step further."""
    SYNTHESIZE = "synthesize"
    """To write the answer."""
    CLIENT = "client"
    """To answer a client's single call."""
    SUMMARIZE = "summarize"
    """To sum up a conversation's earlier turns."""


class RouteCause(Word):
    """What had a part in the choice of a model."""

    TIER = "tier"
    """The tier that the agent begins with."""
    DIFFICULTY = "difficulty"
    """How hard the planner says the task is."""
    TOOLS = "tools"
    """The model that was wished for cannot call tools."""
    JSON = "json"
    """It cannot be asked for JSON, and another of its tier can."""
    HEALTH = "health"
    """It failed too often lately."""
    WINDOW = "window"
    """The prompt and its answer do not fit it."""
    TOKENS = "tokens"
    """So little is left that the call may take only a share of the tokens."""
    MONEY = "money"
    """The same of the money."""
    SHORTENED = "shortened"
    """The model stays, and its answer may be less long."""


class FinishReason(Word):
    """Why a model stopped; providers may say others."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


class UsageSource(Word):
    """Who counted the tokens."""

    PROVIDER = "provider"
    COUNTED = "counted"
    """We did, since the provider gave no numbers."""


class ModelFailureKind(Word):
    """How a model call failed."""

    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """The credentials or the quota."""
    PROMPT_TOO_LONG = "prompt_too_long"
    """Not sent, or refused for its length."""
    INVALID_REQUEST = "invalid_request"
    INTERRUPTED = "interrupted"
    """The answer broke off, or the process died."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMessage:
    """One chat message of a prompt: text said here, text that stands elsewhere on the log, or both.

    A reference resolves by what it points to: a MessageReceived or a SessionForked to its text, a
    ModelCallCompleted to its text and tool calls, a ToolCallCompleted to its result, a ToolCallFailed
    to its error. The one reference of a call with the purpose client is to a ClientCallReceived, which has
    all messages, tools and parameters.
    """

    role: ChatRole
    text: Personal | None = None
    """Comes before the referred text."""
    source: RecordReference | None = None
    tool_call_id: Impersonal | None = None
    """For role tool: the id that the model gave its tool call."""
    characters_max: int = 0
    """Of the referred text: of a longer one its beginning and its end are told, and the reference counts the
    tokens of these. 0: all of it."""
    trust: Trust = Trust.UNKNOWN
    """Whose word the message is; of text and referred text the less trusted one counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteReason:
    """One reason for the choice of a model."""

    cause: RouteCause
    model: Impersonal
    """What it led to."""
    detail: Impersonal
    """The same for people, with the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallRequested:
    """A model call was admitted against a reservation of the most that it can use."""

    call_id: Impersonal
    task_id: Impersonal
    turn: int
    purpose: CallPurpose
    agent: Impersonal
    model: Impersonal
    messages: tuple[PromptMessage, ...]
    tools: tuple[Impersonal, ...] = ()
    """Names of the tools that the model may call."""
    json_mode: bool = False
    temperature: float = 0.0
    input_tokens_max: int
    """The prompt may have at most so many tokens; a longer one is not sent."""
    output_tokens_max: int
    reserved_tokens: int
    """Set aside by this event until a BudgetCharged settles it."""
    reserved_nanodollars: int
    session_tokens_left: int = 0
    """What the session has left to reserve after this."""
    session_nanodollars_left: int = 0
    task_tokens_left: int = 0
    timeout_ms: int
    """For one attempt."""
    attempts_max: int
    """Attempts that are certain not to be billed may be repeated; one that may be billed is the last."""
    routing: tuple[RouteReason, ...] = ()
    """Why this model, in the order of the decision; the last reason names it. Empty: a client named it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallCancelled:
    """The outcome of a model call is no longer wanted; what it has cost is still to be reported."""

    call_id: Impersonal
    reason: Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallProposed:
    """A tool call that a model asks for."""

    tool_call_id: Impersonal
    """The id that the model gave it."""
    name: Personal
    arguments_json: Personal
    """As the model wrote it; not yet checked."""
    arguments_tokens: int = 0
    provider_state_json: Personal | None = None
    """What else the provider said with the call, as a JSON object: it wants it back unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallCompleted:
    """A model answered."""

    call_id: Impersonal
    task_id: Impersonal
    purpose: CallPurpose
    agent: Impersonal
    model: Impersonal
    """The model that answered, as the provider names it."""
    text: Personal
    tool_calls: tuple[ToolCallProposed, ...] = ()
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    usage_source: UsageSource
    cost_nanodollars: int
    attempts: int
    latency_ms: int
    first_token_ms: int | None = None
    local: bool = False
    """True when the deterministic local model answered."""
    provider_state_json: Personal | None = None
    """What the provider wants back with its tool calls, such as its reasoning, as a JSON object."""
    vectors: PersonalBytes | None = None
    """For embeddings: vector after vector in the order of the texts, as little-endian floats of 4 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCallFailed:
    """A model call ended without an answer."""

    call_id: Impersonal
    task_id: Impersonal
    purpose: CallPurpose
    agent: Impersonal
    model: Impersonal
    kind: ModelFailureKind
    message: Personal
    retryable: bool
    maybe_billed: bool
    """True when the provider may bill it: the whole reservation is charged."""
    input_tokens: int = 0
    """What is known to have been used."""
    output_tokens: int = 0
    cost_nanodollars: int = 0
    prompt_tokens_counted: int = 0
    """For prompt_too_long: the exact count, so that the next reservation fits."""
    attempts: int
    latency_ms: int
    retry_after_ms: int | None = None


ModelCallFact = ModelCallRequested | ModelCallCancelled
ModelResultFact = ModelCallCompleted | ModelCallFailed
