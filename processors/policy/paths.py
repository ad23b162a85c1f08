"""Whether a path lies under a folder, as far as its text can tell.

A text does not tell where a link leads, what a tool makes of escapes, or which folder is the working one.
What could be read in two ways is neither under a folder nor outside of it: the answer is None, and the rule
that asked takes it for the worse.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# Escapes, drives, schemes, a home, a variable: what some tool may turn into another path.
_TRICKS: Final = re.compile(
    r"%[0-9a-fA-F]{2}|%u[0-9a-fA-F]|\\|\$|^~|^[A-Za-z][A-Za-z0-9+.-]*:|[\x00-\x1f\x7f*?]"
)
# Parts that some systems take for another name: with dots or blanks at the end, or a blank before.
_ODD_PART: Final = re.compile(r"\.{2,}|.*[. ]| .*")
_UNSEEN: Final = re.compile(
    "[\x80-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U0010ffff]"
)


@dataclass(frozen=True, slots=True)
class PlainPath:
    """A path that all read alike."""

    parts: tuple[str, ...]
    folded: tuple[str, ...]
    """The same where case, or another way to write a letter, makes no difference."""
    absolute: bool


@lru_cache(maxsize=256)
def plain_path(text: str) -> PlainPath | None:
    """Read a path; None: it can be read in two ways."""
    if not text or _TRICKS.search(text) or text.startswith("//"):
        return None
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if text.isascii():
        # Most are, and have one form alone, but for case.
        folded = tuple(part.lower() for part in parts)
        if any(map(_ODD_PART.fullmatch, parts)):
            return None
        return PlainPath(parts, folded, text.startswith("/"))
    if _UNSEEN.search(text) or unicodedata.normalize("NFKC", text).count("/") != text.count("/"):
        return None
    folded = tuple(unicodedata.normalize("NFKC", part).casefold() for part in parts)
    if any(map(_ODD_PART.fullmatch, (*parts, *folded))):
        return None
    return PlainPath(parts, folded, text.startswith("/"))


def lies_under(path: PlainPath | None, folder: PlainPath) -> bool | None:
    """Tell whether a path is a folder or lies under it; None: its text does not tell."""
    if path is None or path.absolute is not folder.absolute:
        # The working folder is the tool's.
        return None
    length = len(folder.parts)
    if path.parts[:length] == folder.parts:
        return True
    return None if path.folded[:length] == folder.folded else False
