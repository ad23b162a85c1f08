"""Token counts: exact, as OpenAI documents them, and without a network."""

from pathlib import Path

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tokens import (
    EXACT_CHARACTERS_MAX,
    TokenCounter,
    VocabularyMissing,
    count_tokens,
    count_tokens_in_pieces,
    prepare_vocabularies,
)
from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatMessage, ToolOffered

COUNTER = TokenCounter({"house-model": "cl100k_base"})


def test_a_prompt_counts_as_in_openais_published_example() -> None:
    # The example of "How to count tokens with tiktoken" without its `name` fields, which we never send:
    # 3 for each message, its role and its content, and 3 to prime the answer.
    messages = [
        ChatMessage(role="system", text="You are a helpful assistant."),
        ChatMessage(role="user", text="hello world"),
    ]

    assert COUNTER.count_prompt(messages, (), "gpt-4o") == (3 + 1 + 6) + (3 + 1 + 2) + 3


def test_the_encoding_is_the_configured_one_then_tiktokens_then_the_newest() -> None:
    assert COUNTER.encoding("house-model") == "cl100k_base"
    assert COUNTER.encoding("gpt-3.5-turbo") == "cl100k_base"
    assert COUNTER.encoding("gpt-4o-2024-08-06") == "o200k_base"
    assert COUNTER.encoding("nobody-knows") == "o200k_base"


@given(text=st.text(max_size=200))
def test_a_text_counts_as_tiktoken_encodes_it(text: str) -> None:
    for model in ("gpt-4o", "gpt-3.5-turbo"):
        assert COUNTER.count(text, model) == len(
            tiktoken.get_encoding(COUNTER.encoding(model)).encode_ordinary(text)
        )


@given(text=st.text(max_size=200), tokens_max=st.integers(0, 50))
def test_a_cut_text_is_a_beginning_of_at_most_so_many_tokens(text: str, tokens_max: int) -> None:
    cut, tokens = COUNTER.truncate(text, tokens_max, "gpt-4o")

    assert text.startswith(cut)
    assert tokens <= tokens_max
    assert tokens == tokens_max or cut == text


def test_markers_of_the_vocabulary_in_a_text_are_plain_text() -> None:
    assert COUNTER.count("<|endoftext|><|endofprompt|>", "gpt-4o") > 2


def test_tools_count_the_same_however_their_parameters_are_spaced() -> None:
    spaced = ToolOffered(name="t", description="d", parameters_json='{ "type" :  "object" }')
    dense = ToolOffered(name="t", description="d", parameters_json='{"type":"object"}')

    assert COUNTER.count_prompt([], [spaced], "gpt-4o") == COUNTER.count_prompt([], [dense], "gpt-4o")


def test_each_tool_call_of_a_message_adds_to_the_prompt() -> None:
    call = ToolCallProposed(tool_call_id="1", name="search", arguments_json='{"query": "x"}')
    without = ChatMessage(role="assistant", text="")
    with_call = ChatMessage(role="assistant", text="", tool_calls=(call, call))

    added = COUNTER.count_prompt([with_call], (), "gpt-4o") - COUNTER.count_prompt([without], (), "gpt-4o")

    assert added == 2 * COUNTER.count_answer("", [call], "gpt-4o")


def test_a_long_text_is_counted_like_a_short_one() -> None:
    assert COUNTER.count("hello " * 10_000, "gpt-4o") == 10_001


def test_a_directory_without_vocabularies_is_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    with pytest.raises(VocabularyMissing, match="o200k_base, cl100k_base"):
        prepare_vocabularies(tmp_path)


@pytest.mark.parametrize("word", ["a", " ", "\n", "!", "The quick brown fox. ", "\u0628", "1"])
def test_a_long_text_counts_nearly_as_much_in_pieces(word: str) -> None:
    text = (word * EXACT_CHARACTERS_MAX)[: 2 * EXACT_CHARACTERS_MAX]
    exact = count_tokens(text, "o200k_base")

    assert exact <= count_tokens_in_pieces(text, "o200k_base") <= exact * 1.1
    short = text[:EXACT_CHARACTERS_MAX]
    assert count_tokens_in_pieces(short, "o200k_base") == count_tokens(short, "o200k_base")
