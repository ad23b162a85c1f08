"""Values that every column takes: whatever a valid event says is brought to what Postgres can hold.

The event log keeps the whole; a column of a table keeps the nearest value that fits its type.
"""

import base64
import hashlib
import math
import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final

import orjson

from schemas.ids import derived_id, is_uuid

INT32_MAX: Final = 2**31 - 1
EMBEDDING_DIMENSIONS: Final = 1_536
NUL_SHOWN: Final = "␀"
"""What stands for a NUL character, which Postgres stores in no text."""
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # its text gets the zone
_MS_MIN: Final = -62_135_596_800_000
_MS_MAX: Final = 253_402_300_799_999
_FLOAT32_MAX: Final = 3.4e38


def clean(text: str) -> str:
    """Return `text` with each NUL character shown as ␀."""
    return text.replace("\x00", NUL_SHOWN) if "\x00" in text else text


def cut(text: str, characters_max: int) -> str:
    """Return clean text of at most `characters_max` characters; what was cut ends in an ellipsis."""
    text = clean(text)
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def cut_unique(text: str, characters_max: int) -> str:
    """As `cut`, but different texts stay different: what was cut ends in 8 digits of its SHA-256."""
    text = clean(text)
    if len(text) <= characters_max:
        return text
    return f"{text[: characters_max - 9]}~{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@lru_cache(maxsize=65_536)
def as_uuid(text: str | None) -> str | None:
    """Return an id in canonical form: itself, or a UUIDv5 of what is no UUID; None for none or ''."""
    if not text:
        return None
    if is_uuid(text):
        return text
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return derived_id("foreign", text)


def moment(milliseconds: int) -> str:
    """Return a time in ISO 8601, UTC, at the nearest of the years 1 to 9999."""
    # Most records of a batch share their second; making a datetime and its text took three times as long.
    if not _MS_MIN <= milliseconds <= _MS_MAX:
        milliseconds = max(_MS_MIN, min(_MS_MAX, milliseconds))
    seconds, rest_ms = divmod(milliseconds, 1_000)
    return f"{_second(seconds)}.{rest_ms:03}+00:00"


def moment_us(microseconds: int) -> str:
    """Return a time in ISO 8601, UTC, to the microsecond, likewise."""
    milliseconds, rest_us = divmod(microseconds, 1_000)
    text = moment(milliseconds)
    return f"{text[:-6]}{rest_us:03}{text[-6:]}" if _MS_MIN <= milliseconds <= _MS_MAX else text


def int32(number: int) -> int:
    """Return the nearest number that an INTEGER column holds."""
    return max(-INT32_MAX - 1, min(INT32_MAX, number))


def between(number: int, low: int, high: int) -> int:
    """Return the nearest number of `low` to `high`."""
    return max(low, min(high, number))


def decimal(number: float, low: float, high: float) -> float | None:
    """Return the nearest number of `low` to `high` with two decimals; None for what is no number."""
    return None if math.isnan(number) else round(max(low, min(high, number)), 2)


def one_of(text: str, known: Iterable[str], otherwise: str) -> str:
    """Return `text` if a column's check knows it, else `otherwise`."""
    return text if text in known else otherwise


def vector(numbers: tuple[float, ...]) -> str | None:
    """Return pgvector's text of an embedding; None when it has other dimensions or holds no number."""
    if len(numbers) != EMBEDDING_DIMENSIONS:
        return None
    if not all(abs(number) < _FLOAT32_MAX for number in numbers):
        return None
    return orjson.dumps(numbers).decode()


def json_of(value: object) -> str:
    """Return the JSON of plain values, fit for JSONB: bytes as Base64, NUL as ␀, no NaN."""
    text = orjson.dumps(value, default=_plain)
    # The escape may also be a backslash followed by u0000 in the text itself: then the walk changes nothing.
    return (orjson.dumps(_without_nul(value), default=_plain) if b"\\u0000" in text else text).decode()


def json_text(text: str) -> str:
    """Return JSON that came as text, fit for JSONB; what cannot be read is kept as {"unparsed": text}."""
    try:
        value: object = orjson.loads(text)
        return json_of(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return json_of({"unparsed": text})


@lru_cache(maxsize=4_096)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)  # in a fact of a newer program: it has more digits than a number of JSON
    raise TypeError(type(value).__name__)


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value
