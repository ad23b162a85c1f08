"""generate_embeddings and search_documents: the suite of every tool, and what each does on its own."""

import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.local_model.faults import Fault
from connectors.retrieval.index import FoundPassage
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.embeddings import GenerateEmbeddings
from connectors.tools.search import SearchDocuments, rerank
from schemas.ports.tool import Tool, ToolError
from tests.connectors.conftest import Local
from tests.connectors.tool_conformance import ToolConformance
from tests.connectors.twins import CHAT_MODEL, BrokenIndex, FixedIndex, context


def passage(document: str, ordinal: int, text: str, cosine: float | None, tokens: int = 100) -> FoundPassage:
    """A candidate."""
    return FoundPassage(document=document, ordinal=ordinal, text=text, tokens=tokens, cosine=cosine)


FOUND = (
    passage("a.md", 1, "Budgets are reserved before each call.", 0.9),
    passage("b.md", 2, "Kafka keeps records in topics.", 0.2),
    passage("c.md", 3, "A budget is reserved, charged and released.", 0.5),
)


class TestGenerateEmbeddings(ToolConformance):
    """The suite."""

    @pytest.fixture
    def tool(self, local: Local) -> Tool:
        """The tool under test."""
        return GenerateEmbeddings(local.embeddings)

    @pytest.fixture
    def example(self) -> dict[str, object]:
        """Arguments that fit."""
        return {"texts": ["one budget", "two budgets"], "output": "vectors"}


class TestSearchDocuments(ToolConformance):
    """The suite."""

    @pytest.fixture
    def tool(self, local: Local) -> Tool:
        """The tool under test."""
        return SearchDocuments(FixedIndex(*FOUND), local.embeddings)

    @pytest.fixture
    def example(self) -> dict[str, object]:
        """Arguments that fit."""
        return {"query": "How are budgets reserved?", "k": 2}


async def test_embeddings_have_the_configured_dimensions_and_are_charged(local: Local) -> None:
    result = await GenerateEmbeddings(local.embeddings).run({"texts": ["one budget", "two"]}, context())

    vectors = result.result["embeddings"]
    assert isinstance(vectors, list)
    assert [len(vector) for vector in vectors] == [1_536, 1_536]
    assert result.used_tokens == 3
    assert result.cost_nanodollars == 3 * 130


def test_the_model_of_embeddings_may_be_named_and_no_other(local: Local) -> None:
    tool = GenerateEmbeddings(local.embeddings)
    parameters = json.loads(tool.spec.parameters_json)
    name = local.embeddings.model.name

    jsonschema.validate({"texts": ["a"], "model": name}, parameters)
    with pytest.raises(jsonschema.ValidationError, match=f"'another' is not one of .'{name}'"):
        jsonschema.validate({"texts": ["a"], "model": "another"}, parameters)


async def test_similarities_tell_alike_texts_from_others(local: Local) -> None:
    texts = ["budgets are reserved", "a reserved budget", "Kafka topics"]

    result = await GenerateEmbeddings(local.embeddings).run(
        {"texts": texts, "output": "similarities"}, context()
    )

    matrix = result.result["similarities"]
    assert isinstance(matrix, list)
    assert matrix[0][0] == pytest.approx(1, abs=1e-5)
    assert matrix[0][1] == matrix[1][0] > 0.5 > matrix[0][2]


async def test_what_the_reservation_does_not_cover_is_not_embedded(local: Local) -> None:
    for small in (context(tokens_max=1), context(nanodollars_max=129)):
        with pytest.raises(ToolError) as caught:
            await GenerateEmbeddings(local.embeddings).run({"texts": ["one two three"]}, small)
        assert (caught.value.kind, caught.value.maybe_billed) == ("execution_error", False)

    assert local.server.ledger.entries() == ()


@pytest.mark.parametrize(("kind", "billed"), [("garbage", True), ("unauthorized", False)])
async def test_a_failed_embedding_model_fails_the_tool(local: Local, kind: str, billed: bool) -> None:
    local.script(Fault(kind=kind, times=-1))

    with pytest.raises(ToolError) as caught:
        await GenerateEmbeddings(local.embeddings).run({"texts": ["one"]}, context())

    assert (caught.value.kind, caught.value.maybe_billed) == ("execution_error", billed)


