"""What requests for vectors say, and how they are split into calls."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tokens import TokenCounter
from schemas.configuration import EmbeddingParameters
from schemas.frozen import replace
from streams.gateway.embeddings import CALL_TEXT_BYTES, CALL_VECTOR_BYTES, TEXTS_MAX, Asked, asked_of
from streams.gateway.models import ModelBook
from streams.gateway.problems import Problem
from tests.processors.world import MODELS
from tests.vocabularies import prepared_vocabularies

BOOK = ModelBook(MODELS, local=False, local_embedding=False)
NAME = MODELS.embedding.name
COUNTER = TokenCounter({NAME: MODELS.embedding.encoding})


@pytest.fixture(scope="module", autouse=True)
def vocabularies() -> None:
    """Tokens are counted by real vocabularies."""
    prepared_vocabularies()


def asked(given: object, **more: object) -> Asked:
    return asked_of({"model": NAME, "input": given, **more}, BOOK)


def texts(of: Asked) -> list[str]:
    return [message.text for fact in of.facts for message in fact.messages]


def refused(given: object, **more: object) -> Problem:
    with pytest.raises(Problem) as told:
        asked(given, **more)
    return told.value


def test_a_text_a_list_and_tokens_ask_for_the_same() -> None:
    tokens = [2323, 1495]
    text = COUNTER.text_of(tokens, NAME)
    assert texts(asked(text)) == texts(asked([text])) == texts(asked(tokens)) == texts(asked([tokens]))
    assert asked(text).facts[0].prompt_tokens == 2
    assert texts(asked(["a", [2323]])) == ["a", COUNTER.text_of([2323], NAME)]


def test_a_form_is_told_and_is_not_part_of_what_is_asked() -> None:
    plain, packed = asked("x"), asked("x", encoding_format="base64")
    assert (plain.base64, packed.base64) == (False, True)
    assert plain.facts == packed.facts


def test_fewer_dimensions_are_passed_on_and_the_usual_ones_are_not() -> None:
    assert json.loads(asked("x", dimensions=256).facts[0].parameters_json) == {"dimensions": 256}
    usual = asked("x", dimensions=MODELS.embedding.dimensions)
    assert usual == asked("x")
    assert asked("x").dimensions == MODELS.embedding.dimensions


def test_many_texts_are_split_so_that_each_call_stays_small() -> None:
    many = [f"text {number}" for number in range(TEXTS_MAX)]
    found = asked(many)
    assert texts(found) == many
    size = MODELS.embedding.dimensions * 4
    assert len(found.facts) > 1
    assert all(len(fact.messages) * size <= CALL_VECTOR_BYTES for fact in found.facts)
    assert len({fact.body_sha256 for fact in found.facts}) == 1
    long = ["word " * 8_000] * 20
    sizes = [sum(len(m.text.encode()) for m in fact.messages) for fact in asked(long).facts]
    assert sum(sizes) == 20 * 40_000
    assert max(sizes) <= CALL_TEXT_BYTES


def test_the_first_call_of_another_request_is_another() -> None:
    many = [f"text {number}" for number in range(200)]
    first, other = asked(many).facts[0], asked([*many[:-1], "other"]).facts[0]
    assert first.messages == other.messages
    assert first.body_sha256 != other.body_sha256


@pytest.mark.parametrize(
    ("given", "more", "param"),
    [
        (None, {}, "input"),
        ("", {}, "input"),
        ([], {}, "input"),
        (["a", ""], {}, "input[1]"),
        ([["a"]], {}, "input[0]"),
        ([[]], {}, "input[0]"),
        ([1.5], {}, "input[0]"),
        ([True], {}, "input[0]"),
        ([10**9], {}, "input"),
        ([-1], {}, "input"),
        (["a"] * (TEXTS_MAX + 1), {}, "input"),
        ("a", {"encoding_format": "int8"}, "encoding_format"),
        ("a", {"dimensions": 0}, "dimensions"),
        ("a", {"dimensions": 1_537}, "dimensions"),
        ("a", {"dimensions": "256"}, "dimensions"),
    ],
)
def test_what_cannot_be_asked_names_its_field(given: object, more: dict[str, object], param: str) -> None:
    problem = refused(given, **more)
    assert (problem.status, problem.param) == (400, param)


def test_a_text_beyond_the_window_is_refused_by_its_place() -> None:
    problem = refused(["short", "word " * 9_000])
    assert (problem.code, problem.param) == ("context_length_exceeded", "input[1]")


def test_a_model_with_one_length_alone_says_so() -> None:
    fixed = replace(MODELS.embedding, parameters=EmbeddingParameters(dimensions_field=""))
    book = ModelBook(replace(MODELS, embedding=fixed), local=False, local_embedding=False)
    assert asked_of({"model": NAME, "input": "x", "dimensions": 1_536}, book).facts
    with pytest.raises(Problem, match="1536 dimensions alone"):
        asked_of({"model": NAME, "input": "x", "dimensions": 256}, book)


def test_names_of_embedding_models_say_who_answers_and_what_to_set() -> None:
    local = ModelBook(MODELS, local=True, local_embedding=True)
    none = ModelBook(
        replace(MODELS, embedding=replace(MODELS.embedding, name="")), local=False, local_embedding=False
    )
    assert local.embedding("local/" + NAME).name == NAME
    assert none.names == tuple(model.name for model in MODELS.chat)
    for book, name, told in (
        (local, NAME, "CARTRITA_EMBEDDING_BASE_URL"),
        (local, "local/gpt-4o", "makes no vectors"),
        (BOOK, "ada", "models.toml"),
        (BOOK, None, "models.toml"),
        (none, NAME, r"\[embedding\] in models.toml"),
    ):
        with pytest.raises(Problem, match=told) as absent:
            book.embedding(name)
        assert (absent.value.status, absent.value.code) == (404, "model_not_found")
    with pytest.raises(Problem, match="/v1/embeddings"):
        BOOK.model(NAME)
    BOOK.describe(NAME)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["input", "model", "dimensions", "encoding_format"]),
)
def test_any_json_is_read_or_told_what_is_wrong(value: object, name: str) -> None:
    with contextlib.suppress(Problem):
        assert asked_of({"model": NAME, "input": "x", name: value}, BOOK).facts
