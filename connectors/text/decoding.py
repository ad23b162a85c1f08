"""The text that bytes stand for, in whichever encoding; no library guesses, so the answer never changes.

In this order: a byte order mark; UTF-8; UTF-16 without a mark; UTF-8 with some damage; Windows-1252, of which
Latin-1 is a part. Other one-byte and East Asian encodings cannot be told apart with certainty, and a wrong
guess would store words that nobody wrote; they are refused by name of the remedy.
"""

import codecs
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Final

_MARKS: Final = (
    # The mark of UTF-16 is the beginning of that of UTF-32.
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF8, "utf-8", "UTF-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
# What text files have of the control characters: tab, the line ends, form feed, Ctrl-Z at the end, escape.
_CONTROLS_OF_TEXT: Final = frozenset(b"\t\n\r\f\v\x1a\x1b")
_CONTROLS: Final = frozenset(range(32)) - _CONTROLS_OF_TEXT
_LETTERS_SHARE_MIN: Final = 0.9
_ASCII_SHARE_MIN: Final = 0.1
_EAST_ASIAN_SHARE_MIN: Final = 0.7
_WESTERN_SHARE_MAX: Final = 0.5
"""Of bytes above 127 among those that are not white space; Cyrillic has hardly any others."""
_WESTERN_RUN_MEAN_MAX: Final = 2.0
"""Of bytes above 127 in a row: accented letters stand alone, letters of other scripts form whole words."""
_HIGH_RUN: Final = re.compile(rb"[\x80-\xff]+")


class NotText(Exception):
    """The bytes are no text, or none whose encoding can be told; the message is a reason for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A text, and what it took to read it."""

    text: str
    note: str = ""
    """What a person should know, when the encoding was a guess or the bytes were damaged."""


def decoded(data: bytes) -> Decoded:
    """Read a text file's bytes; a byte order mark is no part of the text.

    Raises:
        NotText: it is binary, or in an encoding that cannot be told.
    """
    for mark, encoding, name in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, name)
    has_controls = not _CONTROLS.isdisjoint(data)
    if b"\x00" not in data:
        try:
            return Decoded(text=data.decode("utf-8"))
        except UnicodeDecodeError:
            pass
    if has_controls or not _mostly_ascii(data):
        unmarked = _unmarked_utf16(data)
        if unmarked is not None:
            return Decoded(text=unmarked, note="read as UTF-16 without a byte order mark")
    if b"\x00" in data:
        raise NotText("binary")
    return _damaged_utf8(data) or _western(data, has_controls=has_controls)


def _marked(data: bytes, encoding: str, name: str) -> Decoded:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise NotText(f"begins as {name} and is not, from byte {error.start} on") from None
        return _damaged_utf8(data) or _broken(error)
    if "\x00" in text:
        raise NotText("binary")
    return Decoded(text=text)


def _broken(error: UnicodeDecodeError) -> Decoded:
    raise NotText(f"begins as UTF-8 and is not, from byte {error.start} on") from None


def _mostly_ascii(data: bytes) -> bool:
    return sum(byte < 128 for byte in data) >= 0.5 * len(data)


def _unmarked_utf16(data: bytes) -> str | None:
    """Return the text, if the bytes are a plausible one in either byte order."""
    if len(data) % 2 or not data:
        return None
    best: str | None = None
    rows_of_best = 0
    for encoding in ("utf-16-le", "utf-16-be"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if not _plausible(text):
            continue
        # In the wrong order the characters are strewn over many rows of 256; in the right one over few.
        rows = len({ord(character) >> 8 for character in text})
        if best is None or rows < rows_of_best:
            best, rows_of_best = text, rows
    return best


def _plausible(text: str) -> bool:
    kinds = Counter(unicodedata.category(character) for character in text)
    controls = sum(text.count(character) for character in "\t\n\r\f")
    if kinds["Cc"] > controls or kinds["Cn"] or kinds["Co"] or kinds["Cs"]:
        return False
    readable = sum(count for kind, count in kinds.items() if kind[0] in "LNPZM") + controls
    if readable < _LETTERS_SHARE_MIN * len(text):
        return False
    ascii_only = sum(ord(character) < 128 for character in text)
    east_asian = sum(_is_east_asian(ord(character)) for character in text)
    return ascii_only >= _ASCII_SHARE_MIN * len(text) or east_asian >= _EAST_ASIAN_SHARE_MIN * len(text)


def _is_east_asian(code: int) -> bool:
    return (
        0x3000 <= code <= 0x30FF or 0x4E00 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7A3 or code >> 8 == 0xFF
    )


def _damaged_utf8(data: bytes) -> Decoded | None:
    """Return text that is UTF-8 but for some bytes, or None when most of it is something else."""
    text = data.decode("utf-8", errors="replace")
    damaged = text.count("\ufffd")
    sound = sum(ord(character) > 127 for character in text) - damaged
    if sound == 0 or sound < damaged:
        return None
    return Decoded(text=text, note=f"not UTF-8 in {damaged} places, which are read as \ufffd")


def _western(data: bytes, *, has_controls: bool) -> Decoded:
    if has_controls:
        raise NotText("binary")
    runs = _HIGH_RUN.findall(data)
    high = sum(map(len, runs))
    solid = sum(byte > 32 for byte in data)
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        text = ""
    if not text or high > _WESTERN_SHARE_MAX * solid or high > _WESTERN_RUN_MEAN_MAX * len(runs):
        raise NotText("in an encoding that cannot be told; save it as UTF-8")
    return Decoded(text=text, note="read as Windows-1252 (Latin-1); save it as UTF-8 if words look wrong")
