"""How far estimates of tasks are off what the tasks used, over sessions of the local model with the shipped
configuration and the real tools; `pytest -s` shows the figures."""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from connectors.local_model.answers import complete, reply_to
from connectors.local_model.wire import ChatCall
from connectors.models.tokens import TokenCounter, count_tokens
from connectors.retrieval.index import FoundPassage
from connectors.retrieval.passages import split
from connectors.sandbox.tool import PARAMETERS as CODE_PARAMETERS
from connectors.sandbox.tool import RESULT as CODE_RESULT
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.embeddings import GenerateEmbeddings
from connectors.tools.search import SearchDocuments
from processors.prompts import both_ends
from processors.session import SessionDecider
from schemas.configuration import ToolSpec
from schemas.envelope import Envelope, Fact
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.models import (
    FinishReason,
    ModelCallCompleted,
    ModelCallRequested,
    PromptMessage,
    UsageSource,
)
from schemas.events.tools import (
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
)
from schemas.ids import derived_id, outcome_id
from schemas.ports.chat import ChatMessage, ToolOffered
from schemas.ports.tool import Tool, ToolError, ToolResult
from schemas.references import RecordReference
from streams.configuration.loading import load_configuration
from streams.records.reference import tokens_of
from tests.connectors.conftest import ENCODINGS, PROJECT_DIRECTORY, Local
from tests.connectors.twins import CHAT_MODEL, FixedIndex, context
from tests.estimates import Off, offs, told
from tests.processors.world import tool_completed, tool_failed
from topics.catalog import topic_of

MEDIAN_ERROR_MAX = 0.5
"""Of what a task used: the most that estimates may be off in the median."""
DOCS = PROJECT_DIRECTORY / "docs"
TEXT = DOCS / "texts" / "declaration-of-independence.txt"
REQUESTS: tuple[tuple[str, Path | None], ...] = (
    ("How does a shell with state make sure that no input is lost or applied twice?", None),
    ("Summarise the attachment, and list its main topics.", TEXT),
    (
        (
            "1. Find out what the budget rules say about reservations. 2. Find out which topics exist and "
            "what they carry. 3. Then write a short introduction for a new operator based on both. "
            "4. Finally review the introduction for gaps."
        ),
        None,
    ),
    (
        (
            "Find out how dead letters work. Find out how migrations work. Find out how the sandbox works. "
            "Find out how the embedded stack starts. Then write an overview of all four."
        ),
        None,
    ),
    ("Calculate 17 * 23 + 4 with code.", None),
    ("Find out how retries work. Then write a summary of it.", None),
    ("What is a budget?", None),
    ("Compare how alike 'a reserved budget' and 'budgets are reserved' are.", None),
    ("List the facts of the attachment. Then write three sentences about its tone.", TEXT),
)


