"""How calls of models and tools become outcomes."""

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from schemas.configuration import Configuration, ToolSpec
from schemas.envelope import Envelope, Fact
from schemas.events.deltas import ModelDeltaReceived, ToolDeltaReceived
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.models import (
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.tools import (
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolOutcomeObserved,
)
from schemas.ids import derived_id
from schemas.models import ChatAnswer, ChatRequest, ProviderFailed
from schemas.references import RecordReference
from schemas.tools import ToolContext, ToolError, ToolResult
from streams.configuration import load_configuration
from streams.delivery import Outgoing, outgoing
from streams.feed import Feed
from streams.metrics import Metrics
from streams.model_shell import ModelExecutor
from streams.record_reader import RecordReader
from streams.tool_shell import ToolExecutor
from tests.streams.twin import CODEC, event, metrics, session_id
from topics.catalog import MODEL_RESULTS, SESSION_INPUTS, TOOL_RESULTS, Topic

NOW_MS = 9_000
SPEC = ToolSpec(
    name="search",
    version="1",
    description="Search.",
    category="retrieval",
    safety_level="safe",
    complexity_score=3,
    resource_intensity="light",
    parameters_json="{}",
    result_schema_json="{}",
    idempotent=True,
    tokens_max=0,
    tokens_min=0,
    nanodollars_per_token=0,
    timeout_ms=1_000,
)


class FakeModel:
    """Answers, or fails, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []
        self.failure: ProviderFailed | None = None

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.requests.append(request)
        await request.on_text(1, 0, "par")
        await request.on_text(1, 1, "is")
        if self.failure is not None:
            raise self.failure
        return ChatAnswer(
            text="paris",
            tool_calls=(),
            finish_reason="stop",
            model="local/gpt-4o-mini",
            input_tokens=100,
            output_tokens=10,
            usage_source="provider",
            attempts=2,
            first_token_ms=3,
            local=True,
        )

    def count_tokens(self, text: str, model: str) -> int:
        return len(text)


class FakeTools:
    """Has one tool."""

    def __init__(self) -> None:
        self.contexts: list[ToolContext] = []
        self.failure: ToolError | None = None

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        return MappingProxyType({"search": SPEC})

    async def invoke(
        self, name: str, arguments_json: str, context: ToolContext, timeout_ms: int
    ) -> ToolResult:
        self.contexts.append(context)
        await context.on_output("stdout", "searching")
        if self.failure is not None:
            raise self.failure
        return ToolResult(result={"found": "ö"}, used_tokens=7, cost_nanodollars=8)


class Offers:
    """Takes pieces, or loses them."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []
        self.away = False

    async def offer(self, record: Outgoing) -> "asyncio.Future[object]":
        if self.away:
            raise ConnectionError("Kafka is away")
        self.records.append(record)
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


class Scene:
    """Executors with everything around them."""

    def __init__(self) -> None:
        self.model, self.tools, self.offers = FakeModel(), FakeTools(), Offers()
        self.all_metrics = Metrics()
        self.configuration: Configuration = load_configuration([SPEC])
        self.reader = RecordReader(
            kafka_bootstrap="127.0.0.1:1",
            topic_prefix="",
            codec=CODEC,
            cache_bytes=1_000_000,
            metrics=self.all_metrics,
        )
        feed = Feed(
            codec=CODEC, log=self.offers, metrics=metrics("model"), now_ms=lambda: NOW_MS, producer="model"
        )
        self.models = ModelExecutor(
            self.model,
            configuration=self.configuration,
            reader=self.reader,
            feed=feed,
            metrics=self.all_metrics,
            now_ms=lambda: NOW_MS,
        )
        self.toolbox = ToolExecutor(
            self.tools, reader=self.reader, feed=feed, tokenizer=len, now_ms=lambda: NOW_MS
        )

    def on_log(self, body: Fact, topic: Topic, offset: int) -> RecordReference:
        """Put an event where the reader finds it."""
        one = event(body, number=offset)
        self.reader.remember(outgoing(CODEC, one, topic), 0, offset)
        return RecordReference(topic=topic.name, partition=0, offset=offset, event_id=one.event_id, tokens=1)


def model_call(messages: tuple[PromptMessage, ...] = (), tools: tuple[str, ...] = ()) -> Envelope:
    return event(
        ModelCallRequested(
            call_id=derived_id("call", "m"),
            task_id="task",
            turn=1,
            purpose="step",
            agent="researcher",
            model="gpt-4o-mini",
            messages=messages,
            tools=tools,
            input_tokens_max=200,
            output_tokens_max=50,
            reserved_tokens=250,
            reserved_nanodollars=1,
            timeout_ms=1_000,
            attempts_max=2,
        )
    )


def tool_call(
    *, reserved_tokens: int = 0, idempotent: bool = True, message: RecordReference | None = None
) -> Envelope:
    return event(
        ToolCallRequested(
            call_id=derived_id("call", "t"),
            task_id="task",
            turn=1,
            tool_call_id="c1",
            agent="researcher",
            tool="search",
            tool_version="1",
            arguments_json="{}",
            message=message,
            idempotency_key="key",
            idempotent=idempotent,
            reserved_tokens=reserved_tokens,
            reserved_nanodollars=reserved_tokens,
            timeout_ms=1_000,
        )
    )


async def test_an_answer_is_priced_and_says_where_it_comes_from() -> None:
    scene, call = Scene(), model_call()

    outcome = await scene.models.run(call, 1)

    (result,) = outcome.events
    body = result.body
    assert isinstance(body, ModelCallCompleted)
    price = next(chat for chat in scene.configuration.models.chat if chat.name == "gpt-4o-mini")
    assert body.cost_nanodollars == 100 * price.input_nanodollars + 10 * price.output_nanodollars
    assert (body.model, body.local, body.attempts) == ("local/gpt-4o-mini", True, 2)
    assert result.event_id == derived_id(body.call_id, "result")
    assert (result.causation_id, result.session_id) == (call.event_id, session_id(0))
    assert (result.tenant_id, result.user_id) == ("tenant", "user")


async def test_references_in_a_prompt_resolve_by_what_they_point_to() -> None:
    scene = Scene()
    proposed = ToolCallProposed(tool_call_id="c1", name="search", arguments_json="{}")
    answer = ModelCallCompleted(
        call_id="c",
        task_id="t",
        purpose="step",
        agent="a",
        model="m",
        text="let me look",
        tool_calls=(proposed,),
        finish_reason="tool_calls",
        input_tokens=1,
        output_tokens=1,
        usage_source="provider",
        cost_nanodollars=1,
        attempts=1,
        latency_ms=1,
    )
    found = ToolCallCompleted(
        call_id="c",
        task_id="t",
        tool_call_id="c1",
        agent="a",
        tool="search",
        tool_version="1",
        result_json='{"found":1}',
        result_tokens=3,
        used_tokens=0,
        cost_nanodollars=0,
        attempts=1,
        latency_ms=1,
    )
    call = model_call(
        (
            PromptMessage(role="system", text="Role: agent researcher"),
            PromptMessage(
                role="user",
                text="Request:\n",
                source=scene.on_log(MessageReceived(text="where?"), SESSION_INPUTS, 1),
            ),
            PromptMessage(role="assistant", source=scene.on_log(answer, MODEL_RESULTS, 2)),
            PromptMessage(role="tool", source=scene.on_log(found, TOOL_RESULTS, 3), tool_call_id="c1"),
        ),
        tools=("search", "unheard_of"),
    )

    await scene.models.run(call, 1)

    (request,) = scene.model.requests
    assert [message.text for message in request.messages] == [
        "Role: agent researcher",
        "Request:\nwhere?",
        "let me look",
        '{"found":1}',
    ]
    assert request.messages[2].tool_calls == (proposed,)
    assert request.messages[3].tool_call_id == "c1"
    assert [tool.name for tool in request.tools] == ["search"]


async def test_a_reference_to_another_event_fails_the_call_without_asking() -> None:
    scene = Scene()
    reference = scene.on_log(MessageReceived(text="where?"), SESSION_INPUTS, 1)
    wrong = RecordReference(
        topic=reference.topic, partition=0, offset=1, event_id=derived_id("other"), tokens=1
    )

    outcome = await scene.models.run(model_call((PromptMessage(role="user", source=wrong),)), 1)

    body = outcome.events[0].body
    assert isinstance(body, ModelCallFailed)
    assert (body.kind, body.maybe_billed, body.attempts) == ("invalid_request", False, 0)
    assert scene.model.requests == []


async def test_a_failure_keeps_what_the_connector_knows() -> None:
    scene = Scene()
    scene.model.failure = ProviderFailed(
        "timeout", "late", retryable=True, maybe_billed=True, attempts=2, retry_after_ms=5
    )

    outcome = await scene.models.run(model_call(), 1)

    body = outcome.events[0].body
    assert isinstance(body, ModelCallFailed)
    assert (body.kind, body.retryable, body.maybe_billed, body.attempts, body.retry_after_ms) == (
        "timeout",
        True,
        True,
        2,
        5,
    )
    assert outcome.label == "timeout"


async def test_pieces_of_an_answer_are_published_with_ids_of_their_own() -> None:
    scene = Scene()

    await scene.models.run(model_call(), 1)

    bodies = [record.event.body for record in scene.offers.records]
    assert [body.text for body in bodies if isinstance(body, ModelDeltaReceived)] == ["par", "is"]
    assert len({record.event.event_id for record in scene.offers.records}) == 2


async def test_pieces_that_cannot_be_published_do_not_touch_the_call() -> None:
    scene = Scene()
    scene.offers.away = True

    assert (await scene.models.run(model_call(), 1)).label == "ok"
    assert (await scene.toolbox.run(tool_call(), 1)).label == "ok"


def test_an_interrupted_model_call_is_maybe_billed_and_may_be_asked_again() -> None:
    outcome = Scene().models.interrupted(model_call(), 5)

    assert outcome is not None
    body = outcome.events[0].body
    assert isinstance(body, ModelCallFailed)
    assert (body.kind, body.retryable, body.maybe_billed) == ("interrupted", True, True)


@pytest.mark.parametrize("dispatched", [True, False])
def test_a_cancelled_model_call_is_charged_only_when_it_may_have_run(*, dispatched: bool) -> None:
    outcome = Scene().models.cancelled(model_call(), "enough", dispatched=dispatched, latency_ms=1)

    body = outcome.events[0].body
    assert isinstance(body, ModelCallFailed)
    assert (body.kind, body.maybe_billed, body.retryable) == ("cancelled", dispatched, False)


async def test_a_tool_gets_the_attachments_of_the_turns_message_and_its_budget() -> None:
    scene = Scene()
    attachment = Attachment(name="a.txt", text="text")
    reference = scene.on_log(MessageReceived(text="m", attachments=(attachment,)), SESSION_INPUTS, 1)

    await scene.toolbox.run(tool_call(reserved_tokens=50, message=reference), 1)

    (context,) = scene.tools.contexts
    assert context.attachments == (attachment,)
    assert (context.tokens_max, context.idempotency_key, context.tenant_id) == (50, "key", "tenant")


async def test_a_tools_result_is_counted_and_its_outcome_observed() -> None:
    scene = Scene()

    outcome = await scene.toolbox.run(tool_call(), 1)

    result, observed = outcome.events
    assert isinstance(result.body, ToolCallCompleted)
    assert json.loads(result.body.result_json) == {"found": "ö"}
    assert result.body.result_tokens == len(result.body.result_json)
    assert (result.body.used_tokens, result.body.cost_nanodollars) == (7, 8)
    assert isinstance(observed.body, ToolOutcomeObserved)
    assert (observed.body.succeeded, observed.body.category) == (True, "retrieval")
    assert observed.causation_id == result.event_id
    assert observed.event_id == derived_id(result.body.call_id, "outcome")
    (piece,) = scene.offers.records
    assert isinstance(piece.event.body, ToolDeltaReceived)


async def test_a_failed_tool_counts_against_it_and_a_wrong_argument_does_not() -> None:
    scene = Scene()
    scene.tools.failure = ToolError("execution_error", "broken", used_tokens=3, maybe_billed=True)
    failed = await scene.toolbox.run(tool_call(), 1)
    scene.tools.failure = ToolError("validation_error", "not so")
    refused = await scene.toolbox.run(tool_call(), 1)

    result, observed = failed.events
    assert isinstance(result.body, ToolCallFailed)
    assert (result.body.kind, result.body.used_tokens, result.body.maybe_billed) == (
        "execution_error",
        3,
        True,
    )
    assert isinstance(observed.body, ToolOutcomeObserved)
    assert not observed.body.succeeded
    assert len(refused.events) == 1


@pytest.mark.parametrize(
    ("idempotent", "reserved_tokens", "kind", "maybe_effected", "maybe_billed"),
    [
        (True, 0, None, False, False),
        (True, 10, "execution_error", False, True),
        (False, 0, "unknown", True, False),
        (False, 10, "unknown", True, True),
    ],
)
def test_an_interrupted_tool_call_runs_again_only_when_that_is_harmless_and_free(
    *, idempotent: bool, reserved_tokens: int, kind: str | None, maybe_effected: bool, maybe_billed: bool
) -> None:
    call = tool_call(idempotent=idempotent, reserved_tokens=reserved_tokens)

    outcome = Scene().toolbox.interrupted(call, 1)

    if kind is None:
        assert outcome is None
        return
    assert outcome is not None
    body = outcome.events[0].body
    assert isinstance(body, ToolCallFailed)
    assert (body.kind, body.maybe_effected, body.maybe_billed) == (kind, maybe_effected, maybe_billed)


async def test_the_newest_texts_stay_in_memory_and_the_oldest_leave() -> None:
    reader = RecordReader(
        kafka_bootstrap="127.0.0.1:1", topic_prefix="", codec=CODEC, cache_bytes=3_000, metrics=Metrics()
    )
    for offset in range(10):
        record = outgoing(CODEC, event(MessageReceived(text="x" * 200), number=offset), SESSION_INPUTS)
        reader.remember(record, 0, offset)

    kept = [offset for _, _, offset in reader._cache]

    assert kept == sorted(kept)
    assert kept[-1] == 9
    assert 0 < len(kept) < 10
