"""Text that UTF-8 can hold: what providers, tools and JSON escapes make of halves of characters."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TypeVar, cast

from schemas.frozen import replace

T = TypeVar("T")


def whole(text: str) -> str:
    """Return `text` with surrogate pairs joined to their character, and U+FFFD for each that stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def mended(value: T) -> T:
    """Return a record, list, mapping or text of which all texts, nested ones too, are whole."""
    return cast("T", _mended(value))


def _mended(value: object) -> object:
    if isinstance(value, str):
        text = whole(value)
        # A word of the contract stays one.
        return value if text == value else type(value)(text)
    if isinstance(value, list | tuple):
        return type(value)(_mended(item) for item in value)
    if isinstance(value, Mapping):
        return {_mended(key): _mended(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        changed = {name: now for name, old in found.items() if (now := _mended(old)) != old}
        return replace(value, **changed) if changed else value
    return value