class Session:
    """One session of the real decider; the local model answers, and real tools act, in this process."""

    def __init__(self, tools: Sequence[Tool], others: Sequence[ToolSpec]) -> None:
        """Open nothing yet."""
        specs = [*(tool.spec for tool in tools), *others]
        self.configuration = load_configuration(specs)
        self._tools = {tool.spec.name: tool for tool in tools}
        self._decider = SessionDecider(self.configuration)
        self._state = self._decider.initial("00000000-0000-4000-8000-000000000001")
        self._inputs: dict[str, Fact] = {}
        self._counter = TokenCounter(ENCODINGS)
        self._attachments: tuple[Attachment, ...] = ()
        self._now_ms = 1_000_000
        self.events: list[Envelope] = []

    def attach(self, attached: Path) -> None:
        """Let the message have an attachment."""
        content = attached.read_text(encoding="utf-8")
        tokens = count_tokens(content, "o200k_base")
        self._attachments = (Attachment(name=attached.name, text=content, tokens=tokens),)

    async def say(self, text: str) -> None:
        """Post a message, and let the session come to rest."""
        message = MessageReceived(
            text=text, tokens=count_tokens(text, "o200k_base"), attachments=self._attachments
        )
        waiting = self._post(message, None)
        while waiting:
            call = waiting.pop(0)
            match call.body:
                case ModelCallRequested() as asked:
                    outcome: Fact = self._answer(asked)
                case ToolCallRequested() as wanted:
                    outcome = await self._act(wanted)
                case _:
                    raise AssertionError
            waiting += self._post(outcome, call)

    def _post(self, body: Fact, cause: Envelope | None) -> list[Envelope]:
        number = len(self._inputs)
        event = Envelope(
            event_id=(
                outcome_id(body.call_id)
                if isinstance(body, ModelCallCompleted | ToolCallCompleted | ToolCallFailed)
                else derived_id("message", str(number))
            ),
            type=type(body).__name__,
            session_id=self._state.session_id,
            causation_id=None if cause is None else cause.event_id,
            correlation_id=None if cause is None else cause.correlation_id,
            occurred_at_ms=self._now_ms,
            producer="test",
            body=body,
        )
        self._now_ms += 10
        self._inputs[event.event_id] = body
        place = RecordReference(
            topic=topic_of(body).name,
            partition=0,
            offset=number,
            event_id=event.event_id,
            tokens=tokens_of(event),
        )
        step = self._decider.advance(self._state, event, place)
        self._state = step.state
        self.events += step.events
        calls = (ModelCallRequested, ToolCallRequested)
        return [caused for caused in step.events if isinstance(caused.body, calls)]

    def _answer(self, asked: ModelCallRequested) -> ModelCallCompleted:
        known = self.configuration.tools
        call = ChatCall(
            model=asked.model,
            messages=tuple(map(self._message, asked.messages)),
            tools=tuple(
                ToolOffered(
                    name=name,
                    description=known[name].description,
                    parameters_json=known[name].parameters_json,
                )
                for name in asked.tools
            ),
            json_mode=asked.json_mode,
            tokens_max=asked.output_tokens_max,
        )
        said = complete(call, reply_to(call, self._counter), self._counter, asked.call_id)
        price = next(model for model in self.configuration.models.chat if model.name == asked.model)
        return ModelCallCompleted(
            call_id=asked.call_id,
            task_id=asked.task_id,
            purpose=asked.purpose,
            agent=asked.agent,
            model=asked.model,
            text=said.reply.text,
            tool_calls=said.reply.tool_calls,
            finish_reason=FinishReason(said.finish_reason),
            input_tokens=said.prompt_tokens,
            output_tokens=said.completion_tokens,
            usage_source=UsageSource.PROVIDER,
            cost_nanodollars=said.prompt_tokens * price.input_nanodollars
            + said.completion_tokens * price.output_nanodollars,
            attempts=1,
            latency_ms=1,
        )

    def _message(self, message: PromptMessage) -> ChatMessage:
        text, source = message.text or "", message.source
        body = None if source is None else self._inputs[source.event_id]
        if isinstance(body, ModelCallCompleted):
            said = both_ends(body.text, message.characters_max)
            return ChatMessage(role=message.role, text=text + said, tool_calls=body.tool_calls)
        if isinstance(body, MessageReceived):
            text += both_ends(body.text, message.characters_max)
        elif isinstance(body, ToolCallCompleted):
            text += body.result_json
        elif isinstance(body, ToolCallFailed):
            text += body.message
        return ChatMessage(role=message.role, text=text, tool_call_id=message.tool_call_id)

    async def _act(self, wanted: ToolCallRequested) -> ToolCallCompleted | ToolCallFailed:
        tool = self._tools.get(wanted.tool)
        given = context(*self._attachments, tokens_max=wanted.reserved_tokens)
        try:
            done = (
                ToolResult(result=_ran())
                if tool is None
                else await tool.run(json.loads(wanted.arguments_json), given)
            )
        except ToolError as error:
            return replace(tool_failed(wanted, error.kind), message=str(error))
        text = json.dumps(done.result)
        return replace(
            tool_completed(wanted),
            result_json=text,
            result_tokens=count_tokens(text, "o200k_base"),
            used_tokens=done.used_tokens,
            cost_nanodollars=0,
            retrieval=done.retrieval,
        )


def _ran() -> dict[str, object]:
    """Return what a small computation in the sandbox gives."""
    said = {"status": "completed", "stdout": "395\n", "stderr": "", "value": 395, "value_kind": "json"}
    return {**said, "return_value": "0", "error": None, "exit_code": 0, "limit_hit": None, "artefacts": []}


def simulated_code() -> ToolSpec:
    """Describe the sandbox's tool as it describes itself."""
    return ToolSpec(
        name="execute_python",
        version="2.0.0",
        description="Execute Python code in a secure sandbox: no network, only its own files.",
        category="computation",
        safety_level="caution",
        complexity_score=5,
        resource_intensity="heavy",
        parameters_json=json.dumps(CODE_PARAMETERS),
        result_schema_json=json.dumps(CODE_RESULT),
        idempotent=True,
        tokens_max=0,
        tokens_min=0,
        nanodollars_per_token=0,
        timeout_ms=30_000,
        result_tokens_usual=150,
    )


def _passages() -> list[FoundPassage]:
    """Return passages of the documents, as an ingest makes them."""

    def count(text: str) -> int:
        return count_tokens(text, "cl100k_base")

    found = []
    for name in ("budgets.md", "retention.md", "ingest.md", "sandbox.md"):
        passages = split((DOCS / name).read_text(encoding="utf-8"), count)[:3]
        found += [
            FoundPassage(document=name, ordinal=number, text=one.text, tokens=count(one.text), cosine=0.5)
            for number, one in enumerate(passages, start=1)
        ]
    return found


def shipped_tools(local: Local) -> list[Tool]:
    """Return the tools that act in this process."""
    index = FixedIndex(*_passages())
    return [
        SearchDocuments(index, local.embeddings),
        AnalyzeDocument(local.model, CHAT_MODEL, index),
        GenerateEmbeddings(local.embeddings),
    ]


async def test_the_estimates_of_tasks_are_off_by_at_most_half_in_the_median(local: Local) -> None:
    tools = shipped_tools(local)
    found: list[Off] = []
    for text, attached in REQUESTS:
        session = Session(tools, [simulated_code()])
        if attached is not None:
            session.attach(attached)
        await session.say(text)
        found += offs(session.events)

    median = statistics.median(one.error for one in found)
    sys.stdout.write(f"\n{told(found)}\n")
    assert len(found) >= 15
    assert median <= MEDIAN_ERROR_MAX, told(found)
