"""Splitting of texts into passages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tokens import count_tokens
from connectors.retrieval.passages import TOKENS_MAX, cleaned, split
from tests.connectors.conftest import PROJECT_DIRECTORY

DECLARATION = (PROJECT_DIRECTORY / "docs" / "texts" / "declaration-of-independence.txt").read_text("utf-8")


def count(text: str) -> int:
    """Count tokens."""
    return count_tokens(text, "cl100k_base")


def test_passages_end_at_headings_and_begin_with_those_above_them() -> None:
    text = "# Guide\n\nIntro.\n\n## Budgets\n\nBudgets bound cost.\n\n## Topics\n\nTopics keep records.\n"

    assert [passage.text for passage in split(text, count)] == [
        "Guide\n\nIntro.",
        "Guide › Budgets\n\nBudgets bound cost.",
        "Guide › Topics\n\nTopics keep records.",
    ]


def test_code_in_fences_has_no_headings() -> None:
    [passage] = split("# Guide\n\n```\n# a comment\n\nx = 1\n```\n", count)

    assert "# a comment\n\nx = 1" in passage.text


def test_a_long_text_becomes_passages_of_about_three_hundred_tokens() -> None:
    passages = split(DECLARATION, count)

    assert [passage.ordinal for passage in passages] == list(range(1, len(passages) + 1))
    assert 6 <= len(passages) <= 9
    assert all(passage.tokens <= 300 for passage in passages)
    assert all(passage.tokens == count(passage.text) for passage in passages)


def test_no_word_gets_lost() -> None:
    assert " ".join(passage.text for passage in split(DECLARATION, count)).split() == DECLARATION.split()


def test_headings_without_text_are_text_of_the_heading_above() -> None:
    text = "# Release 9\n## Added walrus mode\n## Removed zebra mode\n# Release 8\n"

    assert [passage.text for passage in split(text, count)] == [
        "Release 9\n\nAdded walrus mode\n\nRemoved zebra mode",
        "Release 8",
    ]


def test_a_heading_whose_only_text_is_below_a_deeper_one_is_kept() -> None:
    text = "# One\n\n### Three\n\ntext\n\n## Two\n"

    assert [passage.text for passage in split(text, count)] == ["One › Three\n\ntext", "One\n\nTwo"]


@pytest.mark.parametrize(
    "line",
    [
        "\t# a comment in code",
        "    # a comment in code",
        "#hashtag",
        "#!/bin/sh",
        "####### seven",
        "# " + "long " * 60 + "heading",
        "## About C#",
        "## Sharp in F# ##",
    ],
)
def test_every_word_of_a_line_that_looks_like_a_heading_is_kept(line: str) -> None:
    whole = "\n".join(passage.text for passage in split(f"before\n\n{line}\n{line}\n\nafter\n", count))

    assert {word for word in line.split() if word.strip("#")} <= set(whole.split())


def test_what_is_no_markdown_has_no_headings() -> None:
    text = (
        "# The primary database is alpaca.\n# The cache is camel.\n10.0.0.1 alpaca\n# Never restart dingo.\n"
    )

    [passage] = split(text, count, is_markdown=False)

    assert passage.text == text.strip()


def test_a_fence_ends_with_as_many_marks_and_a_line_of_code_in_them_opens_none() -> None:
    text = "````\n```\n# comment\n````\n\n# Real\n\n```code``` inline\n\n# Second\n\nend\n"

    assert [passage.text for passage in split(text, count)] == [
        "````\n```\n# comment\n````",
        "Real\n\n```code``` inline",
        "Second\n\nend",
    ]


def test_headings_that_are_long_together_stay_in_the_passage_as_text() -> None:
    headings = [" ".join(f"{name}{number}" for number in range(25)) for name in ("alpha", "beta", "gamma")]
    text = "\n".join(f"{'#' * level} {heading}" for level, heading in enumerate(headings, start=1))

    passages = split(f"{text}\n\nbody\n", count)

    assert {*" ".join(headings).split(), "body"} <= set(" ".join(one.text for one in passages).split())
    assert all(passage.tokens <= TOKENS_MAX for passage in passages)


WORDS = st.sampled_from(["apple", "C#", "x_1", "naïve", "日本", "\u0645\u0627", "10.0.0.1"])
LINES = st.tuples(
    st.sampled_from(["", "# ", "## ", "### ", "###### ", "    ", "\t", "> ", "- ", "#", "```\n", "~~~~\n"]),
    st.lists(WORDS, max_size=6).map(" ".join),
    st.sampled_from(["", " #", " ##", "  "]),
).map("".join)


@given(
    lines=st.lists(LINES, max_size=30), end=st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\x0c", "\u2028"])
)
def test_every_word_is_in_some_passage(lines: list[str], end: str) -> None:
    text = end.join(lines)
    wanted = {word for word in text.split() if word.strip("#`~>-")}

    for is_markdown in (True, False):
        passages = split(text, count, is_markdown=is_markdown)
        found = set(" ".join(passage.text for passage in passages).split())

        assert {word.lstrip("#") or word for word in wanted} <= {word.lstrip("#") or word for word in found}


@given(text=st.text("ab \n#`.\t", max_size=2_000))
def test_what_is_no_markdown_is_cut_and_never_changed(text: str) -> None:
    passages = split(text, count, is_markdown=False)

    assert " ".join(passage.text for passage in passages).split() == text.split()


@pytest.mark.parametrize("text", ["", "  \n\n ", "\u200b\x00\n"])
def test_a_text_without_content_has_no_passages(text: str) -> None:
    assert split(text, count) == []


@given(text=st.text(max_size=3_000) | st.text("ab \n#`.", max_size=3_000) | st.just("x" * 20_000))
def test_every_text_splits_into_bounded_passages(text: str) -> None:
    passages = split(text, count)

    assert all(0 < passage.tokens <= TOKENS_MAX for passage in passages)
    assert all(passage.text.strip() and "\x00" not in passage.text for passage in passages)


def test_hidden_characters_are_taken_out_and_line_ends_made_one() -> None:
    assert cleaned("a\u202eb\u200bc\x00d\r\ne\tf") == "abcd\ne\tf"
    assert cleaned("page\x0cpage\x0bline\x85line\u2028line\rline") == "page\npage\nline\nline\nline\nline"


@pytest.mark.parametrize(
    "text",
    [
        "\U0001f469\u200d\U0001f680 \u2764\ufe0f \U0001f3f3\ufe0f\u200d\U0001f308",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937",
    ],
)
def test_joiners_that_scripts_and_emoji_need_stay(text: str) -> None:
    assert cleaned(text) == text


@pytest.mark.parametrize(
    "text", ["a\u200db", "a \u200c b", "\u0645\u200d\u200c\u200d\u0645", "\u200d\u0645", "\u0645\u200c"]
)
def test_joiners_that_join_nothing_are_taken_out(text: str) -> None:
    assert cleaned(text) == text.replace("\u200d", "").replace("\u200c", "")
