"""Canonical JSON: one text for one value; what could be read as two is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.canonical import INTEGER_MAX, NotCanonical, canonical, digest_of, parsed, text_digest

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(-1e15, 1e15)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5).filter(str.isascii), inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        # RFC 8785, appendix B, and neighbours of where the form changes.
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (-5e-324, "-5e-324"),
        (9007199254740991.0, "9007199254740991"),
        (333333333.33333329, "333333333.3333333"),
        (0.000001, "0.000001"),
        (0.0000009, "9e-7"),
        (1.5e-10, "1.5e-10"),
        (123456789012.5, "123456789012.5"),
        (1.0, "1"),
        (-1.25, "-1.25"),
        (1e15, "1000000000000000"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert canonical(number) == text.encode()


def test_members_are_sorted_by_utf16_units_as_the_rfc_shows() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}

    assert list(json.loads(canonical(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


def test_strings_have_the_shortest_escapes() -> None:
    assert canonical('€$\u000f\nA\'B"\\\\"/\x7f') == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\x7f"'.encode()


@given(VALUES)
def test_what_is_read_again_is_written_the_same(value: object) -> None:
    written = canonical(value)

    assert canonical(parsed(written.decode(), depth_max=100)) == written
    assert digest_of(value) == text_digest(written.decode())


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '{"a": 1, "\\u0061": 2}',
        '[{"b": {"a": 1, "a": 2}}]',
        "9007199254740992",
        "-9007199254740992",
        "[123456789012345678901234567890]",
        "9007199254740993.0",
        "1e16",
        "1e400",
        "NaN",
        "-Infinity",
        '"\\ud800"',
        '{"\\udc00": 1}',
        '["\\udc00\\ud800"]',
        "[1,]",
        "{'a': 1}",
        "1 2",
        "",
        "\ufeff{}",
        "[" * 33 + "1" + "]" * 33,
        "[" * 100_000,
        '{"a":' * 50_000,
    ],
)
def test_what_could_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(NotCanonical):
        parsed(text)


def test_bounds_are_exact() -> None:
    assert parsed("[" * 32 + "]" * 32, depth_max=32) is not None
    assert parsed('"[[[[[[[["', depth_max=0) == "[[[[[[[["
    with pytest.raises(NotCanonical, match="nested"):
        parsed("[[[]]]", depth_max=1)
    assert parsed('"é"', bytes_max=4) == "é"
    with pytest.raises(NotCanonical, match="3 bytes"):
        parsed('"é"', bytes_max=3)
    assert parsed(str(INTEGER_MAX)) == INTEGER_MAX
    assert parsed(str(-INTEGER_MAX)) == -INTEGER_MAX
    assert parsed('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, INTEGER_MAX + 1, 1e300, "\ud800", {1: 2}, {"\ud800": 1}, b"x", {1}]
)
def test_a_value_without_a_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(NotCanonical):
        canonical(endless)
