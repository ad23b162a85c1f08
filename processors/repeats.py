"""Which inputs were taken: shortened ids of the latest, in one short text, and which of them it lets go of.

The text is written with every step, so it is as small as it can be: eight characters for each input.
"""

from base64 import b64encode
from hashlib import blake2b
from typing import Final

SEEN_MAX: Final = 512
"""Inputs that a state knows: 4 KB of it at the most."""
LET_GO: Final = 256
"""So many leave at once when there would be more: whoever keeps them writes a record each time."""
_MARK_BYTES: Final = 6
"""Of a digest of an input's id: among the million of a session, one of 3 x 10⁸ is mistaken for another."""
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


def with_mark(seen: str, mark: str, *, marks_max: int | None = None) -> str:
    """Add a mark; the oldest leave when there would be more than `marks_max`, which is SEEN_MAX if None."""
    marks_max = marks_max or SEEN_MAX
    if len(seen) >= marks_max * _MARK_CHARACTERS:
        seen = seen[-(marks_max - LET_GO) * _MARK_CHARACTERS :]
    return seen + mark


def let_go(before: str, after: str) -> tuple[str, ...]:
    """Return the marks, oldest first, that `with_mark` took away when it made `after` of `before`."""
    if after == before:
        return ()
    gone = before[: len(before) + _MARK_CHARACTERS - len(after)]
    return tuple(gone[at : at + _MARK_CHARACTERS] for at in range(0, len(gone), _MARK_CHARACTERS))
