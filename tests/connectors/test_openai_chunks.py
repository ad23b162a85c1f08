"""Streams of servers that are compatible, nearly compatible, or not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.chunks import read_chunk
from connectors.models.usage import Usage


def test_a_whole_chunk_is_read() -> None:
    call = {"index": 1, "id": "c1", "function": {"name": "look", "arguments": '{"a"'}}
    delta = {"content": "Hel", "tool_calls": [call]}

    chunk = read_chunk(
        {
            "model": "gpt-4o",
            "system_fingerprint": "fp",
            "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            "choices": [{"delta": delta, "finish_reason": None}],
        }
    )

    (piece,) = chunk.pieces
    (part,) = piece.tool_calls
    assert (chunk.model, chunk.fingerprint, chunk.usage) == (
        "gpt-4o",
        "fp",
        Usage(input_tokens=3, output_tokens=2, total_tokens=5),
    )
    assert (piece.text, piece.finish_reason) == ("Hel", "")
    assert (part.index, part.id, part.name, part.arguments) == (1, "c1", "look", '{"a"')


def test_a_call_without_an_index_has_none() -> None:
    calls = [{"id": "a"}, {"id": "b", "index": None}]

    (piece,) = read_chunk({"choices": [{"delta": {"tool_calls": calls}}]}).pieces

    assert [(part.index, part.id) for part in piece.tool_calls] == [(None, "a"), (None, "b")]


@pytest.mark.parametrize(
    "data",
    [{}, None, [], {"choices": None}, {"usage": None}, {"usage": {"prompt_tokens": "3"}}, {"model": 4}],
)
def test_what_is_absent_null_or_of_another_type_counts_as_absent(data: object) -> None:
    chunk = read_chunk(data)

    assert (chunk.model, chunk.fingerprint, chunk.usage, chunk.pieces) == ("", "", None, ())


def test_a_refusal_is_the_answers_text() -> None:
    assert read_chunk({"choices": [{"delta": {"refusal": "no"}}]}).pieces[0].text == "no"


_KEYS = st.sampled_from(["choices", "delta", "content", "tool_calls", "function", "index", "usage", "model"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
def test_no_json_breaks_it(data: object) -> None:
    read_chunk(data)
