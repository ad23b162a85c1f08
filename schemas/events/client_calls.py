"""Single model calls that clients ask for: the facts of `client.calls` and `client.answers`."""

from dataclasses import dataclass
from typing import Final

from schemas.events.models import ChatRole, FinishReason, ToolCallProposed
from schemas.privacy import Impersonal, Personal
from schemas.references import RecordReference
from schemas.words import Word

EMBEDDINGS: Final = "embeddings"
"""The route of calls that ask for vectors of texts: each text is a message."""


class ClientCallFailureKind(Word):
    """Why a client's call has no answer; those of a model call that failed have its kind's name."""

    BUDGET_SPENT = "budget_spent"
    """Too little is left, and nothing that is on its way will leave more."""
    BUDGET_BUSY = "budget_busy"
    """What is left was reserved by other calls until the call's waiting time was over."""
    TOO_MANY = "too_many"
    """More calls of the token wait than may."""
    UNKNOWN_MODEL = "unknown_model"
    """The configuration that decided has no model of that name."""
    PROMPT_TOO_LONG = "prompt_too_long"
    RATE_LIMITED = "rate_limited"
    PROVIDER_ERROR = "provider_error"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    """The credentials or the quota that the provider gave us."""
    INVALID_REQUEST = "invalid_request"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """One message of a client's request, as the client tells it: nobody has checked who said it."""

    role: ChatRole
    text: Personal
    tool_calls: tuple[ToolCallProposed, ...] = ()
    """For role assistant."""
    tool_call_id: Personal | None = None
    """For role tool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTool:
    """A function that the client executes itself when the model asks for it."""

    name: Personal
    description: Personal
    parameters_json: Personal
    """JSON Schema of the arguments."""
    strict: bool | None = None
    """As the client said it; absent: it did not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBudget:
    """The budget of a token's own, as it is on the day of a call."""

    account_id: Impersonal
    """token:ID, and its day or month."""
    tokens: int | None = None
    """In all; absent: money alone counts."""
    nanodollars: int | None = None
    ends_at_ms: int | None = None
    """When its day or month is over; absent: it is for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCallReceived:
    """A client asks a configured model once; the gateway has checked who it is."""

    token_id: Impersonal
    """Of the token that the request bore."""
    route: Impersonal
    """The API by which it came, such as chat.completions; embeddings ask for a vector of each message."""
    model: Impersonal
    messages: tuple[ClientMessage, ...]
    tools: tuple[ClientTool, ...] = ()
    parameters_json: Personal = "{}"
    """JSON object: what else the client asks of the model, by the names of OpenAI's API."""
    output_tokens_max: int | None = None
    """The longest answer that the client wants; absent: it did not say."""
    prompt_tokens: int
    """Messages, tools and schemas, counted by the gateway as the model shell counts them."""
    body_sha256: Impersonal
    """Of what was asked, in hexadecimal digits: a repeat under the same key says the same."""
    budget: CallBudget | None = None
    """Absent: the token has none of its own."""
    echo_json: Personal | None = None
    """JSON object: what the answer repeats of the request, on routes whose answers can be asked for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCallCancelled:
    """A client no longer wants what it asked; what the call has cost by then is charged."""

    input_id: Impersonal
    """Event id of the ClientCallReceived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDenied:
    """A tool call of the answer that policy keeps from the client."""

    name: Personal
    rule: Impersonal
    reason: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCallAnswered:
    """A model answered a client's call, and the call is charged."""

    call_id: Impersonal
    """Of the model call."""
    input_id: Impersonal
    """Event id of the ClientCallReceived."""
    body_sha256: Impersonal
    """Its."""
    model: Impersonal
    """The model that answered, as the provider names it."""
    text: Personal
    tool_calls: tuple[ToolCallProposed, ...] = ()
    """Those that policy allows; the client executes them, which is not governed."""
    denied: tuple[ToolCallDenied, ...] = ()
    finish_reason: FinishReason
    input_tokens: int
    output_tokens: int
    """As charged."""
    cost_nanodollars: int
    local: bool = False
    """True when the deterministic local model answered."""
    vectors: RecordReference | None = None
    """For embeddings: to the ModelCallCompleted that holds the vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCallFailed:
    """A client's call has no answer."""

    call_id: Impersonal
    """Of the model call; empty when none was made."""
    input_id: Impersonal
    """Event id of the ClientCallReceived."""
    body_sha256: Impersonal
    """Its."""
    kind: ClientCallFailureKind
    message: Personal
    tokens: int = 0
    """What was charged all the same."""
    cost_nanodollars: int = 0
    retry_after_ms: int | None = None


ClientCallFact = ClientCallReceived | ClientCallCancelled
ClientAnswerFact = ClientCallAnswered | ClientCallFailed
