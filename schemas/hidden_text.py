"""Text that models read and people do not: it is taken out before it is on the log.

Tag characters spell words that no program shows, and marks that override the direction let a line read
otherwise than it is. Models take both for text, so they carry instructions past whoever looks. What the log
has is what models, tools and people get. Joiners, variation selectors, marks and isolates stay, which scripts
and emoji need; so do the flags that are spelled with tag characters.
"""

import re
from typing import Final

_FLAG: Final = "\U0001f3f4"
_TAGS: Final = 0xE0000
_END: Final = "\U000e007f"
_HIDDEN: Final = re.compile("[\u202a-\u202e\U000e0000-\U000e007f]+")


def _spelled(region: str) -> str:
    return "".join(chr(_TAGS + ord(letter)) for letter in region) + _END


_FLAGS: Final = frozenset(map(_spelled, ("gbeng", "gbsct", "gbwls")))
"""What stands behind a black flag to make it England's, Scotland's or Wales's."""


def without_hidden(text: str) -> str:
    """Return a text without tag characters, and without what overrides its direction."""
    if text.isascii():
        return text
    return _HIDDEN.sub(_kept, text)


def begin_of_open(text: str) -> int:
    """Return from where on a text ends in what can only be judged when more of it is known."""
    at = len(text)
    while at and _HIDDEN.match(text, at - 1):
        at -= 1
    return at - 1 if at and text[at - 1] == _FLAG else at


def _kept(found: re.Match[str]) -> str:
    before = found.string[found.start() - 1 : found.start()] if found.start() else ""
    return found[0] if before == _FLAG and found[0] in _FLAGS else ""
