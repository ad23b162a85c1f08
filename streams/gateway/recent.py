"""What a process knows of its latest requests, bounded."""

from collections import OrderedDict
from typing import TypeVar

_T = TypeVar("_T")


def remember(known: OrderedDict[str, _T], key: str, value: _T, most: int) -> None:
    """Note a value as the latest; of more than `most`, the one that was noted longest ago is forgotten."""
    known[key] = value
    known.move_to_end(key)
    if len(known) > most:
        known.popitem(last=False)
