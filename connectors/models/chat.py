"""Chat models behind the OpenAI API: OpenAI's own, a compatible server's, or the local deterministic one."""

import asyncio
import random as randomness
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from itertools import count
from types import MappingProxyType
from typing import Final, cast

import openai
import structlog

from connectors.models.chunks import read_chunk
from connectors.models.client import headers_of, is_local, make_client, path_of, timeout_of
from connectors.models.collected import CUT_OFF, Collected
from connectors.models.errors import failure_of
from connectors.models.requests import body_of, changed, difference, names_asked, prepared
from connectors.models.responses import Body, Response, SaidInAnswer
from connectors.models.retries import Random, RetryPolicy, Sleep, translate, with_retries
from connectors.models.tokens import TokenCounter
from connectors.models.values import mended
from connectors.models.written_calls import offered_name
from schemas.configuration import RequestParameters
from schemas.events.models import ToolCallProposed
from schemas.ids import derived_id
from schemas.ports.chat import ChatAnswer, ChatRequest, ConnectorError, ProviderFailed, RequestInvalid

CHANGES_MAX: Final = 8
"""How often one call may be put otherwise because the provider has refused a parameter."""
MADE_ID_CHARACTERS: Final = 9
"""Some chat templates take ids of exactly so many letters and digits, and none takes fewer."""
NAME_CHARACTERS_MAX: Final = 200
DEFAULT_RETRIES: Final = RetryPolicy()
DEFAULT_PARAMETERS: Final = RequestParameters()
_log = structlog.get_logger()


