"""The tool shell: runs calls of tools that policy has allowed."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from schemas.configuration import ToolSpec
from schemas.envelope import Envelope
from schemas.events.deltas import ToolDeltaReceived
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.tools import (
    ToolCallCancelled,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolOutcomeObserved,
)
from schemas.records import replace
from schemas.tools import DeltaSink, ToolContext, ToolError, ToolResult
from streams.effects.executor import Cancellation, Outcome
from streams.effects.feed import Feed
from streams.records.reader import RecordMissing, RecordReader
from streams.results import result_of
from topics.shells import TOOL

_MARGIN_MS: Final = 30_000
"""For resolving references and for publishing; the registry itself bounds the tool's time."""
_NOT_THE_TOOLS_DOING: Final = ("cancelled", "unknown_tool", "parse_error", "validation_error")
"""Failures that say nothing of how well the tool does."""


_BEFORE_THE_TOOL: Final = ("unknown_tool", "parse_error", "validation_error")
"""Failures that came before the tool did anything; after any other it may have had its effect."""


class Tools(Protocol):
    """The registry of tools."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """What each tool is, by name."""
        ...

    async def invoke(
        self, name: str, arguments_json: str, context: ToolContext, timeout_ms: int
    ) -> ToolResult:
        """Run a tool once; raises ToolError when there is no result."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """What a failed call is known to have cost."""

    used_tokens: int = 0
    cost_nanodollars: int = 0
    maybe_billed: bool = False


class ToolExecutor:
    """Runs the calls of tool.calls."""

    def __init__(
        self,
        tools: Tools,
        *,
        reader: RecordReader,
        feed: Feed,
        tokenizer: Callable[[str], int],
        now_ms: Callable[[], int],
    ) -> None:
        """Take the tools and where attachments are.

        Args:
            tools: checks and runs them.
            reader: resolves the reference to the message with the attachments.
            feed: takes pieces of output.
            tokenizer: counts the tokens of results, as models count them.
            now_ms: the clock.
        """
        self._tools = tools
        self._reader = reader
        self._feed = feed
        self._tokenizer = tokenizer
        self._now_ms = now_ms

    def call_id(self, event: Envelope) -> str | None:
        """Return the id of the call that `event` asks for."""
        return event.body.call_id if isinstance(event.body, ToolCallRequested) else None

    def cancellation(self, event: Envelope) -> Cancellation | None:
        """Return what `event` cancels."""
        body = event.body
        if not isinstance(body, ToolCallCancelled):
            return None
        return Cancellation(call_id=body.call_id, reason=body.reason)

    def name(self, event: Envelope) -> str:
        """Return the tool's name, as long as there is such a tool: models make names up."""
        tool = _request(event).tool
        return tool if tool in self._tools.specs else "unknown"

    def reserved_tokens(self, event: Envelope) -> int:
        """Return the tokens that were reserved for the tool's own model calls."""
        return _request(event).reserved_tokens

    def duration_ms_max(self, event: Envelope) -> int:
        """Return how long the call may take."""
        return _request(event).timeout_ms + _MARGIN_MS

    async def run(self, event: Envelope, attempt: int) -> Outcome:
        """Run the tool."""
        body = _request(event)
        began = time.monotonic()
        try:
            context = await self._context(event, body, attempt)
            result = await self._tools.invoke(body.tool, body.arguments_json, context, body.timeout_ms)
        except RecordMissing as error:
            return self._failed(event, "execution_error", str(error), attempt, _since_ms(began))
        except ToolError as error:
            return self._failed(
                event,
                error.kind,
                str(error),
                attempt,
                _since_ms(began),
                retryable=error.retryable,
                maybe_effected=not body.idempotent and error.kind not in _BEFORE_THE_TOOL,
                spent=_Spent(
                    used_tokens=error.used_tokens,
                    cost_nanodollars=error.cost_nanodollars,
                    maybe_billed=error.maybe_billed,
                ),
            )
        return self._completed(event, result, attempt, _since_ms(began))

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died; None: it is harmless and free, so run it again.

        A tool with model calls of its own is not run again here: the first run may be billed, and the
        reservation covers one. The session may ask anew, against a new reservation.
        """
        body = _request(event)
        if body.idempotent and body.reserved_tokens == 0:
            return None
        spent = _Spent(maybe_billed=body.reserved_tokens > 0)
        message = "the process died while the call was running"
        if body.idempotent:
            return self._failed(event, "execution_error", message, 1, latency_ms, retryable=True, spent=spent)
        return self._failed(event, "unknown", message, 1, latency_ms, maybe_effected=True, spent=spent)

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call."""
        body = _request(event)
        return self._failed(
            event,
            "cancelled",
            reason,
            int(dispatched),
            latency_ms,
            maybe_effected=dispatched and not body.idempotent,
            spent=_Spent(maybe_billed=dispatched and body.reserved_tokens > 0),
        )

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        body = _request(event)
        return self._failed(
            event,
            "execution_error",
            message,
            1,
            latency_ms,
            maybe_effected=not body.idempotent,
            spent=_Spent(maybe_billed=body.reserved_tokens > 0),
        )

    async def _context(self, event: Envelope, body: ToolCallRequested, attempt: int) -> ToolContext:
        attachments: tuple[Attachment, ...] = ()
        if body.message is not None:
            message = (await self._reader.event(body.message)).body
            if isinstance(message, MessageReceived):
                attachments = message.attachments
        return ToolContext(
            session_id=event.session_id,
            tenant_id=event.tenant_id,
            user_id=event.user_id,
            call_id=body.call_id,
            idempotency_key=body.idempotency_key,
            tokens_max=body.reserved_tokens,
            nanodollars_max=body.reserved_nanodollars,
            attachments=attachments,
            on_output=self._sink(event, body, attempt),
        )

    def _sink(self, event: Envelope, body: ToolCallRequested, attempt: int) -> DeltaSink:
        index = 0

        async def on_output(channel: str, text: str) -> None:
            nonlocal index
            delta = ToolDeltaReceived(
                call_id=body.call_id,
                task_id=body.task_id,
                attempt=attempt,
                index=index,
                channel=channel,
                text=text,
            )
            index += 1
            await self._feed.publish(event, delta, str(attempt), str(delta.index))

        return on_output

    def _completed(self, event: Envelope, result: ToolResult, attempt: int, latency_ms: int) -> Outcome:
        body = _request(event)
        result_json = json.dumps(result.result, ensure_ascii=False, separators=(",", ":"))
        completed = ToolCallCompleted(
            call_id=body.call_id,
            task_id=body.task_id,
            tool_call_id=body.tool_call_id,
            agent=body.agent,
            tool=body.tool,
            tool_version=body.tool_version,
            result_json=result_json,
            result_tokens=self._tokenizer(result_json),
            retrieval=result.retrieval,
            used_tokens=result.used_tokens,
            cost_nanodollars=result.cost_nanodollars,
            attempts=attempt,
            latency_ms=latency_ms,
        )
        now_ms = self._now_ms()
        published = result_of(event, completed, body.call_id, TOOL, now_ms)
        observed = self._observed(event, published.event_id, True, latency_ms, result.used_tokens, now_ms)
        return Outcome(events=(published, *observed), label="ok")

    def _failed(
        self,
        event: Envelope,
        kind: str,
        message: str,
        attempts: int,
        latency_ms: int,
        *,
        retryable: bool = False,
        maybe_effected: bool = False,
        spent: _Spent | None = None,
    ) -> Outcome:
        body = _request(event)
        cost = spent or _Spent()
        failed = ToolCallFailed(
            call_id=body.call_id,
            task_id=body.task_id,
            tool_call_id=body.tool_call_id,
            agent=body.agent,
            tool=body.tool,
            tool_version=body.tool_version,
            kind=kind,
            message=message[:2_000],
            retryable=retryable,
            maybe_effected=maybe_effected,
            used_tokens=cost.used_tokens,
            cost_nanodollars=cost.cost_nanodollars,
            maybe_billed=cost.maybe_billed,
            attempts=attempts,
            latency_ms=latency_ms,
        )
        now_ms = self._now_ms()
        published = result_of(event, failed, body.call_id, TOOL, now_ms)
        if kind in _NOT_THE_TOOLS_DOING:
            return Outcome(events=(published,), label=kind)
        observed = self._observed(event, published.event_id, False, latency_ms, cost.used_tokens, now_ms)
        return Outcome(events=(published, *observed), label=kind)

    def _observed(
        self, event: Envelope, result_id: str, succeeded: bool, latency_ms: int, used_tokens: int, now_ms: int
    ) -> tuple[Envelope, ...]:
        body = _request(event)
        spec = self._tools.specs.get(body.tool)
        if spec is None:
            return ()
        outcome = ToolOutcomeObserved(
            call_id=body.call_id,
            tool=body.tool,
            tool_version=body.tool_version,
            category=spec.category,
            safety_level=spec.safety_level,
            complexity_score=spec.complexity_score,
            resource_intensity=spec.resource_intensity,
            succeeded=succeeded,
            latency_ms=latency_ms,
            used_tokens=used_tokens,
            ended_at_ms=now_ms,
        )
        observed = result_of(event, outcome, body.call_id, TOOL, now_ms, kind="outcome")
        return (replace(observed, causation_id=result_id),)


def _request(event: Envelope) -> ToolCallRequested:
    assert isinstance(event.body, ToolCallRequested)
    return event.body


def _since_ms(began: float) -> int:
    return int((time.monotonic() - began) * 1_000)
