"""The model shell: runs admitted calls of language models."""

import time
from collections.abc import Callable
from typing import Final

from processors.amounts import NANODOLLARS
from processors.effects import Ending, ModelOutcomes, Outcome, model_request
from processors.outputs import schema_of_critique, schema_of_plan
from processors.prompts import both_ends
from processors.redaction.redactor import PATTERNS_ALONE, Redactor
from schemas.configuration import Configuration
from schemas.envelope import Envelope, Fact
from schemas.events.client_calls import EMBEDDINGS, ClientCallReceived
from schemas.events.deltas import ModelDeltaReceived
from schemas.events.imports import MessageImported
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.models import (
    CallPurpose,
    ChatRole,
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallRequested,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.frozen import replace
from schemas.hidden_text import without_hidden
from schemas.ports.chat import (
    ChatAnswer,
    ChatMessage,
    ChatRequest,
    ConnectorError,
    Model,
    RequestInvalid,
    TextSink,
    ToolOffered,
    messages_of,
    tools_of,
)
from schemas.ports.embedding import Embedder
from streams.effects.executor import Cancellation
from streams.effects.feed import Feed
from streams.effects.pieces import AnswerTold
from streams.process.metrics import Metrics
from streams.records.reader import RecordMissing, RecordReader
from streams.shells.vectors import vectors_of
from topics.catalog import SESSION_IMPORTS
from topics.shells import MODEL

_BACKOFF_MS_MAX: Final = 60_000
"""Between two attempts, at most, a Retry-After included."""
NO_LONGER_THERE: Final = "(It is no longer kept.)"
_MARGIN_MS: Final = 30_000
"""For resolving references and for publishing."""


class ModelExecutor:
    """Runs the calls of model.calls."""

    def __init__(
        self,
        model: Model,
        embedder: Embedder,
        *,
        configuration: Configuration,
        reader: RecordReader,
        feed: Feed,
        metrics: Metrics,
        now_ms: Callable[[], int],
        redactor: Redactor = PATTERNS_ALONE,
    ) -> None:
        """Take the models and where texts are.

        Args:
            model: the provider.
            embedder: makes the vectors that clients ask for.
            configuration: prices and tools.
            reader: resolves references.
            feed: takes pieces of answers.
            metrics: counts tokens and cost.
            now_ms: the clock.
            redactor: takes credentials out of answers.
        """
        self._model = model
        self._embedder = embedder
        prices = {chat.name: chat for chat in configuration.models.chat}
        self._outcomes = ModelOutcomes(prices, MODEL, redactor)
        self._redactor = redactor
        self._tools = configuration.tools
        self._schemas = {
            CallPurpose.PLAN: schema_of_plan(configuration.agents),
            CallPurpose.CRITIQUE: schema_of_critique(),
        }
        self._output_models = {
            name: agent.output_model_json
            for name, agent in configuration.agents.items()
            if agent.output_model_json
        }
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
        return model_request(event).model

    def reserved_tokens(self, event: Envelope) -> int:
        """Return the tokens that were reserved for the call."""
        return model_request(event).reserved_tokens

    def duration_ms_max(self, event: Envelope) -> int:
        """Return how long all attempts may take, with the longest waits between them."""
        body = model_request(event)
        return body.timeout_ms * body.attempts_max + _BACKOFF_MS_MAX * (body.attempts_max - 1) + _MARGIN_MS

    def refusal(self, event: Envelope) -> str | None:
        """Refuse none: what a session may ask of models its budget bounds."""
        return None

    async def run(self, event: Envelope, attempt: int) -> Outcome:  # a repeat is a new call
        """Ask the model."""
        body = model_request(event)
        began_s = time.monotonic()
        try:
            answer = await self._answer(event, body)
        except RecordMissing as error:
            failure = RequestInvalid("invalid_request", str(error), retryable=False, attempts=0)
            return self._outcomes.failed(event, failure, self._ending(began_s))
        except ConnectorError as error:
            return self._outcomes.failed(event, error, self._ending(began_s))
        outcome = self._outcomes.completed(event, answer, self._ending(began_s))
        self._count(body.model, outcome)
        return outcome

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died."""
        return self._outcomes.interrupted(event, self._ended(latency_ms))

    async def reconciled(self, event: Envelope, outcome: Outcome) -> Outcome:
        """Return the outcome: models do not tell of earlier calls."""
        return outcome

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call."""
        return self._outcomes.cancelled(event, reason, self._ended(latency_ms), dispatched=dispatched)

    def stopped(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a call that was refused."""
        return self.cancelled(event, reason, dispatched=dispatched, latency_ms=latency_ms)

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw."""
        return self._outcomes.broken(event, message, self._ended(latency_ms))

    async def _answer(self, event: Envelope, body: ModelCallRequested) -> ChatAnswer:
        told = AnswerTold(self._redactor, self._sink(event, body))
        if body.purpose is not CallPurpose.CLIENT:
            request = await self._chat_request(body, told.take)
        else:
            asked = await self._asked(body)
            if asked.route == EMBEDDINGS:
                return await vectors_of(self._embedder, asked, body)
            request = _clients_request(asked, body, told.take)
        answer = await self._model.complete(request)
        await told.finish()
        return replace(
            answer, tool_calls=tuple(self._counted(call, body.model) for call in answer.tool_calls)
        )

    def _counted(self, call: ToolCallProposed, model: str) -> ToolCallProposed:
        """Return a tool call without credentials, with the tokens that it has then."""
        told = self._redactor.fact(call)
        if told.arguments_json == call.arguments_json:
            return told
        return replace(told, arguments_tokens=self._model.count_tokens(told.arguments_json, model))

    def _sink(self, event: Envelope, body: ModelCallRequested) -> TextSink:
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

        return on_text

    async def _chat_request(self, body: ModelCallRequested, on_text: TextSink) -> ChatRequest:
        return ChatRequest(
            call_id=body.call_id,
            model=body.model,
            messages=tuple([await self._message(message) for message in body.messages]),
            tools=tuple(self._offered(name) for name in body.tools if name in self._tools),
            json_mode=body.json_mode,
            json_schema=self._schema(body) if body.json_mode else None,
            temperature=body.temperature,
            input_tokens_max=body.input_tokens_max,
            output_tokens_max=body.output_tokens_max,
            timeout_ms=body.timeout_ms,
            attempts_max=body.attempts_max,
            on_text=on_text,
        )

    def _schema(self, body: ModelCallRequested) -> str | None:
        """Return the schema of what is wanted, as far as this process knows it."""
        if body.purpose is CallPurpose.STEP:
            return self._output_models.get(body.agent)
        return self._schemas.get(body.purpose)

    async def _asked(self, body: ModelCallRequested) -> ClientCallReceived:
        """Return a client's call, which stands on the log as the client sent it."""
        source = body.messages[0].source
        asked = None if source is None else (await self._reader.event(source)).body
        if not isinstance(asked, ClientCallReceived):
            raise RecordMissing("a client's call does not name what the client asked")
        return asked

    async def _message(self, message: PromptMessage) -> ChatMessage:
        text = message.text or ""
        if message.source is None:
            return ChatMessage(role=message.role, text=text, tool_call_id=message.tool_call_id)
        try:
            source = (await self._reader.event(message.source)).body
        except RecordMissing:
            # What another system said may be deleted; a conversation goes on without it.
            if message.source.topic != SESSION_IMPORTS.name:
                raise
            return ChatMessage(role=message.role, text=text + NO_LONGER_THERE)
        text += both_ends(_text_of(source), message.characters_max)
        # Who is quoted to a model as material does not speak in its own voice.
        if isinstance(source, ModelCallCompleted) and message.role is ChatRole.ASSISTANT:
            return ChatMessage(
                role=message.role,
                text=text,
                tool_calls=source.tool_calls,
                provider_state_json=source.provider_state_json,
            )
        return ChatMessage(role=message.role, text=text, tool_call_id=message.tool_call_id)

    def _offered(self, name: str) -> ToolOffered:
        spec = self._tools[name]
        return ToolOffered(name=name, description=spec.description, parameters_json=spec.parameters_json)

    def _count(self, model: str, outcome: Outcome) -> None:
        for event in outcome.events:
            assert isinstance(event.body, ModelCallCompleted)
            self._metrics.model_tokens.labels(model, "in").inc(event.body.input_tokens)
            self._metrics.model_tokens.labels(model, "out").inc(event.body.output_tokens)
            self._metrics.model_cost_dollars.labels(model).inc(event.body.cost_nanodollars / NANODOLLARS)

    def _ending(self, began_s: float) -> Ending:
        return self._ended(int((time.monotonic() - began_s) * 1_000))

    def _ended(self, latency_ms: int) -> Ending:
        return Ending(now_ms=self._now_ms(), latency_ms=latency_ms)


def _clients_request(asked: ClientCallReceived, body: ModelCallRequested, on_text: TextSink) -> ChatRequest:
    return ChatRequest(
        call_id=body.call_id,
        model=body.model,
        messages=messages_of(asked),
        tools=tools_of(asked),
        asked_json=asked.parameters_json,
        input_tokens_max=body.input_tokens_max,
        output_tokens_max=body.output_tokens_max,
        timeout_ms=body.timeout_ms,
        attempts_max=body.attempts_max,
        on_text=on_text,
    )


def _text_of(fact: Fact | None) -> str:
    match fact:
        case ModelCallCompleted() | MessageReceived():
            return fact.text
        case MessageImported():
            # Nobody cleaned it before it came onto the log.
            return PATTERNS_ALONE.text(without_hidden(fact.text))
        case SessionForked():
            return fact.text or ""
        case ToolCallCompleted():
            return fact.result_json
        case ToolCallFailed():
            # The form that models know from tools that fail, told apart from a result that is a string.
            return fact.message
        case _:
            raise RecordMissing(f"a prompt cannot take its text from a {type(fact).__name__}")