class OpenAIModel:
    """The chat models of one server."""

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        encodings: Mapping[str, str] = MappingProxyType({}),
        parameters: Mapping[str, RequestParameters] = MappingProxyType({}),
        retries: RetryPolicy = DEFAULT_RETRIES,
        sleep: Sleep = asyncio.sleep,
        random: Random = randomness.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the client; nothing connects before the first request.

        Args:
            base_url: with the version, for example `https://api.openai.com/v1`; it may have a query, and
                `{model}` in its path.
            api_key: empty: none is sent.
            encodings: tiktoken's encoding by model.
            parameters: how each model wants to be asked; OpenAI's ways for a model that is not there.
            sleep: waits between attempts.
            random: of the jitter.
            clock: in seconds, for the time to the first token.
        """
        self._client = make_client(base_url, api_key)
        self._base_url = base_url
        self._api_key = api_key
        self._counter = TokenCounter(encodings)
        self._parameters = dict(parameters)
        self._retries = retries
        self._sleep = sleep
        self._random = random
        self._clock = clock

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Ask, and repeat what is certain not to be billed: up to `attempts_max` attempts in all.

        Where the provider refuses a parameter, the request is put otherwise, and so is each later one of this
        model; that is no attempt, as nothing was answered.

        Kinds of failure: prompt_too_long (not sent), rate_limited and provider_error (not billed),
        timeout and interrupted (maybe billed), refused (credentials or quota), invalid_request.

        Raises:
            RequestInvalid: the request is at fault; repeating it is pointless.
            ProviderFailed: the provider is, or the way to it.
        """
        counted = self.count_prompt(request)
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

    def count_prompt(self, request: ChatRequest) -> int:
        """Count the tokens of a request's messages and tools, as they would be sent."""
        asked = prepared(request, self.parameters_of(request.model))
        return self._counter.count_prompt(asked.messages, asked.tools, asked.model)

    def parameters_of(self, model: str) -> RequestParameters:
        """Return how `model` is asked: as configured, but for what its provider has refused since."""
        return self._parameters.get(model, DEFAULT_PARAMETERS)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, request: ChatRequest, counted: int, attempt: int) -> ChatAnswer:
        for _ in range(CHANGES_MAX):
            parameters = self.parameters_of(request.model)
            try:
                return await self._once(request, parameters, counted, attempt)
            except RequestInvalid as error:
                told = str(error)
                # What a client asked for and the provider refuses is the client's to change, for this call.
                is_ours = error.kind == "invalid_request" and not names_asked(request, told)
                other = changed(parameters, told) if is_ours else None
                if other is None:
                    raise
                _log.warning(
                    "model_parameters_changed", model=request.model, changed=difference(parameters, other)
                )
                self._parameters[request.model] = other
        return await self._once(request, self.parameters_of(request.model), counted, attempt)

    async def _once(
        self, request: ChatRequest, parameters: RequestParameters, counted: int, attempt: int
    ) -> ChatAnswer:
        began_s = self._clock()
        asked = prepared(request, parameters)
        collected = Collected(
            asked, parameters, attempt, lambda text: self._counter.count(text, request.model)
        )
        what = f"call {request.call_id} of {request.model}"
        try:
            async with asyncio.timeout(request.timeout_ms / 1000):
                await self._collect(asked, parameters, collected)
        except SaidInAnswer as error:
            raise _told(error, collected, what) from error
        except ConnectorError as error:
            error.maybe_billed = error.maybe_billed or collected.has_content
            raise
        except (openai.OpenAIError, TimeoutError) as error:
            raise translate(error, what=what, timeout_ms=request.timeout_ms) from error
        return self._answer(collected, counted, began_s)

    async def _collect(self, asked: ChatRequest, parameters: RequestParameters, collected: Collected) -> None:
        # The typed method would check every message, and build objects out of every piece of the answer.
        stream = await self._client.post(
            path_of(self._base_url, asked.model, "chat/completions"),
            cast_to=object,
            body=body_of(asked, parameters),
            options={
                "headers": headers_of(parameters, self._api_key, asked.call_id),
                "timeout": timeout_of(asked.timeout_ms),
            },
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            body = Body(response=cast("Response", stream.response))
            objects: AsyncGenerator[object, None] = body.objects()
            async with aclosing(objects):
                async for data in objects:
                    await collected.take(read_chunk(data), self._clock)
                    if collected.overran():
                        _log.warning("model_ignored_limit", model=asked.model, call_id=asked.call_id)
                        break
            await collected.end(done=body.done, framed=body.is_framed)

    def _answer(self, collected: Collected, counted: int, began_s: float) -> ChatAnswer:
        request = collected.request
        tool_calls = self._tool_calls(collected)
        input_tokens, output_tokens, source = self._used(collected, tool_calls, counted)
        first_s = collected.first_s
        model = mended(collected.model)[:NAME_CHARACTERS_MAX]
        return ChatAnswer(
            text=collected.text,
            tool_calls=tool_calls,
            finish_reason=collected.finish_reason,
            model=model or request.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            usage_source=source,
            attempts=collected.attempt,
            first_token_ms=round((first_s - began_s) * 1000) if first_s is not None else None,
            local=is_local(model, collected.fingerprint),
            provider_state_json=collected.state_json,
        )

    def _used(
        self, collected: Collected, tool_calls: tuple[ToolCallProposed, ...], counted: int
    ) -> tuple[int, int, str]:
        """Return what the answer used, in and out, and who says so; gaps and zeros are counted here."""
        usage, model = collected.usage, collected.request.model
        input_tokens = usage.input_tokens if usage is not None else 0
        output_tokens = usage.output_tokens if usage is not None else 0
        total_tokens = usage.total_tokens if usage is not None else 0
        source = "provider"
        if input_tokens == 0:
            input_tokens, source = counted, "counted"
            # Of a total alone, what the prompt leaves was said or thought.
            output_tokens = max(output_tokens, total_tokens - counted)
        if output_tokens == 0 and (usage is None or collected.has_content):
            shown = self._counter.count_answer(collected.text, tool_calls, model)
            output_tokens = shown + self._counter.count(collected.thinking, model)
            source = "counted" if output_tokens else source
        return input_tokens, output_tokens, source

    def _tool_calls(self, collected: Collected) -> tuple[ToolCallProposed, ...]:
        """Return the calls, each with an id that no other call of the conversation has."""
        request = collected.request
        offered = {tool.name for tool in request.tools}
        taken = {call.tool_call_id for message in request.messages for call in message.tool_calls}
        proposed = []
        for number, call in enumerate(collected.calls):
            tool_call_id = mended(call.id)[:NAME_CHARACTERS_MAX]
            if not tool_call_id or tool_call_id in taken:
                made = (_made_id(request.call_id, number, again) for again in count())
                tool_call_id = next(one for one in made if one not in taken)
            taken.add(tool_call_id)
            cut_off = collected.finish_reason == "length" and not call.has_arguments
            arguments = CUT_OFF if cut_off else call.arguments
            proposed.append(
                ToolCallProposed(
                    tool_call_id=tool_call_id,
                    name=offered_name(mended(call.name)[:NAME_CHARACTERS_MAX], offered),
                    arguments_json=arguments,
                    arguments_tokens=self._counter.count(arguments, request.model),
                    provider_state_json=call.state_json,
                )
            )
        return tuple(proposed)


def _made_id(call_id: str, number: int, again: int) -> str:
    made = derived_id(call_id, "tool_call", str(number), str(again))
    return made.replace("-", "")[:MADE_ID_CHARACTERS]


def _told(error: SaidInAnswer, collected: Collected, what: str) -> ConnectorError:
    """Return what an error in an answer's place means: by its code as long as nothing was answered."""
    if error.is_page and not collected.has_content:
        return ProviderFailed(
            "provider_error", f"{what}: in place of an answer came a page: {error}", retryable=False
        )
    if collected.has_content or (collected.has_begun and error.said.status is None):
        message = f"{what}: the provider broke the answer off: {error}"
        return ProviderFailed("interrupted", message, retryable=True, maybe_billed=True)
    return failure_of(error.said, what)
