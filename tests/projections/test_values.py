"""Values are brought to what Postgres can hold, visibly."""

import json
import math
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from processors.projections.values import (
    as_uuid,
    cut,
    cut_unique,
    decimal,
    json_of,
    json_text,
    moment,
    vector,
)
from schemas.ids import is_uuid


def test_nul_is_shown_wherever_it_stands() -> None:
    assert cut("a\x00b", 10) == "a␀b"
    assert json.loads(json_of({"a\x00": ["\x00", {"b": "c\x00"}]})) == {"a␀": ["␀", {"b": "c␀"}]}


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    assert json.loads(json_text('{"a": "\\\\u0000"}')) == {"a": "\\u0000"}
    assert json.loads(json_text('{"a": "\\u0000"}')) == {"a": "␀"}


def test_json_that_cannot_be_read_is_kept_as_text() -> None:
    assert json.loads(json_text("{oops")) == {"unparsed": "{oops"}
    assert json.loads(json_text("[" * 5_000)) == {"unparsed": "[" * 5_000}
    assert json.loads(json_text("[" * 300 + "]" * 300)) == {"unparsed": "[" * 300 + "]" * 300}


def test_numbers_that_json_has_no_word_for_are_null() -> None:
    assert json_of([math.nan, math.inf]) == "[null,null]"


@given(st.text(), st.integers(min_value=10, max_value=60))
def test_cut_text_fits_and_ends_visibly(text: str, characters_max: int) -> None:
    short = cut(text, characters_max)

    assert len(short) <= characters_max
    assert (short == text.replace("\x00", "␀")) or short.endswith("…")


@given(st.text(min_size=30), st.text(min_size=30))
def test_texts_that_are_cut_to_be_keys_stay_different(one: str, other: str) -> None:
    assert (cut_unique(one, 20) == cut_unique(other, 20)) == (
        one.replace("\x00", "␀") == other.replace("\x00", "␀")
    )


@given(st.text(min_size=1))
def test_any_text_gives_an_id_and_the_same_text_the_same(text: str) -> None:
    first = as_uuid(text)

    assert first is not None
    assert is_uuid(first)
    assert as_uuid(first) == first
    assert as_uuid(text) == first


def test_no_text_gives_no_id() -> None:
    assert as_uuid("") is None
    assert as_uuid(None) is None


@given(st.floats())
def test_decimals_stay_within_their_bounds(number: float) -> None:
    fitted = decimal(number, 0.0, 9.99)

    assert (fitted is None) == math.isnan(number)
    assert fitted is None or 0.0 <= fitted <= 9.99


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_in_milliseconds_is_a_time(milliseconds: int) -> None:
    assert datetime.fromisoformat(moment(milliseconds)).tzinfo == UTC


def test_a_time_keeps_its_milliseconds() -> None:
    assert moment(0) == "1970-01-01T00:00:00.000+00:00"
    assert moment(1_767_225_600_042) == "2026-01-01T00:00:00.042+00:00"
    assert moment(-1) == "1969-12-31T23:59:59.999+00:00"
    assert moment(2**63) == "9999-12-31T23:59:59.999+00:00"
    assert moment(-(2**63)) == "0001-01-01T00:00:00.000+00:00"


def test_only_embeddings_that_the_column_holds_are_vectors() -> None:
    assert vector((0.5,) * 1_536) == "[" + ",".join(["0.5"] * 1_536) + "]"
    assert vector((0.5,) * 3) is None
    assert vector((math.nan,) * 1_536) is None
    assert vector((1e39,) * 1_536) is None
