"""Executors of models and tools, with everything around them in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from processors.restraints import Restraints
from schemas.configuration import Configuration, ToolSpec
from schemas.envelope import Envelope, Fact
from schemas.events.models import (
    CallPurpose,
    ModelCallRequested,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.tools import (
    ToolCallRequested,
)
from schemas.ids import derived_id
from schemas.ports.chat import ChatAnswer, ChatRequest, ProviderFailed
from schemas.ports.embedding import Embedded
from schemas.ports.tool import Happened, ToolContext, ToolError, ToolResult
from schemas.references import RecordReference
from streams.configuration.loading import load_configuration
from streams.effects.feed import Feed
from streams.process.metrics import Metrics
from streams.records.delivery import Outgoing, outgoing
from streams.records.reader import RecordReader
from streams.shells.model import ModelExecutor
from streams.shells.tool import ToolExecutor
from tests.streams.twin import CODEC, event, metrics
from topics.catalog import Topic

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
        self.pieces = ["par", "is"]
        self.tool_calls: tuple[ToolCallProposed, ...] = ()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.requests.append(request)
        for index, piece in enumerate(self.pieces):
            await request.on_text(1, index, piece)
        if self.failure is not None:
            raise self.failure
        return ChatAnswer(
            text="".join(self.pieces),
            tool_calls=self.tool_calls,
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

    def __init__(self, specs: Mapping[str, ToolSpec] | None = None) -> None:
        self.contexts: list[ToolContext] = []
        self.arguments: list[str] = []
        self.result: dict[str, object] = {"found": "ö"}
        self.failure: ToolError | None = None
        self.output = ["searching"]
        self._specs = {"search": SPEC} if specs is None else specs
        self.known: Happened | None = None
        """What it says of an earlier call."""
        self.asked: list[str] = []

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        return MappingProxyType(dict(self._specs))

    async def invoke(
        self, name: str, arguments_json: str, context: ToolContext, timeout_ms: int
    ) -> ToolResult:
        self.contexts.append(context)
        self.arguments.append(arguments_json)
        for piece in self.output:
            await context.on_output("stdout", piece)
        if self.failure is not None:
            raise self.failure
        return ToolResult(result=self.result, used_tokens=7, cost_nanodollars=8)

    async def happened(self, name: str, arguments_json: str, context: ToolContext) -> Happened | None:
        self.asked.append(context.idempotency_key)
        return self.known


class FakeEmbedder:
    """Makes vectors of what each text begins with; a text has a token for each of its characters."""

    def __init__(self) -> None:
        self.model = load_configuration([SPEC]).models.embedding

    def count_tokens(self, text: str) -> int:
        return len(text)

    def truncate(self, text: str, tokens_max: int) -> str:
        return text[:tokens_max]

    async def embed(
        self, texts: Sequence[str], *, call_id: str, timeout_ms: int, dimensions: int | None = None
    ) -> Embedded:
        tokens = sum(map(len, texts))
        filled = [0.0] * (self.model.dimensions - 1)
        return Embedded(
            vectors=tuple((float(ord(text[0])), *filled) for text in texts),
            tokens=tokens,
            nanodollars=tokens * 130,
            attempts=1,
            model="local/" + self.model.name,
            local=True,
        )


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

    def __init__(self, configuration: Configuration | None = None) -> None:
        self.model, self.offers = FakeModel(), Offers()
        self.tools = FakeTools(None if configuration is None else configuration.tools)
        self.embedder = FakeEmbedder()
        self.all_metrics = Metrics()
        self.configuration: Configuration = configuration or load_configuration([SPEC])
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
            self.embedder,
            configuration=self.configuration,
            reader=self.reader,
            feed=feed,
            metrics=self.all_metrics,
            now_ms=lambda: NOW_MS,
        )
        self.restraints = Restraints()
        self.toolbox = ToolExecutor(
            self.tools,
            configuration=self.configuration,
            reader=self.reader,
            feed=feed,
            tokenizer=len,
            now_ms=lambda: NOW_MS,
            stop_of=self.restraints.stop_of,
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
            purpose=CallPurpose.STEP,
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
