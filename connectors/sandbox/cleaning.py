"""Takes out of text what a terminal would obey and what a reader would not see.

Both a person's terminal and a model are misled by characters that are not shown: escape sequences move the
cursor or set the clipboard, bidirectional controls reorder lines, tag characters carry hidden instructions.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

_KEPT_CONTROLS = frozenset("\n\t")
# Assigned categories that print nothing or are not characters at all.
_REMOVED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_LINE_SEPARATORS = {"\u2028": "\n", "\u2029": "\n", "\x85": "\n"}
# Letters and marks that render as nothing: combining grapheme joiner, Hangul and Khmer fillers, Mongolian
# and other variation selectors, the blank Braille pattern, the musical null notehead.
_INVISIBLE = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x1D159),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    )
)
# No real sequence is longer; behind a stray introducer output must not vanish for good.
_ESCAPE_CHARACTERS_MAX = 4_096
_STRING_INTRODUCERS = frozenset("PX]^_")
_ESCAPE_STATES = {
    "\x1b": "escape", "\x9b": "sequence",
    "\x90": "string", "\x98": "string", "\x9d": "string", "\x9e": "string", "\x9f": "string",
}  # fmt: skip
_STATEFUL = re.compile("[\r\x1b\x90\x98\x9b\x9d-\x9f]")


def clean(text: str) -> str:
    """Return `text` with nothing but visible characters, spaces, tabs and newlines."""
    cleaner = TextCleaner()
    return cleaner.feed_text(text) + cleaner.finish()


class TextCleaner:
    """Cleans a stream of bytes piece by piece; a sequence cut by the border of two pieces is still found."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._state = ""
        self._escape_count = 0
        self._after_return = False

    def feed(self, data: bytes) -> str:
        """Return what of `data` may be shown; undecodable bytes become U+FFFD."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> str:
        """Return what of `text` may be shown."""
        if not self._state and not self._after_return and not _STATEFUL.search(text):
            return text.translate(_VISIBLE)
        return "".join(self._character(character) for character in text).translate(_VISIBLE)

    def finish(self) -> str:
        """Return what was held back at the end of the stream."""
        rest = self.feed_text(self._decoder.decode(b"", final=True))
        if self._after_return:
            rest += "\n"
        self._state, self._after_return = "", False
        return rest

    def _character(self, character: str) -> str:
        prefix = ""
        if self._after_return:
            # A lone carriage return lets a line overwrite itself; it becomes a new line instead.
            self._after_return = False
            prefix = "" if character == "\n" else "\n"
        if self._state and character != "\n" and self._escape_count < _ESCAPE_CHARACTERS_MAX:
            self._escape_count += 1
            self._state = _next_state(self._state, character)
            return prefix
        self._state = _ESCAPE_STATES.get(character, "")
        self._escape_count = 0
        if character == "\r":
            self._after_return = True
            return prefix
        return prefix if self._state else prefix + character


def _next_state(state: str, character: str) -> str:
    """Return the state after `character` within an escape sequence; "" where the sequence ends with it."""
    if state == "escape":
        if character == "[":
            return "sequence"
        if character in _STRING_INTRODUCERS:
            return "string"
        return "escape" if " " <= character <= "/" else ""
    if state == "sequence":
        return "" if "@" <= character <= "~" else "sequence"
    if state == "string ends" and character == "\\":
        return ""
    if character in "\x07\x9c":
        return ""
    return "string ends" if character == "\x1b" else "string"


class _VisibleCharacters(dict[int, str | None]):
    """Maps each character to what is shown for it, worked out at its first appearance."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        shown: str | None = character
        if character in _LINE_SEPARATORS:
            shown = _LINE_SEPARATORS[character]
        elif character not in _KEPT_CONTROLS and (
            code in _INVISIBLE or unicodedata.category(character) in _REMOVED_CATEGORIES
        ):
            shown = None
        self[code] = shown
        return shown


_VISIBLE = _VisibleCharacters()
