"""The port behind which every chat model stands."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from schemas.events.client_calls import ClientCallReceived
from schemas.events.models import ModelFailureKind, ToolCallProposed

TextSink = Callable[[int, int, str], Awaitable[None]]
"""Takes the attempt (from 1), the index of the piece within it (from 0), and the piece."""


async def _ignore(_attempt: int, _index: int, _text: str) -> None:
    """Drop a piece of text that nobody follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatMessage:
    """One chat message with its text in full."""

    role: str
    """system, user, assistant or tool."""
    text: str
    tool_calls: tuple[ToolCallProposed, ...] = ()
    tool_call_id: str | None = None
    provider_state_json: str | None = None
    """For an assistant's message with tool calls: what the provider wants back with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffered:
    """A tool that the model may call."""

    name: str
    description: str
    parameters_json: str
    strict: bool | None = None
    """Whether arguments must fit the schema to the letter; None: not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One call of a chat model; a reservation covers the most that it can use."""

    call_id: str
    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolOffered, ...] = ()
    json_mode: bool = False
    json_schema: str | None = None
    """In JSON mode: the schema of what is wanted, for models that are asked by one."""
    temperature: float = 0.0
    asked_json: str | None = None
    """A JSON object of what a client asks for by the names of OpenAI's API, in place of JSON mode and
    temperature; None: the call is our own."""
    input_tokens_max: int
    output_tokens_max: int
    timeout_ms: int
    attempts_max: int
    on_text: TextSink = field(default=_ignore)


def messages_of(asked: ClientCallReceived) -> tuple[ChatMessage, ...]:
    """Return the messages of a client's call as they are sent."""
    return tuple(
        ChatMessage(
            role=message.role,
            text=message.text,
            tool_calls=message.tool_calls,
            tool_call_id=message.tool_call_id,
        )
        for message in asked.messages
    )


def tools_of(asked: ClientCallReceived) -> tuple[ToolOffered, ...]:
    """Return the tools that a client brings along."""
    return tuple(
        ToolOffered(
            name=tool.name,
            description=tool.description,
            parameters_json=tool.parameters_json,
            strict=tool.strict,
        )
        for tool in asked.tools
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatAnswer:
    """What a model answered."""

    text: str
    tool_calls: tuple[ToolCallProposed, ...]
    finish_reason: str
    model: str
    input_tokens: int
    output_tokens: int
    usage_source: str
    """provider or counted."""
    attempts: int
    first_token_ms: int | None
    local: bool
    provider_state_json: str | None = None
    """What the provider wants back with its tool calls."""
    vectors: bytes | None = None
    """In place of a text: see ModelCallCompleted."""
    nanodollars: int | None = None
    """What it cost; None: its tokens at the prices of the model."""


class ConnectorError(Exception):
    """Something outside, or our use of it, failed; `kind` is one of ModelCallFailed's."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        retryable: bool,
        maybe_billed: bool = False,
        attempts: int = 1,
        retry_after_ms: int | None = None,
        prompt_tokens_counted: int = 0,
    ) -> None:
        """Note what is known of the failure."""
        super().__init__(message)
        self.kind = ModelFailureKind(kind)
        self.retryable = retryable
        self.maybe_billed = maybe_billed
        self.attempts = attempts
        self.retry_after_ms = retry_after_ms
        self.prompt_tokens_counted = prompt_tokens_counted


class RequestInvalid(ConnectorError):
    """The request is at fault, and ours: it is never repeated."""


class ProviderFailed(ConnectorError):
    """The provider is at fault, or the way to it."""


class Model(Protocol):
    """Chat models of one provider."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Ask once, with the repeats that are certain not to be billed.

        Raises:
            ConnectorError: there is no answer.
        """
        ...

    def count_tokens(self, text: str, model: str) -> int:
        """Count the tokens of `text` exactly, as `model` does."""
        ...
