"""Reads the result document that the child wrote: text from an enemy, until it has passed here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from connectors.sandbox.cleaning import clean, clean_line
from connectors.sandbox.limits import RESULT_BYTES_MAX
from connectors.sandbox.result import ExecutionError, JsonValue, ValueKind

DEPTH_MAX = 32
INTEGER_MAX = 2**63
_TEXT_CHARACTERS_MAX = 16 * 1024
_TYPE_CHARACTERS_MAX = 200
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the child says came of the code."""

    value: JsonValue
    value_kind: ValueKind
    error: ExecutionError | None
    exit_code: int


class FrameInvalid(Exception):
    """The bytes are no single well-formed result document."""


def read_frame(data: bytes) -> Frame:
    """Return the checked and cleaned document in `data`.

    Raises:
        FrameInvalid: too large, not one JSON object of exactly the known fields, nested deeper
            than DEPTH_MAX, with a number that JSON or 64 bits do not hold, or with two keys in one object
            that are the same once they are cleaned.
    """
    if not data:
        raise FrameInvalid("empty")
    if len(data) > RESULT_BYTES_MAX:
        raise FrameInvalid("too large")
    try:
        document = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse,
            parse_int=_integer,
            parse_float=_float,
            object_pairs_hook=_object,
        )
    except (ValueError, RecursionError) as error:
        raise FrameInvalid(f"no JSON: {type(error).__name__}") from error
    if not isinstance(document, dict) or document.keys() != {"value", "value_kind", "error", "exit_code"}:
        raise FrameInvalid("unexpected fields")
    exit_code = document["exit_code"]
    if type(exit_code) is not int or not 0 <= exit_code <= 255:
        raise FrameInvalid("exit code")
    try:
        kind = ValueKind(document["value_kind"])
    except ValueError as error:
        raise FrameInvalid("kind of value") from error
    value = _checked(document["value"], 0)
    if (kind is ValueKind.NONE and value is not None) or (
        kind is ValueKind.REPR and not isinstance(value, str)
    ):
        raise FrameInvalid("value does not match its kind")
    return Frame(value=value, value_kind=kind, error=_error(document["error"]), exit_code=exit_code)


def _error(described: object) -> ExecutionError | None:
    if described is None:
        return None
    if not isinstance(described, dict) or described.keys() != {"type", "message", "traceback"}:
        raise FrameInvalid("error fields")
    texts = {}
    for name, text in described.items():
        if not isinstance(text, str):
            raise FrameInvalid("error text")
        texts[name] = _text(text)[:_TEXT_CHARACTERS_MAX]
    return ExecutionError(**{**texts, "type": clean_line(texts["type"], _TYPE_CHARACTERS_MAX)})


def _checked(value: object, depth: int) -> JsonValue:
    if depth > DEPTH_MAX:
        raise FrameInvalid("nested too deeply")
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, list):
        return [_checked(item, depth + 1) for item in value]
    if isinstance(value, dict):
        members = [(_text(key), _checked(item, depth + 1)) for key, item in value.items()]
        return _distinct(members)
    raise FrameInvalid("no JSON type")


def _text(text: str) -> str:
    # Lone surrogates, which JSON can smuggle past UTF-8, go out with the other characters that show nothing.
    return clean(text)


def _object(members: list[tuple[str, object]]) -> dict[str, object]:
    return _distinct(members)


def _distinct(members: list[tuple[str, _Value]]) -> dict[str, _Value]:
    found = dict(members)
    if len(found) < len(members):
        raise FrameInvalid("two keys are the same")
    return found


def _integer(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("an integer beyond 64 bits")
    number = int(digits)
    if not -INTEGER_MAX <= number < INTEGER_MAX:
        raise ValueError("an integer beyond 64 bits")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond a double")
    return number


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
