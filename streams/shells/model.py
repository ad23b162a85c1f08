"""The model shell: runs admitted calls of language models."""

import time
from collections.abc import Callable
from typing import Final

from schemas.configuration import ChatModel, Configuration
from schemas.envelope import Envelope
from schemas.events.deltas import ModelDeltaReceived
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.models import (
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ModelResultFact,
    PromptMessage,
)
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.models import (
    ChatAnswer,
    ChatMessage,
    ChatRequest,
    ConnectorError,
    Model,
    RequestInvalid,
    ToolOffered,
)
from streams.effects.executor import Cancellation, Outcome
from streams.effects.feed import Feed
from streams.process.metrics import Metrics
from streams.records.reader import RecordMissing, RecordReader
from streams.results import result_of
from topics.shells import MODEL

_BACKOFF_MS_MAX: Final = 60_000
"""Between two attempts, at most, a Retry-After included."""
_MARGIN_MS: Final = 30_000
"""For resolving references and for publishing."""
_NANODOLLARS: Final = 1e9


class ModelExecutor:
    """Runs the calls of model.calls."""

    def __init__(
        self,
        model: Model,
        *,
        configuration: Configuration,
        reader: RecordReader,
        feed: Feed,
        metrics: Metrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the models and where texts are.

        Args:
            model: the provider.
            configuration: prices and tools.
            reader: resolves references.
            feed: takes pieces of answers.
            metrics: counts tokens and cost.
            now_ms: the clock.
        """
        self._model = model
        self._prices = {chat.name: chat for chat in configuration.models.chat}
        self._tools = configuration.tools
        self._reader = reader
        self._feed = feed
        self._metrics = metrics
        self._now_ms = now_ms

    def call_id(self, event: Envelope) -> str | None:
        """Return the id of the call that `event` asks for."""
        return event.body.call_id if isinstance(event.body, ModelCallRequested) else None

    def cancellation(self, event: Envelope) -> Cancellation | None:
        """Return what `event` cancels."""
        body = event.body
        if not isinstance(body, ModelCallCancelled):
            return None
        return Cancellation(call_id=body.call_id, reason=body.reason)

    def name(self, event: Envelope) -> str:
        """Return the model's name."""
        return _request(event).model

    def reserved_tokens(self, event: Envelope) -> int:
        """Return the tokens that were reserved for the call."""
        return _request(event).reserved_tokens

    def duration_ms_max(self, event: Envelope) -> int:
        """Return how long all attempts may take, with the longest waits between them."""
        body = _request(event)
        return body.timeout_ms * body.attempts_max + _BACKOFF_MS_MAX * (body.attempts_max - 1) + _MARGIN_MS

    async def run(self, event: Envelope, attempt: int) -> Outcome:  # a repeat is a new call
        """Ask the model."""
        body = _request(event)
        began = time.monotonic()
        try:
            answer = await self._model.complete(await self._chat_request(event, body))
        except RecordMissing as error:
            failure = RequestInvalid("invalid_request", str(error), retryable=False, attempts=0)
            return self._failed(event, body, failure, _since_ms(began))
        except ConnectorError as error:
            return self._failed(event, body, error, _since_ms(began))
        return self._completed(event, body, answer, _since_ms(began))

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died: it may be billed, and its answer is lost."""
        return self._ended(
            event, "interrupted", "the process died while the call was running", True, True, latency_ms
        )

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call: what may have been billed is charged in full."""
        return self._ended(event, "cancelled", reason, False, dispatched, latency_ms)

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        return self._ended(event, "provider_error", message, False, True, latency_ms)

    async def _chat_request(self, event: Envelope, body: ModelCallRequested) -> ChatRequest:
        async def on_text(attempt: int, index: int, text: str) -> None:
            delta = ModelDeltaReceived(
                call_id=body.call_id,
                task_id=body.task_id,
                purpose=body.purpose,
                attempt=attempt,
                index=index,
                text=text,
            )
            await self._feed.publish(event, delta, str(attempt), str(index))

        return ChatRequest(
            call_id=body.call_id,
            model=body.model,
            messages=tuple([await self._message(message) for message in body.messages]),
            tools=tuple(self._offered(name) for name in body.tools if name in self._tools),
            json_mode=body.json_mode,
            temperature=body.temperature,
            input_tokens_max=body.input_tokens_max,
            output_tokens_max=body.output_tokens_max,
            timeout_ms=body.timeout_ms,
            attempts_max=body.attempts_max,
            on_text=on_text,
        )

    async def _message(self, message: PromptMessage) -> ChatMessage:
        text = message.text or ""
        if message.source is None:
            return ChatMessage(role=message.role, text=text, tool_call_id=message.tool_call_id)
        source = (await self._reader.event(message.source)).body
        if isinstance(source, ModelCallCompleted):
            return ChatMessage(role=message.role, text=text + source.text, tool_calls=source.tool_calls)
        if isinstance(source, MessageReceived):
            text += source.text
        elif isinstance(source, SessionForked):
            text += source.text or ""
        elif isinstance(source, ToolCallCompleted):
            text += source.result_json
        elif isinstance(source, ToolCallFailed):
            # The form that models know from tools that fail, told apart from a result that is a string.
            text += source.message
        else:
            raise RecordMissing(f"a prompt cannot take its text from a {type(source).__name__}")
        return ChatMessage(role=message.role, text=text, tool_call_id=message.tool_call_id)

    def _offered(self, name: str) -> ToolOffered:
        spec = self._tools[name]
        return ToolOffered(name=name, description=spec.description, parameters_json=spec.parameters_json)

    def _completed(
        self, event: Envelope, body: ModelCallRequested, answer: ChatAnswer, latency_ms: int
    ) -> Outcome:
        cost = self._cost(body.model, answer.input_tokens, answer.output_tokens)
        result = ModelCallCompleted(
            call_id=body.call_id,
            task_id=body.task_id,
            purpose=body.purpose,
            agent=body.agent,
            model=answer.model,
            text=answer.text,
            tool_calls=answer.tool_calls,
            finish_reason=answer.finish_reason,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            usage_source=answer.usage_source,
            cost_nanodollars=cost,
            attempts=answer.attempts,
            latency_ms=latency_ms,
            first_token_ms=answer.first_token_ms,
            local=answer.local,
        )
        self._metrics.model_tokens.labels(body.model, "in").inc(answer.input_tokens)
        self._metrics.model_tokens.labels(body.model, "out").inc(answer.output_tokens)
        self._metrics.model_cost_dollars.labels(body.model).inc(cost / _NANODOLLARS)
        return Outcome(events=(self._result(event, result),), label="ok")

    def _failed(
        self, event: Envelope, body: ModelCallRequested, error: ConnectorError, latency_ms: int
    ) -> Outcome:
        result = ModelCallFailed(
            call_id=body.call_id,
            task_id=body.task_id,
            purpose=body.purpose,
            agent=body.agent,
            model=body.model,
            kind=error.kind,
            message=str(error)[:2_000],
            retryable=error.retryable,
            maybe_billed=error.maybe_billed,
            prompt_tokens_counted=error.prompt_tokens_counted,
            attempts=error.attempts,
            latency_ms=latency_ms,
            retry_after_ms=error.retry_after_ms,
        )
        return Outcome(events=(self._result(event, result),), label=error.kind)

    def _ended(
        self, event: Envelope, kind: str, message: str, retryable: bool, maybe_billed: bool, latency_ms: int
    ) -> Outcome:
        body = _request(event)
        error = ConnectorError(kind, message, retryable=retryable, maybe_billed=maybe_billed)
        return self._failed(event, body, error, latency_ms)

    def _cost(self, model: str, input_tokens: int, output_tokens: int) -> int:
        price: ChatModel | None = self._prices.get(model)
        if price is None:
            # A call of a model without a price is never admitted; one from another configuration may be.
            return 0
        return input_tokens * price.input_nanodollars + output_tokens * price.output_nanodollars

    def _result(self, event: Envelope, body: ModelResultFact) -> Envelope:
        return result_of(event, body, body.call_id, MODEL, self._now_ms())


def _request(event: Envelope) -> ModelCallRequested:
    assert isinstance(event.body, ModelCallRequested)
    return event.body


def _since_ms(began: float) -> int:
    return int((time.monotonic() - began) * 1_000)
