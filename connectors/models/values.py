"""JSON of any shape, read with what is absent, null or of another type counting as absent."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

WHOLE_MAX: Final = 1_000_000_000
"""No count of tokens and no index is larger; a larger number is none."""
_DIGITS: Final = re.compile(r"\d{1,10}\Z", re.ASCII)


def text_of(value: object) -> str:
    """Return a text, or an empty one."""
    return value if isinstance(value, str) else ""


def name_of(value: object) -> str:
    """Return a text, or a whole number as one: some servers count where others name."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text_of(value)


def mapping_of(value: object) -> Mapping[str, object]:
    """Return an object, or an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: object) -> Sequence[object]:
    """Return a list, or an empty one."""
    return value if isinstance(value, list) else ()


def whole_of(value: object) -> int | None:
    """Return a whole number from 0 to WHOLE_MAX, written as one or as 3.0; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= WHOLE_MAX or value != int(value):
        return None
    return int(value)


def index_of(value: object) -> int | None:
    """Return the index of a tool call or a choice, written as a number or as a text of digits."""
    if isinstance(value, str) and _DIGITS.match(value):
        return whole_of(int(value))
    return whole_of(value)


def mended(text: str) -> str:
    """Return a text that can be written as UTF-8: halves of a character are joined, lone ones replaced."""
    if not _has_half(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def ends_in_half(text: str) -> bool:
    """Tell whether a text ends in the first half of a character, whose other half may still come."""
    return bool(text) and "\ud800" <= text[-1] <= "\udbff"


def _has_half(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
