"""Which user inputs a session has taken: shortened ids of the latest, in one short text.

The text is written with every step, so it is as small as it can be: eight characters for each input.
"""

from base64 import b64encode
from hashlib import blake2b
from typing import Final

SEEN_MAX: Final = 2_048
"""User inputs of a session by which repeats are known: 16 KB of its state at the most."""
_MARK_BYTES: Final = 6
"""Of a digest of an input's id: a false match among so few has a chance below 10⁻¹⁰."""
_MARK_CHARACTERS: Final = 8
"""Six bytes in base 64."""


def mark_of(event_id: str) -> str:
    """Return the mark of an input by its id."""
    return b64encode(blake2b(event_id.encode(), digest_size=_MARK_BYTES).digest()).decode()


def has_seen(seen: str, mark: str) -> bool:
    """Tell whether an input with this mark is among those that were taken."""
    at = seen.find(mark)
    while at % _MARK_CHARACTERS and at != -1:
        at = seen.find(mark, at + 1)
    return at != -1


def with_mark(seen: str, mark: str) -> str:
    """Add a mark; the oldest leaves when there are too many."""
    return (seen + mark)[-SEEN_MAX * _MARK_CHARACTERS :]