async def test_a_search_ranks_by_meaning_and_words_and_tells_how_it_went(local: Local) -> None:
    index = FixedIndex(*FOUND)
    ticks = iter([10.0, 10.25, 10.75])
    tool = SearchDocuments(index, local.embeddings, clock=lambda: next(ticks))

    result = await tool.run({"query": "How are budgets reserved?", "k": 2}, context(tenant_id="mine"))

    passages = result.result["passages"]
    assert isinstance(passages, list)
    assert [entry["citation"] for entry in passages] == ["a.md#1", "c.md#3"]
    assert result.result["left_out"] == 1
    retrieval = result.retrieval
    assert retrieval is not None
    assert (retrieval.k_initial, retrieval.k_rerank) == (24, 2)
    assert (retrieval.retrieval_latency_ms, retrieval.rerank_latency_ms) == (250, 500)
    assert (retrieval.context_tokens_before, retrieval.context_tokens_after) == (300, 200)
    assert len(retrieval.query_embedding) == 1_536
    assert [(found.document, found.used) for found in retrieval.documents] == [
        ("a.md#1", True),
        ("c.md#3", True),
        ("b.md#2", False),
    ]
    assert (index.tenants, index.counts) == (["mine"], [24])


@pytest.mark.parametrize("kind", ["not_found", "unsupported"])
async def test_tools_tell_a_server_without_embeddings_from_one_that_fails(local: Local, kind: str) -> None:
    local.script(Fault(kind=kind, times=-1))

    result = await SearchDocuments(FixedIndex(*FOUND), local.embeddings).run({"query": "budgets"}, context())
    with pytest.raises(ToolError) as caught:
        await GenerateEmbeddings(local.embeddings).run({"texts": ["one"]}, context())

    assert "by words alone" in str(result.result["hint"])
    assert (caught.value.kind, caught.value.retryable, caught.value.maybe_billed) == (
        "execution_error",
        False,
        False,
    )
    assert "HTTP" in str(caught.value)
    # Neither was asked twice.
    assert local.waits.seconds == []


def test_a_passage_without_a_vector_may_equal_the_nearest_and_never_leaves_it_behind() -> None:
    words = passage("w.md", 1, "A budget is reserved.", None)
    ranked = rerank("budget reserved", [*FOUND, words])
    alone = rerank("budget reserved", [words, passage("v.md", 1, "A budget.", None)])

    by_name = {entry.passage.document: entry.score for entry in ranked}
    assert by_name["w.md"] == max(by_name.values())
    assert by_name["w.md"] == pytest.approx(0.7 * 0.9 + 0.3)
    assert by_name["w.md"] > by_name["b.md"]
    assert alone[0].score == 1.0
    assert 0 < alone[1].score < 1


async def test_what_was_found_by_other_forms_of_its_words_is_in_the_result(local: Local) -> None:
    local.script(Fault(kind="not_found", times=-1))
    found = passage("w.md", 1, "Nothing that is counted here.", None)

    result = await SearchDocuments(FixedIndex(found), local.embeddings).run({"query": "budgets"}, context())

    assert result.result["passages"] == [{"citation": "w.md#1", "score": 0.0, "text": found.text}]


async def test_a_result_keeps_to_its_tokens_but_has_the_best_passage_always(local: Local) -> None:
    tool = SearchDocuments(FixedIndex(*FOUND), local.embeddings, result_tokens_max=50)

    result = await tool.run({"query": "budgets reserved"}, context())

    passages = result.result["passages"]
    assert isinstance(passages, list)
    assert [entry["citation"] for entry in passages] == ["a.md#1"]


async def test_a_search_without_documents_finds_nothing_and_says_so(local: Local) -> None:
    result = await SearchDocuments(FixedIndex(), local.embeddings).run({"query": "budgets"}, context())

    assert result.result["passages"] == []
    assert "ingested" in str(result.result["hint"])


async def test_a_long_query_is_embedded_as_far_as_the_reservation_goes(local: Local) -> None:
    query = "budget " * 200

    result = await SearchDocuments(FixedIndex(*FOUND), local.embeddings).run(
        {"query": query}, context(tokens_max=40)
    )

    assert 0 < result.used_tokens <= 40


async def test_a_database_that_is_away_fails_the_call_with_what_it_has_cost(local: Local) -> None:
    with pytest.raises(ToolError) as caught:
        await SearchDocuments(BrokenIndex(), local.embeddings).run({"query": "budgets"}, context())
    with pytest.raises(ToolError) as read:
        await AnalyzeDocument(local.model, CHAT_MODEL, BrokenIndex()).run(
            {"document": "a.md", "analysis_type": "summary"}, context()
        )

    assert (caught.value.kind, caught.value.retryable) == ("execution_error", True)
    assert caught.value.used_tokens > 0
    assert (read.value.kind, read.value.retryable) == ("execution_error", True)


@given(
    cosines=st.lists(st.floats(-1, 1), max_size=12),
    query=st.text(max_size=40),
)
def test_scores_are_between_nothing_and_one_and_sorted(cosines: list[float], query: str) -> None:
    candidates = [passage("d.md", place + 1, f"budget {place}", value) for place, value in enumerate(cosines)]

    scores = [entry.score for entry in rerank(query, candidates)]

    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
