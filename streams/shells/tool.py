"""The tool shell: runs calls of tools that policy has allowed."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from processors.approvals.execution import approval_fault
from processors.effects import Ending, Outcome, ToolOutcomes, tool_request
from processors.redaction.redactor import PATTERNS_ALONE, Redactor
from processors.restraints import Stop, reason_of
from schemas.configuration import Configuration, ToolSpec
from schemas.envelope import Envelope
from schemas.events.deltas import OutputChannel, ToolDeltaReceived
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.tools import (
    ToolCallCancelled,
    ToolCallFailed,
    ToolCallRequested,
    ToolFailureKind,
)
from schemas.frozen import replace
from schemas.ports.tool import DeltaSink, Happened, ToolContext, ToolError, ToolResult
from streams.effects.executor import Cancellation
from streams.effects.feed import Feed
from streams.effects.pieces import OutputTold
from streams.records.reader import RecordMissing, RecordReader
from topics.shells import TOOL

_MARGIN_MS: Final = 30_000
"""For resolving references and for publishing; the registry itself bounds the tool's time."""


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

    async def happened(self, name: str, arguments_json: str, context: ToolContext) -> Happened | None:
        """Ask a tool whether an earlier call was carried out; None: it cannot tell."""
        ...


class ToolExecutor:
    """Runs the calls of tool.calls."""

    def __init__(
        self,
        tools: Tools,
        *,
        configuration: Configuration,
        reader: RecordReader,
        feed: Feed,
        tokenizer: Callable[[str], int],
        now_ms: Callable[[], int],
        stop_of: Callable[[str], Stop | None] = lambda _tool: None,
        redactor: Redactor = PATTERNS_ALONE,
    ) -> None:
        """Take the tools and where attachments are.

        Args:
            tools: checks and runs them.
            configuration: whose policy knows the approvers.
            reader: resolves the reference to the message with the attachments.
            feed: takes pieces of output.
            tokenizer: counts the tokens of results, as models count them.
            now_ms: the clock.
            stop_of: tells by a tool's name what an operator has stopped.
            redactor: takes credentials out of results.
        """
        self._tools = tools
        self._configuration = configuration
        self._outcomes = ToolOutcomes(tools.specs, TOOL, redactor)
        self._redactor = redactor
        self._reader = reader
        self._feed = feed
        self._tokenizer = tokenizer
        self._now_ms = now_ms
        self._stop_of = stop_of

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
        tool = tool_request(event).tool
        return tool if tool in self._tools.specs else "unknown"

    def reserved_tokens(self, event: Envelope) -> int:
        """Return the tokens that were reserved for the tool's own model calls."""
        return tool_request(event).reserved_tokens

    def duration_ms_max(self, event: Envelope) -> int:
        """Return how long the call may take."""
        return tool_request(event).timeout_ms + _MARGIN_MS

    def refusal(self, event: Envelope) -> str | None:
        """Return why the tool's calls must not run; None: an operator has not stopped it."""
        stop = self._stop_of(tool_request(event).tool)
        return None if stop is None else reason_of(stop)

    async def run(self, event: Envelope, attempt: int) -> Outcome:
        """Run the tool."""
        body = tool_request(event)
        began_s = time.monotonic()
        fault = self._approval_fault(event, attempt)
        if fault is not None:
            refused = ToolError("approval_invalid", f"not run: {fault}")
            return self._outcomes.failed(event, refused, attempt, self._ending(began_s), reached=False)
        told = OutputTold(self._redactor, self._sink(event, body, attempt))
        try:
            context = await self._context(event, body, told.take)
        except RecordMissing as error:
            failure = ToolError("execution_error", str(error))
            return self._outcomes.failed(event, failure, attempt, self._ending(began_s), reached=False)
        try:
            result = await self._tools.invoke(body.tool, body.arguments_json, context, body.timeout_ms)
        except ToolError as error:
            await told.finish()
            failed = self._outcomes.failed(event, error, attempt, self._ending(began_s))
            return await self.reconciled(event, failed)
        await told.finish()
        return self._outcomes.completed(event, result, self._tokenizer, attempt, self._ending(began_s))

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died; None: run it again."""
        return self._outcomes.interrupted(event, self._ended(latency_ms))

    async def reconciled(self, event: Envelope, outcome: Outcome) -> Outcome:
        """Ask the tool of a call that may have been carried out, where it can tell and is not stopped."""
        body, failure = tool_request(event), outcome.events[0].body
        if not isinstance(failure, ToolCallFailed) or not failure.maybe_effected:
            return outcome
        if failure.kind == ToolFailureKind.RESULT_INVALID or self.refusal(event) is not None:
            return outcome
        known = await self._tools.happened(body.tool, body.arguments_json, self._bare_context(event, body))
        if known is None:
            return outcome
        ending = self._ended(failure.latency_ms)
        if known.carried_out and known.result is not None:
            given = ToolResult(result=known.result)
            return self._outcomes.completed(event, given, self._tokenizer, failure.attempts, ending)
        if known.carried_out:
            message = f"{body.tool} was carried out, as it says itself, and its result is lost"
            error = ToolError("result_invalid", message, maybe_billed=failure.maybe_billed)
        else:
            message = f"{body.tool} was not carried out, as it says itself: {failure.message}"
            error = ToolError("execution_error", message, settled=True, maybe_billed=failure.maybe_billed)
        return self._outcomes.failed(event, error, failure.attempts, ending)

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call."""
        return self._outcomes.cancelled(event, reason, self._ended(latency_ms), dispatched=dispatched)

    def stopped(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a call that an operator's stop kept from running, or ended."""
        return self._outcomes.stopped(event, reason, self._ended(latency_ms), dispatched=dispatched)

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        return self._outcomes.broken(event, message, self._ended(latency_ms))

    def _approval_fault(self, event: Envelope, attempt: int) -> str | None:
        configuration = self._configuration
        return approval_fault(
            event,
            self._tools.specs.get(tool_request(event).tool),
            configuration.policy,
            configuration.versions.policy or "",
            now_ms=self._now_ms(),
            is_repeat=attempt > 1,
        )

    async def _context(self, event: Envelope, body: ToolCallRequested, on_output: DeltaSink) -> ToolContext:
        attachments: tuple[Attachment, ...] = ()
        if body.message is not None:
            message = (await self._reader.event(body.message)).body
            if isinstance(message, MessageReceived):
                attachments = message.attachments
        return replace(
            self._bare_context(event, body),
            attachments=attachments,
            on_output=on_output,
        )

    def _bare_context(self, event: Envelope, body: ToolCallRequested) -> ToolContext:
        return ToolContext(
            session_id=event.session_id,
            tenant_id=event.tenant_id,
            user_id=event.user_id,
            call_id=body.call_id,
            idempotency_key=body.idempotency_key,
            tokens_max=body.reserved_tokens,
            nanodollars_max=body.reserved_nanodollars,
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
                channel=OutputChannel(channel),
                text=text,
            )
            index += 1
            await self._feed.publish(event, delta, str(attempt), str(delta.index))

        return on_output

    def _ending(self, began_s: float) -> Ending:
        return self._ended(int((time.monotonic() - began_s) * 1_000))

    def _ended(self, latency_ms: int) -> Ending:
        return Ending(now_ms=self._now_ms(), latency_ms=latency_ms)
