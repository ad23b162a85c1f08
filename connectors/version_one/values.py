"""Values of V1's columns, whatever their types: times, and JSON that may be none."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import orjson

_SECONDS_MAX: Final = 100_000_000_000
_MILLISECONDS_MAX: Final = 100_000_000_000_000
_MICROSECONDS_MIN: Final = -62_135_596_800_000_000
_MICROSECONDS_MAX: Final = 253_402_300_799_999_999
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NoTime(ValueError):
    """What stands where a time should."""


def as_time(text: str | None) -> int | None:
    """Return a time in microseconds since 1970; None for none.

    Args:
        text: as `Found.time` gives it: a number and `us`, or what V1 keeps as text or number: seconds or
            milliseconds since 1970, told apart by their size, or ISO 8601, which without a zone is UTC.

    Raises:
        NoTime: it is none, or lies outside the years 1 to 9999.
    """
    if text is None or not text.strip():
        return None
    text = text.strip()
    found = int(text[:-2]) if text.endswith("us") and text[:-2].lstrip("-").isdigit() else _read(text)
    if not _MICROSECONDS_MIN <= found <= _MICROSECONDS_MAX:
        raise NoTime(f"{text[:40]!r} is outside the years 1 to 9999")
    return found


def as_json(text: str | None) -> object:
    """Return the plain values of JSON; the text itself where it is none, None for none."""
    if text is None:
        return None
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value


def as_object(text: str | None) -> Mapping[str, object]:
    """Return a JSON object; what is another value stands under `value`, and nothing is empty."""
    value = as_json(text)
    if isinstance(value, Mapping):
        return value
    return {} if value is None or value == "" else {"value": value}


def _read(text: str) -> int:
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        if not abs(number) < float(_MICROSECONDS_MAX):
            raise NoTime(f"{text[:40]!r} is no time")
        if abs(number) < _SECONDS_MAX:
            return round(number * 1_000_000)
        return round(number * 1_000) if abs(number) < _MILLISECONDS_MAX else round(number)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise NoTime(f"{text[:40]!r} is no time") from error
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    try:
        apart = moment - _EPOCH
    except OverflowError as error:
        raise NoTime(f"{text[:40]!r} is outside the years 1 to 9999") from error
    return (apart.days * 86_400 + apart.seconds) * 1_000_000 + apart.microseconds
