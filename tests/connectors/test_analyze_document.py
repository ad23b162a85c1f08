"""analyze_document: the suite of every tool, its budget, and its confidence."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_model.faults import Fault
from connectors.models.tokens import TokenCounter
from connectors.tools.confidence import Confidence, measure
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.registry import ToolRegistry
from connectors.tools.selection import select
from schemas.events.inputs import Attachment
from schemas.ports.tool import Tool, ToolContext, ToolError, ToolResult
from tests.connectors.conftest import PROJECT_DIRECTORY, Local
from tests.connectors.tool_conformance import ToolConformance
from tests.connectors.twins import CHAT_MODEL, FixedIndex, SayingModel, SilentModel, context

DECLARATION = (PROJECT_DIRECTORY / "docs" / "texts" / "declaration-of-independence.txt").read_text("utf-8")
ATTACHED = Attachment(name="declaration.txt", text=DECLARATION)
COUNTER = TokenCounter()


class TestAnalyzeDocument(ToolConformance):
    """The suite."""

    @pytest.fixture
    def tool(self, local: Local) -> Tool:
        """The tool under test."""
        return AnalyzeDocument(local.model, CHAT_MODEL)

    @pytest.fixture
    def tool_context(self) -> ToolContext:
        """One with an attachment."""
        return context(ATTACHED)

    @pytest.fixture
    def example(self) -> dict[str, object]:
        """Arguments that fit."""
        return {"document": "attachment:declaration.txt", "analysis_type": "sentiment", "max_length": 100}


async def analysed(tool: AnalyzeDocument, kind: str, given: ToolContext, **arguments: object) -> ToolResult:
    """Analyse by way of the registry."""
    named = {"document": "attachment:declaration.txt"} if "content" not in arguments else {}
    wanted = json.dumps({**named, "analysis_type": kind, **arguments})
    return await ToolRegistry([tool]).invoke("analyze_document", wanted, given, 10_000)


async def test_the_declaration_is_analysed_as_its_text_bears_out(local: Local) -> None:
    tool = AnalyzeDocument(local.model, CHAT_MODEL)

    facts = await analysed(tool, "extract_facts", context(ATTACHED))
    sentiment = await analysed(tool, "sentiment", context(ATTACHED))
    topics = await analysed(tool, "topics", context(ATTACHED))
    summary = await analysed(tool, "summary", context(ATTACHED), max_length=120)

    assert "July 4, 1776" in str(facts.result["analysis"])
    assert "Sentiment: mixed" in str(sentiment.result["analysis"])
    assert "rights" in str(topics.result["analysis"])
    assert len(str(summary.result["analysis"]).split()) <= 121
    confidences = [result.result["confidence"] for result in (facts, sentiment, topics, summary)]
    assert all(isinstance(value, float) and 0 < value < 1 for value in confidences)
    assert len(set(confidences)) > 1


@pytest.mark.parametrize("kind", ["summary", "extract_facts", "sentiment", "topics"])
@pytest.mark.parametrize(("tokens_max", "nanodollars_max"), [(700, 10**9), (6_000, 250_000)])
async def test_a_text_too_long_for_the_reservation_is_analysed_in_part_and_says_so(
    local: Local, kind: str, tokens_max: int, nanodollars_max: int
) -> None:
    tool = AnalyzeDocument(local.model, CHAT_MODEL)
    small = context(ATTACHED, tokens_max=tokens_max, nanodollars_max=nanodollars_max)

    part = await analysed(tool, kind, small, max_length=100)
    whole = await analysed(tool, kind, context(ATTACHED), max_length=100)

    metadata = part.result["metadata"]
    assert isinstance(metadata, dict)
    assert 0 < metadata["tokens_analysed"] < metadata["tokens_total"]
    assert metadata["coverage"] < 1
    assert metadata["passages_analysed"] < metadata["passages_total"]
    assert part.used_tokens <= tokens_max
    assert part.cost_nanodollars <= nanodollars_max
    assert float(str(part.result["confidence"])) < float(str(whole.result["confidence"]))


async def test_a_reservation_too_small_for_anything_is_refused_unbilled(local: Local) -> None:
    tool = AnalyzeDocument(local.model, CHAT_MODEL)

    for small in (context(ATTACHED, tokens_max=150), context(ATTACHED, nanodollars_max=10_000)):
        with pytest.raises(ToolError) as caught:
            await analysed(tool, "summary", small)
        assert caught.value.kind == "execution_error"
        assert "too little" in str(caught.value)
    assert local.server.ledger.entries() == ()


async def test_the_smallest_reservation_that_the_spec_names_is_enough(local: Local) -> None:
    tool = AnalyzeDocument(local.model, CHAT_MODEL)
    tokens = tool.spec.tokens_min
    smallest = context(ATTACHED, tokens_max=tokens, nanodollars_max=tokens * tool.spec.nanodollars_per_token)

    for kind in ("summary", "extract_facts", "sentiment", "topics"):
        result = await analysed(tool, kind, smallest)
        assert result.used_tokens <= tokens


async def test_a_document_that_does_not_exist_is_named_with_those_that_do() -> None:
    tool = AnalyzeDocument(SayingModel("x"), CHAT_MODEL, FixedIndex(documents={"docs/a.md": "text"}))

    for name, told in (("attachment:nope.txt", "attachment:declaration.txt"), ("docs/b.md", "docs/b.md")):
        with pytest.raises(ToolError) as caught:
            await tool.run({"document": name, "analysis_type": "summary"}, context(ATTACHED))
        assert caught.value.kind == "execution_error"
        assert told in str(caught.value)


async def test_an_ingested_document_of_the_tenant_is_analysed() -> None:
    index = FixedIndex(documents={"docs/a.md": "Budgets bound the cost of sessions."})
    model = SayingModel("Budgets bound cost.")
    tool = AnalyzeDocument(model, CHAT_MODEL, index)

    result = await tool.run({"document": "docs/a.md", "analysis_type": "summary"}, context())

    assert index.tenants == ["tenant"]
    assert model.requests[0].messages[1].text == "Budgets bound the cost of sessions."
    assert result.result["analysis"] == "Budgets bound cost."


async def test_exactly_one_of_content_and_document_must_be_given() -> None:
    registry = ToolRegistry([AnalyzeDocument(SayingModel("x"), CHAT_MODEL)])

    for arguments in ({}, {"content": "a", "document": "b"}):
        with pytest.raises(ToolError) as caught:
            await registry.invoke(
                "analyze_document", json.dumps({"analysis_type": "summary", **arguments}), context(), 1_000
            )
        assert caught.value.kind == "validation_error"


async def test_hidden_characters_of_a_text_do_not_reach_the_model() -> None:
    model = SayingModel("x")
    hidden = "plain\u202e\u200b\U000e0041 text"

    await AnalyzeDocument(model, CHAT_MODEL).run({"content": hidden, "analysis_type": "summary"}, context())

    assert model.requests[0].messages[1].text == "plain text"


async def test_an_empty_analysis_is_a_failure_that_is_charged() -> None:
    tool = AnalyzeDocument(SayingModel("  ", finish_reason="content_filter"), CHAT_MODEL)

    with pytest.raises(ToolError) as caught:
        await tool.run({"content": "some text", "analysis_type": "summary"}, context())

    assert caught.value.kind == "execution_error"
    assert caught.value.used_tokens > 0
    assert caught.value.cost_nanodollars > 0


async def test_the_text_of_an_analysis_is_handed_on_while_it_comes(local: Local) -> None:
    pieces: list[str] = []

    async def keep(channel: str, text: str) -> None:
        assert channel == "progress"
        pieces.append(text)

    tool = AnalyzeDocument(local.model, CHAT_MODEL)
    result = await analysed(tool, "summary", context(ATTACHED, on_output=keep))

    assert len(pieces) > 1
    assert "".join(pieces) == result.result["analysis"]


async def test_cancelling_an_analysis_lets_go_of_the_model() -> None:
    model = SilentModel()
    registry = ToolRegistry([AnalyzeDocument(model, CHAT_MODEL)])
    task = asyncio.ensure_future(
        registry.invoke(
            "analyze_document", '{"content": "some text", "analysis_type": "summary"}', context(), 60_000
        )
    )
    await asyncio.wait_for(model.asked.wait(), 5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.let_go


@pytest.mark.parametrize(
    ("kind", "expected"), [("hang", "timeout"), ("disconnect_mid_stream", "execution_error")]
)
async def test_a_model_that_fails_in_the_middle_may_be_billed(local: Local, kind: str, expected: str) -> None:
    local.script(Fault(kind=kind, times=-1))
    registry = ToolRegistry([AnalyzeDocument(local.model, CHAT_MODEL)])

    with pytest.raises(ToolError) as caught:
        await registry.invoke(
            "analyze_document", '{"content": "some text", "analysis_type": "summary"}', context(), 300
        )

    assert (caught.value.kind, caught.value.maybe_billed) == (expected, True)


TEXT = "Budgets bound the cost of 12 sessions. The good ledger keeps 7 honest records. " * 5


def confidence(
    analysis: str, content: str = TEXT, kind: str = "summary", analysed_tokens: int = 100
) -> Confidence:
    """A measured confidence."""
    return measure(
        analysis,
        content,
        analysis_type=kind,
        tokens_analysed=analysed_tokens,
        tokens_total=100,
        cut_off=False,
    )


def test_an_invented_analysis_is_trusted_less_than_a_supported_one() -> None:
    supported = confidence("Budgets bound the cost of 12 sessions; the ledger keeps records.")
    invented = confidence("Elephants migrate through 99 valleys, says the zoo.")
    wrong_number = confidence("Budgets bound the cost of 13 sessions; the ledger keeps records.")

    assert supported.support == 1
    assert supported.value > wrong_number.value > invented.value


def test_a_sentiment_against_the_words_of_the_text_is_trusted_less() -> None:
    assert confidence("The sentiment is positive.", kind="sentiment").agreement == 1
    assert confidence("The sentiment is negative.", kind="sentiment").agreement == 0


def test_little_text_and_partial_reading_lower_confidence() -> None:
    whole = confidence("Budgets bound the cost")
    part = confidence("Budgets bound the cost", analysed_tokens=10)
    little = confidence("Budgets bound", content="Budgets bound")

    assert part.value < whole.value
    assert little.evidence < whole.evidence


@given(
    analysis=st.text(max_size=200),
    content=st.text(max_size=400),
    kind=st.sampled_from(["summary", "extract_facts", "sentiment", "topics"]),
    tokens=st.integers(0, 100),
    cut_off=st.booleans(),
)
def test_confidence_is_between_nothing_and_one(
    analysis: str, content: str, kind: str, tokens: int, cut_off: bool
) -> None:
    measured = measure(
        analysis, content, analysis_type=kind, tokens_analysed=tokens, tokens_total=100, cut_off=cut_off
    )

    assert 0 <= measured.value <= 1


@given(
    content=st.text(min_size=1, max_size=3_000) | st.just(DECLARATION),
    kind=st.sampled_from(["summary", "extract_facts"]),
    tokens_max=st.integers(64, 1_000),
)
def test_a_selection_never_has_more_tokens_than_allowed(content: str, kind: str, tokens_max: int) -> None:
    def count(text: str) -> int:
        return COUNTER.count(text, "gpt-4o")

    selection = select(content, kind, tokens_max, count)

    assert count(selection.text) <= tokens_max
    assert selection.tokens_analysed <= selection.tokens_total == count(content)


def test_the_declaration_ships_whole_with_its_source() -> None:
    assert DECLARATION.startswith("The Declaration of Independence")
    assert "public domain" in DECLARATION.splitlines()[0]
    assert "our Lives, our Fortunes and our sacred Honor." in DECLARATION
    lines = DECLARATION.splitlines()
    assert sum(line.startswith("He has ") for line in lines) == 17
    assert sum(line.startswith("For ") for line in lines) == 9
