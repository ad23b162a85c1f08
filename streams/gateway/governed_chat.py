"""A governed call as a chat completion: whole, or in chunks."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.types import Receive, Scope, Send

from schemas.events.client_calls import (
    ClientCallAnswered,
    ClientCallFailed,
    ClientCallFailureKind,
    ToolCallDenied,
)
from schemas.events.models import ToolCallProposed
from streams.gateway.completions import PING_S, Form, Json, event_of, usage
from streams.gateway.governed_calls import Call, Piece, Told
from streams.gateway.problems import Problem, openai_error

SILENT_S: Final = 10.0
"""After so long without anything a stream begins, so that nobody takes it for dead; until then a call that
fails is told by its status."""

_FAILURES: Final = {
    ClientCallFailureKind.BUDGET_SPENT: (429, "insufficient_quota"),
    ClientCallFailureKind.BUDGET_BUSY: (429, "budget_busy"),
    ClientCallFailureKind.TOO_MANY: (429, "too_many_calls"),
    ClientCallFailureKind.UNKNOWN_MODEL: (404, "model_not_found"),
    ClientCallFailureKind.PROMPT_TOO_LONG: (400, "context_length_exceeded"),
    ClientCallFailureKind.RATE_LIMITED: (429, "rate_limit_exceeded"),
    ClientCallFailureKind.PROVIDER_ERROR: (502, "provider_error"),
    ClientCallFailureKind.TIMEOUT: (504, "provider_timeout"),
    ClientCallFailureKind.REFUSED: (502, "provider_refused"),
    ClientCallFailureKind.INVALID_REQUEST: (400, "invalid_request"),
    ClientCallFailureKind.INTERRUPTED: (502, "interrupted"),
    ClientCallFailureKind.CANCELLED: (409, "cancelled"),
}
_PARAMS: Final = {
    ClientCallFailureKind.UNKNOWN_MODEL: "model",
    ClientCallFailureKind.PROMPT_TOO_LONG: "messages",
}
_RETRY_S_MAX: Final = 3_600


def problem_of(failed: ClientCallFailed) -> Problem:
    """Return what a client is told of a call that has no answer."""
    status, code = _FAILURES.get(failed.kind, (500, "failed"))
    retry_s = None
    if failed.retry_after_ms is not None:
        retry_s = min(_RETRY_S_MAX, max(1, -(-failed.retry_after_ms // 1_000)))
    elif failed.kind in (ClientCallFailureKind.TOO_MANY, ClientCallFailureKind.RATE_LIMITED):
        retry_s = 1
    return Problem(status, failed.message, code=code, param=_PARAMS.get(failed.kind, ""), retry_s=retry_s)


def refusal_of(denied: tuple[ToolCallDenied, ...]) -> str | None:
    """Return what is told in place of tool calls that policy denies; None: there are none."""
    if not denied:
        return None
    return "; ".join(
        f"the call of {one.name} is denied by policy ({one.rule}): {one.reason}" for one in denied
    )


async def ended(call: Call) -> ClientCallAnswered:
    """Wait for the answer.

    Raises:
        Problem: there is none.
    """
    async with aclosing(call.told()) as told:
        async for one in told:
            if isinstance(one, ClientCallAnswered):
                return one
            if isinstance(one, ClientCallFailed):
                raise problem_of(one)
    raise AssertionError("a call is told until it ends")


class Begun:
    """What is told of a call, of which the first was awaited, so that a failure can be told by a status."""

    def __init__(self, call: Call) -> None:
        """Begin to follow."""
        self._call = call
        self._told = call.told()
        self._first = asyncio.ensure_future(anext(self._told))

    async def wait(self) -> None:
        """Wait for the first that is told, but not for long.

        Raises:
            Problem: the call has failed.
        """
        await asyncio.wait({self._first}, timeout=SILENT_S)
        if self._first.done() and isinstance(first := self._first.result(), ClientCallFailed):
            raise problem_of(first)

    async def all(self) -> AsyncGenerator[Told, None]:
        """Tell everything."""
        yield await self._first
        async for one in self._told:
            yield one

    async def close(self) -> None:
        """Follow no more; the call goes on."""
        self._first.cancel()
        with suppress(asyncio.CancelledError, StopAsyncIteration, Problem):
            await self._first
        await self._told.aclose()
        self._call.close()


class Streamed(EventSourceResponse):
    """Server-sent events of a call, which is followed no longer than somebody listens."""

    def __init__(
        self,
        begun: Begun,
        events: AsyncGenerator[ServerSentEvent, None],
        headers: dict[str, str] | None = None,
    ) -> None:
        """Take what is told, and how."""
        super().__init__(events, ping=PING_S, sep="\n", headers=headers)
        self._begun = begun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._begun.close()


class Completion:
    """One completion of a governed call."""

    def __init__(self, call: Call, name: str, *, usage: bool) -> None:
        """Tell of a call, under the model's name as the client gave it; `usage`: also at a stream's end."""
        self._call = call
        self._form = Form(input_id=call.input_id, model=name, created_s=int(time.time()))
        self._usage = usage

    async def whole(self) -> Json:
        """Return the completion.

        Raises:
            Problem: there is none.
        """
        answered = await ended(self._call)
        message: Json = {
            "role": "assistant",
            "content": answered.text or None if answered.tool_calls or answered.denied else answered.text,
            "refusal": refusal_of(answered.denied),
        }
        if answered.tool_calls:
            message["tool_calls"] = [_tool_call(one) for one in answered.tool_calls]
        return self._form.whole(message, str(answered.finish_reason), usage_of(answered))

    async def chunks(self, told: "Begun") -> AsyncGenerator[ServerSentEvent, None]:
        """Tell the completion as it comes."""
        try:
            yield self._form.chunk({"role": "assistant", "content": ""})
            async for event in self._events(told):
                yield event
            yield ServerSentEvent(data="[DONE]", sep="\n")
        except Problem as problem:
            yield event_of(openai_error(problem))

    async def _events(self, told: "Begun") -> AsyncGenerator[ServerSentEvent, None]:
        sent = ""
        async for one in told.all():
            if isinstance(one, Piece):
                sent += one.text
                yield self._form.chunk({"content": one.text})
            elif isinstance(one, ClientCallFailed):
                raise problem_of(one)
            else:
                if not one.text.startswith(sent):
                    detail = "the answer was begun anew; ask again under the same key to get it whole"
                    raise Problem(500, detail, code="answer_restarted")
                if len(one.text) > len(sent):
                    yield self._form.chunk({"content": one.text[len(sent) :]})
                for chunk in self._end(one):
                    yield chunk

    def _end(self, answered: ClientCallAnswered) -> list[ServerSentEvent]:
        chunks = []
        for number, proposed in enumerate(answered.tool_calls):
            chunks.append(self._form.chunk({"tool_calls": [{"index": number, **_tool_call(proposed)}]}))
        refusal = refusal_of(answered.denied)
        if refusal is not None:
            chunks.append(self._form.chunk({"refusal": refusal}))
        chunks.append(self._form.chunk({}, finish=str(answered.finish_reason)))
        if self._usage:
            chunks.append(self._form.usage_chunk(usage_of(answered)))
        return chunks


def usage_of(answered: ClientCallAnswered) -> Json:
    """Return what the ledger charged."""
    return usage(answered.input_tokens, answered.output_tokens)


def _tool_call(proposed: ToolCallProposed) -> Json:
    function = {"name": proposed.name, "arguments": proposed.arguments_json}
    return {"id": proposed.tool_call_id, "type": "function", "function": function}
