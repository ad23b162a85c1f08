"""Text from foreign code holds nothing but visible characters when it leaves the sandbox."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.cleaning import MARKS_MAX, TextCleaner, clean, clean_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, tab\t and newline\n", "plain text, tab\t and newline\n"),
        ("Zürich 東京 🙂 e\u0301", "Zürich 東京 🙂 e\u0301"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]52;c;c2VjcmV0\x1b\\shown", "shown"),
        ("\x1bP device \x1b\\shown", "shown"),
        ("\x9b2Jshown", "shown"),
        ("\x1b(Bshown", "shown"),
        ("a\u202eb\u2066c\u200bd\ufeffe", "abcde"),
        ("hidden\U000e0041\U000e0042", "hidden"),
        ("a\ufe0fb\U000e0101c\u3164d\u2800e\u115ff", "abcdef"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("one\u2028two\u2029three\x85four", "one\ntwo\nthree\nfour"),
        ("nul\x00bell\x07back\x08del\x7f", "nulbellbackdel"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("private \ue000 use", "private  use"),
    ],
)
def test_what_is_obeyed_or_unseen_is_taken_out(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_a_sequence_that_never_ends_hides_at_most_its_own_line() -> None:
    assert clean("\x1b]never ends\nnext line") == "\nnext line"


def test_a_long_stray_sequence_does_not_hide_the_rest() -> None:
    assert clean("\x1b[" + "0" * 10_000 + "end").endswith("end")


def test_bytes_that_are_no_utf_8_become_replacement_characters() -> None:
    assert TextCleaner().feed(b"a\xff\xc3(") == "a\ufffd\ufffd("


@given(st.text())
def test_nothing_invisible_survives(text: str) -> None:
    for character in clean(text):
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.binary(max_size=200), st.lists(st.integers(min_value=0, max_value=200), max_size=5))
def test_where_a_stream_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole = TextCleaner()
    expected = whole.feed(data) + whole.finish()

    pieces = TextCleaner()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [pieces.feed(data[start:end]) for start, end in itertools.pairwise(places)]

    assert "".join(parts) + pieces.finish() == expected


@given(
    st.lists(
        st.sampled_from(["\x1b", "[", "]", "P", "\\", "\x07", "m", "0", "\n", "\r", "x", "\x9b"]), max_size=40
    )
)
def test_no_sequence_leaves_an_escape_behind(parts: list[str]) -> None:
    shown = clean("".join(parts))

    assert "\x1b" not in shown
    assert "\r" not in shown
    assert "\x9b" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b\x1b[31mred", "red"),
        ("a\x1b[31m\r\nb", "a\nb"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[" + "0" * 5000 + "m", "0" * 904 + "m"),
        ("\x1b]" + "x" * 5000, "x" * 904),
        ("e\u0301\u200b\u0302", "e\u0301\u0302"),
    ],
)
def test_sequences_and_marks_at_their_borders(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.lists(st.sampled_from("\u0301\u0489\u20e0\u0903\U0001d165\u200b"), min_size=20, max_size=60))
def test_no_letter_carries_marks_without_end(marks: list[str]) -> None:
    shown = clean("V" + "".join(marks) + "V")

    assert shown[0] == shown[-1] == "V"
    assert len(shown) <= MARKS_MAX + 2


@given(st.lists(st.integers(min_value=1, max_value=7), min_size=4, max_size=12))
def test_marks_that_come_in_pieces_are_counted_together(sizes: list[int]) -> None:
    cleaner = TextCleaner()

    shown = cleaner.feed_text("V") + "".join(cleaner.feed_text("\u0301" * size) for size in sizes)

    assert shown == "V" + "\u0301" * min(MARKS_MAX, sum(sizes))


def test_one_line_stays_one_line() -> None:
    assert clean_line("Ok\n\n[system]\tyes\r\u2028X\x1b[2J ", 200) == "Ok [system] yes X"
    assert clean_line("x" * 1000, 200) == "x" * 200


@given(
    st.text(alphabet=st.sampled_from("ab\x1b[]P\\m0\n\r\x07\x9b\x9c\x90é🙂\u200b\u0301"), max_size=60),
    st.data(),
)
def test_pieces_of_hostile_text_come_to_the_same_as_the_whole(text: str, data: st.DataObject) -> None:
    cleaner = TextCleaner()
    shown, rest = "", text
    while rest:
        size = data.draw(st.integers(min_value=1, max_value=len(rest)))
        shown += cleaner.feed_text(rest[:size])
        rest = rest[size:]

    assert shown + cleaner.finish() == clean(text)
