"""What becomes of a call that acts on the world: its outcome as events, also when its process died.

Whether a call whose end nobody saw is unknown, may be repeated, or may have been billed is decided here, so
that the shells that run calls have no opinion on it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from processors.redaction.redactor import PATTERNS_ALONE, Redactor
from schemas.configuration import ChatModel, ToolSpec
from schemas.envelope import Envelope, Fact
from schemas.events.models import (
    FinishReason,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ModelResultFact,
    UsageSource,
)
from schemas.events.tools import (
    ResourceIntensity,
    SafetyLevel,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolOutcomeObserved,
)
from schemas.frozen import replace
from schemas.ids import OUTCOME, outcome_id
from schemas.ports.chat import ChatAnswer, ConnectorError
from schemas.ports.tool import ToolError, ToolResult

NOT_THE_TOOLS_DOING: Final = (
    "cancelled",
    "unknown_tool",
    "parse_error",
    "validation_error",
    "approval_invalid",
)
"""Failures that say nothing of how well the tool does."""
_BEFORE_THE_TOOL: Final = ("unknown_tool", "parse_error", "validation_error")
"""Failures that came before the tool did anything; after any other it may have had its effect."""
_PROCESS_DIED: Final = "the process died while the call was running"
_MESSAGE_CHARACTERS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a call ended."""

    events: tuple[Envelope, ...]
    """To publish, in order; deciding again gives the same event ids."""
    label: str
    """For metrics: ok, or the kind of failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """When a call ended, and after how long."""

    now_ms: int
    latency_ms: int
    """From when it began to run; 0 where it never did."""


class ModelOutcomes:
    """Outcomes of model calls."""

    def __init__(
        self, prices: Mapping[str, ChatModel], producer: str, redactor: Redactor = PATTERNS_ALONE
    ) -> None:
        """Take the models by name, the name of the shell that reports, and what takes credentials out."""
        self._prices = prices
        self._producer = producer
        self._redactor = redactor

    def completed(self, event: Envelope, answer: ChatAnswer, ending: Ending) -> Outcome:
        """Return the outcome of a call that was answered."""
        body = model_request(event)
        result = ModelCallCompleted(
            call_id=body.call_id,
            task_id=body.task_id,
            purpose=body.purpose,
            agent=body.agent,
            model=answer.model,
            text=answer.text,
            tool_calls=answer.tool_calls,
            finish_reason=FinishReason(answer.finish_reason),
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            usage_source=UsageSource(answer.usage_source),
            cost_nanodollars=self._cost(body.model, answer.input_tokens, answer.output_tokens)
            if answer.nanodollars is None
            else answer.nanodollars,
            attempts=answer.attempts,
            latency_ms=ending.latency_ms,
            first_token_ms=answer.first_token_ms,
            local=answer.local,
            provider_state_json=answer.provider_state_json,
            vectors=answer.vectors,
        )
        return self._outcome(event, result, "ok", ending)

    def failed(self, event: Envelope, error: ConnectorError, ending: Ending) -> Outcome:
        """Return the outcome of a call that had no answer."""
        body = model_request(event)
        result = ModelCallFailed(
            call_id=body.call_id,
            task_id=body.task_id,
            purpose=body.purpose,
            agent=body.agent,
            model=body.model,
            kind=error.kind,
            message=self._redactor.text(str(error))[:_MESSAGE_CHARACTERS_MAX],
            retryable=error.retryable,
            maybe_billed=error.maybe_billed,
            prompt_tokens_counted=error.prompt_tokens_counted,
            attempts=error.attempts,
            latency_ms=ending.latency_ms,
            retry_after_ms=error.retry_after_ms,
        )
        return self._outcome(event, result, error.kind, ending)

    def interrupted(self, event: Envelope, ending: Ending) -> Outcome:
        """Return the outcome of a call whose process died: it may be billed, and its answer is lost."""
        error = ConnectorError("interrupted", _PROCESS_DIED, retryable=True, maybe_billed=True)
        return self.failed(event, error, ending)

    def cancelled(self, event: Envelope, reason: str, ending: Ending, *, dispatched: bool) -> Outcome:
        """Return the outcome of a cancelled call: what may have been billed is charged in full."""
        error = ConnectorError("cancelled", reason, retryable=False, maybe_billed=dispatched)
        return self.failed(event, error, ending)

    def broken(self, event: Envelope, message: str, ending: Ending) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        error = ConnectorError("provider_error", message, retryable=False, maybe_billed=True)
        return self.failed(event, error, ending)

    def _cost(self, model: str, input_tokens: int, output_tokens: int) -> int:
        price = self._prices.get(model)
        if price is None:
            # A call of a model without a price is never admitted; one from another configuration may be.
            return 0
        return input_tokens * price.input_nanodollars + output_tokens * price.output_nanodollars

    def _outcome(self, event: Envelope, result: ModelResultFact, label: str, ending: Ending) -> Outcome:
        call_id = model_request(event).call_id
        result = self._redactor.fact(result)
        return Outcome(
            events=(result_of(event, result, call_id, self._producer, ending.now_ms),), label=label
        )


class ToolOutcomes:
    """Outcomes of tool calls."""

    def __init__(
        self, specs: Mapping[str, ToolSpec], producer: str, redactor: Redactor = PATTERNS_ALONE
    ) -> None:
        """Take what each tool is by name, the name of the shell that reports, and what takes secrets out."""
        self._specs = specs
        self._producer = producer
        self._redactor = redactor

    def completed(
        self,
        event: Envelope,
        result: ToolResult,
        count_tokens: Callable[[str], int],
        attempts: int,
        ending: Ending,
    ) -> Outcome:
        """Return the outcome of a call with a result; `count_tokens` counts the text that models get."""
        body = tool_request(event)
        told = json.dumps(result.result, ensure_ascii=False, separators=(",", ":"))
        result_json = self._redactor.json(told)
        completed = ToolCallCompleted(
            call_id=body.call_id,
            task_id=body.task_id,
            tool_call_id=body.tool_call_id,
            agent=body.agent,
            tool=body.tool,
            tool_version=body.tool_version,
            result_json=result_json,
            result_tokens=count_tokens(result_json),
            retrieval=None if result.retrieval is None else self._redactor.fact(result.retrieval),
            used_tokens=result.used_tokens,
            cost_nanodollars=result.cost_nanodollars,
            attempts=attempts,
            latency_ms=ending.latency_ms,
        )
        published = result_of(event, completed, body.call_id, self._producer, ending.now_ms)
        observed = self._observed(event, published.event_id, True, result.used_tokens, ending)
        return Outcome(events=(published, *observed), label="ok")

    def failed(
        self, event: Envelope, error: ToolError, attempts: int, ending: Ending, *, reached: bool = True
    ) -> Outcome:
        """Return the outcome of a call without a result; `reached` is False where the tool never saw it."""
        idempotent = tool_request(event).idempotent
        told = error.settled or error.kind in _BEFORE_THE_TOOL
        effected = reached and not idempotent and not told
        return self._failed(event, error, attempts, ending, maybe_effected=effected)

    def interrupted(self, event: Envelope, ending: Ending) -> Outcome | None:
        """Return the outcome of a call whose process died; None: it is harmless and free, so run it again.

        A tool with model calls of its own is not run again: the first run may be billed, and the
        reservation covers one. The session may ask again, against a new reservation.
        """
        body = tool_request(event)
        if body.idempotent and body.reserved_tokens == 0:
            return None
        billed = body.reserved_tokens > 0
        if body.idempotent:
            error = ToolError("execution_error", _PROCESS_DIED, retryable=True, maybe_billed=billed)
            return self._failed(event, error, 1, ending, maybe_effected=False)
        error = ToolError("unknown", _PROCESS_DIED, maybe_billed=billed)
        return self._failed(event, error, 1, ending, maybe_effected=True)

    def cancelled(self, event: Envelope, reason: str, ending: Ending, *, dispatched: bool) -> Outcome:
        """Return the outcome of a cancelled call."""
        body = tool_request(event)
        error = ToolError("cancelled", reason, maybe_billed=dispatched and body.reserved_tokens > 0)
        return self._failed(
            event, error, int(dispatched), ending, maybe_effected=dispatched and not body.idempotent
        )

    def stopped(self, event: Envelope, reason: str, ending: Ending, *, dispatched: bool) -> Outcome:
        """Return the outcome of a call that an operator's stop kept from running, or ended.

        Where it was sent, and repeating it does harm, nobody knows what became of it. A stop says nothing of
        how well the tool does.
        """
        body = tool_request(event)
        effected = dispatched and not body.idempotent
        message = f"{body.tool} was called when an operator stopped it: {reason}" if effected else reason
        error = ToolError(
            "unknown" if effected else "cancelled",
            message,
            maybe_billed=dispatched and body.reserved_tokens > 0,
        )
        return self._failed(event, error, int(dispatched), ending, maybe_effected=effected, observed=False)

    def broken(self, event: Envelope, message: str, ending: Ending) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        body = tool_request(event)
        error = ToolError("execution_error", message, maybe_billed=body.reserved_tokens > 0)
        return self._failed(event, error, 1, ending, maybe_effected=not body.idempotent)

    def _failed(
        self,
        event: Envelope,
        error: ToolError,
        attempts: int,
        ending: Ending,
        *,
        maybe_effected: bool,
        observed: bool = True,
    ) -> Outcome:
        body = tool_request(event)
        failed = ToolCallFailed(
            call_id=body.call_id,
            task_id=body.task_id,
            tool_call_id=body.tool_call_id,
            agent=body.agent,
            tool=body.tool,
            tool_version=body.tool_version,
            kind=error.kind,
            message=self._redactor.text(str(error))[:_MESSAGE_CHARACTERS_MAX],
            retryable=error.retryable,
            maybe_effected=maybe_effected,
            used_tokens=error.used_tokens,
            cost_nanodollars=error.cost_nanodollars,
            maybe_billed=error.maybe_billed,
            attempts=attempts,
            latency_ms=ending.latency_ms,
        )
        published = result_of(event, failed, body.call_id, self._producer, ending.now_ms)
        if not observed or error.kind in NOT_THE_TOOLS_DOING:
            return Outcome(events=(published,), label=error.kind)
        told = self._observed(event, published.event_id, False, error.used_tokens, ending)
        return Outcome(events=(published, *told), label=error.kind)

    def _observed(
        self, event: Envelope, result_id: str, succeeded: bool, used_tokens: int, ending: Ending
    ) -> tuple[Envelope, ...]:
        body = tool_request(event)
        spec = self._specs.get(body.tool)
        if spec is None:
            return ()
        outcome = ToolOutcomeObserved(
            call_id=body.call_id,
            tool=body.tool,
            tool_version=body.tool_version,
            category=spec.category,
            safety_level=SafetyLevel(spec.safety_level),
            complexity_score=spec.complexity_score,
            resource_intensity=ResourceIntensity(spec.resource_intensity),
            succeeded=succeeded,
            latency_ms=ending.latency_ms,
            used_tokens=used_tokens,
            ended_at_ms=ending.now_ms,
        )
        observed = result_of(event, outcome, body.call_id, self._producer, ending.now_ms, kind="outcome")
        return (replace(observed, causation_id=result_id),)


def model_request(event: Envelope) -> ModelCallRequested:
    """Return the request that a call of the model shell carries."""
    assert isinstance(event.body, ModelCallRequested)
    return event.body


def tool_request(event: Envelope) -> ToolCallRequested:
    """Return the request that a call of the tool shell carries."""
    assert isinstance(event.body, ToolCallRequested)
    return event.body


def result_of(
    event: Envelope, body: Fact, call_id: str, producer: str, now_ms: int, kind: str = OUTCOME
) -> Envelope:
    """Wrap an outcome of the call `event`; the same call and kind always give the same event id."""
    return Envelope(
        event_id=outcome_id(call_id, kind),
        type=type(body).__name__,
        session_id=event.session_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        causation_id=event.event_id,
        correlation_id=event.correlation_id,
        occurred_at_ms=now_ms,
        producer=producer,
        versions=event.versions,
        traceparent=event.traceparent,
        body=body,
    )
