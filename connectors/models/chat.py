"""Chat models behind the OpenAI API: OpenAI's own, a compatible server's, or the local deterministic one."""

import asyncio
import json
import random as randomness
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import openai
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from connectors.models.chunks import Chunk, ToolCallPart, Usage, read_chunk
from connectors.models.client import is_local, make_client, timeout_of
from connectors.models.retries import Random, RetryPolicy, Sleep, translate, with_retries
from connectors.models.tokens import TokenCounter
from schemas.events.models import ToolCallProposed
from schemas.ids import derived_id
from schemas.ports.chat import (
    ChatAnswer,
    ChatMessage,
    ChatRequest,
    ConnectorError,
    ProviderFailed,
    RequestInvalid,
    ToolOffered,
)

ANSWER_CHARACTERS_MAX: Final = 200_000
"""A longer answer would not fit a record whatever its encoding; it is given up as the provider's failure."""
DEFAULT_RETRIES: Final = RetryPolicy()


class OpenAIModel:
    """The chat models of one server."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        encodings: Mapping[str, str] = MappingProxyType({}),
        retries: RetryPolicy = DEFAULT_RETRIES,
        sleep: Sleep = asyncio.sleep,
        random: Random = randomness.random,
        clock: Callable[[], float] = time.monotonic,
        tokens_max_field: str = "max_tokens",
    ) -> None:
        """Make the client; nothing connects before the first request.

        Args:
            base_url: with the version, for example `https://api.openai.com/v1`.
            encodings: tiktoken's encoding by model.
            sleep: waits between attempts.
            random: of the jitter.
            clock: in seconds, for the time to the first token.
            tokens_max_field: how the request names its limit. Every server knows `max_tokens`; models that
                refuse it want `max_completion_tokens`, which other servers silently ignore.
        """
        self._client = make_client(base_url, api_key)
        self._counter = TokenCounter(encodings)
        self._retries = retries
        self._sleep = sleep
        self._random = random
        self._clock = clock
        self._tokens_max_field = tokens_max_field

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Ask, and repeat what is certain not to be billed: up to `attempts_max` attempts in all.

        Kinds of failure: prompt_too_long (not sent), rate_limited and provider_error (not billed),
        timeout and interrupted (maybe billed), refused (credentials or quota), invalid_request.

        Raises:
            RequestInvalid: the request is at fault; repeating it is pointless.
            ProviderFailed: the provider is, or the way to it.
        """
        counted = self._counter.count_prompt(request.messages, request.tools, request.model)
        if counted > request.input_tokens_max:
            raise RequestInvalid(
                "prompt_too_long",
                f"call {request.call_id}: the prompt has {counted} tokens, {request.input_tokens_max} are "
                f"reserved",
                retryable=False,
                attempts=0,
                prompt_tokens_counted=counted,
            )
        try:
            return await with_retries(
                lambda attempt: self._attempt(request, counted, attempt),
                attempts_max=request.attempts_max,
                policy=self._retries,
                sleep=self._sleep,
                random=self._random,
            )
        except ConnectorError as error:
            if error.kind == "prompt_too_long":
                error.prompt_tokens_counted = counted
            raise

    def count_tokens(self, text: str, model: str) -> int:
        """Count the tokens of `text` exactly, as `model` does."""
        return self._counter.count(text, model)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, request: ChatRequest, counted: int, attempt: int) -> ChatAnswer:
        began_s = self._clock()
        collected = _Collected(request=request, attempt=attempt)
        what = f"call {request.call_id} of {request.model}"
        try:
            async with asyncio.timeout(request.timeout_ms / 1000), aclosing(self._chunks(request)) as chunks:
                async for chunk in chunks:
                    await collected.take(chunk, self._clock)
        except ConnectorError:
            raise
        except (openai.OpenAIError, TimeoutError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise translate(error, what=what, timeout_ms=request.timeout_ms) from error
        if collected.finish_reason is None:
            raise ProviderFailed(
                "interrupted", f"{what}: the stream ended in the middle", retryable=True, maybe_billed=True
            )
        return self._answer(collected, counted, began_s)

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        # The typed method would check every message, and build objects out of every piece of the answer.
        stream = await self._client.post(
            "/chat/completions",
            cast_to=object,
            body=self._body(request),
            options={
                "headers": {"X-Client-Request-Id": request.call_id},
                "timeout": timeout_of(request.timeout_ms),
            },
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            async for data in stream:
                yield read_chunk(data)

    def _body(self, request: ChatRequest) -> dict[str, object]:
        body: dict[str, object] = {
            "model": request.model,
            "messages": [_message_parameter(message) for message in request.messages],
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
            self._tokens_max_field: request.output_tokens_max,
        }
        if request.tools:
            body["tools"] = [_tool_parameter(tool) for tool in request.tools]
        if request.json_mode:
            body["response_format"] = {"type": "json_object"}
        return body

    def _answer(self, collected: "_Collected", counted: int, began_s: float) -> ChatAnswer:
        request, usage = collected.request, collected.usage
        tool_calls = tuple(
            ToolCallProposed(
                tool_call_id=call.id or derived_id(request.call_id, "tool_call", str(index)),
                name=call.name,
                arguments_json=call.arguments,
                arguments_tokens=self._counter.count(call.arguments, request.model),
            )
            for index, call in sorted(collected.tool_calls.items())
        )
        first_s = collected.first_s
        if usage is not None:
            input_tokens, output_tokens = usage.input_tokens, usage.output_tokens
        else:
            input_tokens = counted
            output_tokens = self._counter.count_answer(collected.text, tool_calls, request.model)
        return ChatAnswer(
            text=collected.text,
            tool_calls=tool_calls,
            finish_reason=collected.finish_reason or "stop",
            model=collected.model or request.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            usage_source="provider" if usage is not None else "counted",
            attempts=collected.attempt,
            first_token_ms=round((first_s - began_s) * 1000) if first_s is not None else None,
            local=is_local(collected.model, collected.fingerprint),
        )


@dataclass(slots=True, kw_only=True)
class _ToolCallParts:
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(slots=True, kw_only=True)
class _Collected:
    """What a stream has brought so far."""

    request: ChatRequest
    attempt: int
    pieces: list[str] = field(default_factory=list)
    tool_calls: dict[int, _ToolCallParts] = field(default_factory=dict)
    finish_reason: str | None = None
    model: str = ""
    fingerprint: str = ""
    usage: Usage | None = None
    first_s: float | None = None
    characters: int = 0

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    async def take(self, chunk: Chunk, clock: Callable[[], float]) -> None:
        """Add one object of the stream, and hand its text on."""
        self.model = chunk.model or self.model
        self.fingerprint = chunk.fingerprint or self.fingerprint
        self.usage = chunk.usage or self.usage
        for piece in chunk.pieces:
            self.finish_reason = piece.finish_reason or self.finish_reason
            if (piece.text or piece.tool_calls) and self.first_s is None:
                self.first_s = clock()
            for part in piece.tool_calls:
                self._take_tool_call(part)
            if piece.text:
                self._grow(len(piece.text))
                await self.request.on_text(self.attempt, len(self.pieces), piece.text)
                self.pieces.append(piece.text)

    def _take_tool_call(self, part: ToolCallPart) -> None:
        call = self.tool_calls.setdefault(part.index, _ToolCallParts())
        call.id = part.id or call.id
        call.name += part.name
        call.arguments += part.arguments
        self._grow(len(part.arguments))

    def _grow(self, characters: int) -> None:
        self.characters += characters
        if self.characters > ANSWER_CHARACTERS_MAX:
            raise ProviderFailed(
                "provider_error",
                f"call {self.request.call_id}: the answer is longer than {ANSWER_CHARACTERS_MAX} characters, "
                f"though at most {self.request.output_tokens_max} tokens were asked for",
                retryable=False,
                maybe_billed=True,
            )


def _message_parameter(message: ChatMessage) -> ChatCompletionMessageParam:
    match message.role:
        case "system":
            return {"role": "system", "content": message.text}
        case "assistant" if message.tool_calls:
            return {
                "role": "assistant",
                "content": message.text or None,
                "tool_calls": [
                    {
                        "id": call.tool_call_id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments_json},
                    }
                    for call in message.tool_calls
                ],
            }
        case "assistant":
            return {"role": "assistant", "content": message.text}
        case "tool":
            return {"role": "tool", "content": message.text, "tool_call_id": message.tool_call_id or ""}
        case _:
            return {"role": "user", "content": message.text}


def _tool_parameter(tool: ToolOffered) -> ChatCompletionToolParam:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": json.loads(tool.parameters_json),
        },
    }
