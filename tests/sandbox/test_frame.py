"""The result document is read as what it is: bytes from an enemy."""

from __future__ import annotations

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.child.evaluation import evaluate
from connectors.sandbox.frame import DEPTH_MAX, FrameInvalid, read_frame
from connectors.sandbox.limits import RESULT_BYTES_MAX
from connectors.sandbox.result import ValueKind


@pytest.fixture(autouse=True)
def _own_main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


GOOD: dict[str, object] = {"value": [1, "a", None], "value_kind": "json", "error": None, "exit_code": 0}


def encoded(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def test_a_good_document_is_read() -> None:
    frame = read_frame(encoded())

    assert (frame.value, frame.value_kind, frame.error, frame.exit_code) == (
        [1, "a", None],
        ValueKind.JSON,
        None,
        0,
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        encoded() + encoded(),
        encoded(extra=1),
        encoded(exit_code=True),
        encoded(exit_code=256),
        encoded(exit_code=-1),
        encoded(value_kind="pickle"),
        encoded(value_kind="none"),
        encoded(value_kind="repr"),
        encoded(error={"type": "E"}),
        encoded(error={"type": "E", "message": 1, "traceback": ""}),
        encoded(value=2**63),
        encoded(value=-(2**63) - 1),
        encoded(value=float("nan")),
        encoded(value=float("-inf")),
        encoded().replace(b"[1,", b"[1e999,"),
        encoded().replace(b"[1,", b"[" + b"9" * 5000 + b","),
        b'{"value": '
        + b"[" * 30_000
        + b"]" * 30_000
        + b', "value_kind": "json", "error": null, "exit_code": 0}',
        encoded(value="x" * RESULT_BYTES_MAX),
    ],
    ids=lambda data: repr(data[:40]),
)
def test_a_bad_document_is_refused(data: bytes) -> None:
    with pytest.raises(FrameInvalid):
        read_frame(data)


def test_nesting_is_bounded_below_what_the_parser_could_take() -> None:
    value: object = 1
    for _ in range(DEPTH_MAX + 2):
        value = [value]

    with pytest.raises(FrameInvalid, match="nested"):
        read_frame(encoded(value=value))


def test_text_in_keys_and_values_is_cleaned() -> None:
    frame = read_frame(encoded(value={"k\u202e": ["v\x1b[2J", "\ud800"]}))

    assert frame.value == {"k": ["v", ""]}


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        read_frame(data)
    except FrameInvalid:
        return


# Two others may come to be the same when they are cleaned, which is refused.
_KEYS = st.text(alphabet=st.characters(codec="latin-1"), max_size=5)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
        max_leaves=20,
    )
)
def test_what_the_child_encodes_the_parent_can_read(value: object) -> None:
    frame = read_frame(evaluate(f"from math import inf, nan\n{value!r}")[0])

    assert frame.exit_code == 0
    assert frame.error is None


@pytest.mark.parametrize(
    ("code", "kind", "value"),
    [
        ("x = 1", "none", None),
        ("None", "none", None),
        ("1 + 1", "json", 2),
        ("(1, [2.5, True])", "json", [1, [2.5, True]]),
        ("2 ** 63", "repr", "9223372036854775808"),
        ("float('nan')", "repr", "nan"),
        ("{1: 2}", "repr", "{1: 2}"),
        ("{1, 2}", "repr", "{1, 2}"),
        ("class D(dict): pass\nD(a=1)", "repr", "{'a': 1}"),
        ("'x' * 60_000", "repr", "'" + "x" * 4095),
        ("[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "repr", "[" * 28 + "1" + "]" * 28),
    ],
)
def test_a_value_is_json_where_json_holds_it_exactly(code: str, kind: str, value: object) -> None:
    frame = read_frame(evaluate(code)[0])

    assert (frame.value_kind.value, frame.value) == (kind, value)


@pytest.mark.parametrize(
    ("code", "error", "exit_code"),
    [
        ("1 / 0", "ZeroDivisionError", 1),
        ("def f(:", "SyntaxError", 1),
        ("'\\0'\n\0", "SyntaxError", 1),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 1),
        ("import sys\nsys.exit(7)", None, 7),
        ("raise SystemExit", None, 0),
        ("class E(Exception):\n    def __str__(self): raise E2\nraise E", "E", 1),
    ],
)
def test_how_the_code_ended_is_told(code: str, error: str | None, exit_code: int) -> None:
    frame = read_frame(evaluate(code)[0])

    assert (None if frame.error is None else frame.error.type) == error
    assert frame.exit_code == exit_code


def test_a_traceback_shows_the_code_and_nothing_of_the_runner() -> None:
    frame = read_frame(evaluate("def f():\n    return 1 / 0\nf()")[0])

    assert frame.error is not None
    assert "return 1 / 0" in frame.error.traceback
    assert "evaluation" not in frame.error.traceback


def test_a_huge_message_keeps_the_document_within_its_bound() -> None:
    frame = read_frame(evaluate("raise ValueError('\\U0001f600' * 100_000)")[0])

    assert frame.error is not None
    assert frame.error.type == "ValueError"
