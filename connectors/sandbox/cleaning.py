"""Takes out of text what a terminal would obey and what a reader would not see.

Both a person's terminal and a model are misled by characters that are not shown: escape sequences move the
cursor or set the clipboard, bidirectional controls reorder lines, tag characters carry hidden instructions.
Marks without end on one letter cover the lines around it.

Everything is done by a few expressions, each compiled once, so that a flood costs no more than its length.
"""

from __future__ import annotations

import codecs
import functools
import re
import unicodedata
from collections import deque
from collections.abc import Iterable

# The Unicode standard's own bound for text in streams is 30; no language stacks more than this.
MARKS_MAX = 8
# No real sequence is longer; behind a stray introducer output must not vanish for good.
_ESCAPE_CHARACTERS_MAX = 4_096
_REMOVED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_MARK_CATEGORIES = frozenset({"Mn", "Me", "Mc"})
_KEPT_CONTROLS = frozenset("\n\t")
# Letters and marks that render as nothing: combining grapheme joiner, Hangul and Khmer fillers, Mongolian
# and other variation selectors, the blank Braille pattern, the musical null notehead.
_INVISIBLE = frozenset(
    (
        *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0x1D159),
        *range(0x180B, 0x1810),
        *range(0xFE00, 0xFE10),
    )
)
# Behind the last ideograph there are only tags, selectors, private use and what is not assigned.
_CODE_POINTS = 0x33480
_BASIC_MAX = 0xFFFF


def clean(text: str) -> str:
    """Return `text` with nothing but visible characters, spaces, tabs and newlines."""
    cleaner = TextCleaner()
    return cleaner.feed_text(text) + cleaner.finish()


def clean_line(text: str, characters_max: int) -> str:
    """Return `text` cleaned, on one line, cut to `characters_max`."""
    return " ".join(clean(text[: 4 * characters_max]).split())[:characters_max]


class TextCleaner:
    """Cleans a stream of bytes piece by piece; a sequence cut by the border of two pieces is still found."""

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        """An escape sequence that has not ended, or a carriage return that a newline may follow."""
        self._marks = ""
        """The marks with which the text so far ends."""

    def feed(self, data: bytes) -> str:
        """Return what of `data` may be shown; undecodable bytes become U+FFFD."""
        return self.feed_text(self._decoder.decode(data))

    def feed_text(self, text: str) -> str:
        """Return what of `text` may be shown."""
        text = self._held + text
        last_line = text.rfind("\n") + 1
        # Only a sequence in the last line may still go on.
        *_, begun = (None, *deque(_SEQUENCES.finditer(text, last_line), maxlen=1))
        place = len(text)
        if begun is not None and begun.lastindex is not None:
            place = begun.start(begun.lastindex) - 1
        seen = _SEQUENCES.sub("", text[:place])
        if seen.endswith("\r"):
            # The newline that may follow belongs to it.
            seen, self._held = seen[:-1], "\r" + text[place:]
        else:
            self._held = text[place:]
        return self._shown(seen)

    def finish(self) -> str:
        """Return what was held back at the end of the stream."""
        rest = self.feed_text(self._decoder.decode(b"", final=True))
        rest += self._shown("\n" if self._held.startswith("\r") else "")
        self._held = self._marks = ""
        return rest

    def _shown(self, text: str) -> str:
        # A lone carriage return lets a line overwrite itself; it becomes a new line instead.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if text.isascii():
            text = _UNSEEN_IN_ASCII.sub("", text)
            self._marks = "" if text else self._marks
            return text
        for separator in _LINE_SEPARATORS:
            text = text.replace(separator, "\n")
        text = self._marks + _unseen().sub("", text)
        kept = len(self._marks)
        if _may_be_stack().search(text) is not None:
            text = _stack().sub(r"\1", text)
        ending = _last_marks().search(text[-MARKS_MAX:])
        assert ending is not None
        self._marks = ending.group()
        return text[kept:]


_LINE_SEPARATORS = "\x85\u2028\u2029"
_UNSEEN_IN_ASCII = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]+")

# An escape sequence: its first character, how it goes on, and how it ends. What goes on gives nothing back
# (the last +), so it stops for one of three reasons: an end, a newline or a character too many, no more text.
_FIRST = r"[\x1b\x90\x98\x9b\x9d-\x9f]"
_MORE = f"{{0,{_ESCAPE_CHARACTERS_MAX}}}+"
_FORMS = (
    (rf"(?:(?<=\x1b)\[|(?<=\x9b))[^@-~\n]{_MORE}", "[@-~]"),
    (
        rf"(?:(?<=\x1b)[PX\]^_]|(?<=[\x90\x98\x9d-\x9f]))(?:[^\x07\x9c\x1b\n]|\x1b(?!\\)){_MORE}",
        r"[\x07\x9c]|\x1b\\",
    ),
    (rf"(?<=\x1b)(?![\[PX\]^_])[ -/]{_MORE}", r"[^\n\x1b\x90\x98\x9b\x9d-\x9f]"),
)
_CUT_OFF = "|".join(form for form, _ in _FORMS)
_REST = "|".join([*(rf"{form}(?:{end}|(?=[\s\S]))" for form, end in _FORMS), rf"((?:{_CUT_OFF})\Z)"])
# Many on end are one match. A group is what the end of the text has cut off, without its first character.
_SEQUENCES = re.compile(f"{_FIRST}(?:{_REST})(?:{_FIRST}(?:{_REST}))*+")

# An expression has a map of the basic characters alone and goes through all ranges of the others, so those
# are looked at only where there is one.
_BEYOND_BASIC = r"\U00010000-\U0010ffff"


@functools.cache
def _unseen() -> re.Pattern[str]:
    """Return what finds characters that are not shown."""
    points = [
        point
        for point in range(_CODE_POINTS)
        if point in _INVISIBLE
        or (unicodedata.category(chr(point)) in _REMOVED_CATEGORIES and chr(point) not in _KEPT_CONTROLS)
    ]
    basic = _character_class(point for point in points if point <= _BASIC_MAX)
    beyond = _character_class([*(point for point in points if point > _BASIC_MAX), _CODE_POINTS])
    one = rf"[{basic}{_BEYOND_BASIC}](?:(?<![{_BEYOND_BASIC}])|(?<=[{beyond}-\U0010ffff]))"
    return re.compile(f"{one}(?:{one})*+")


@functools.cache
def _may_be_stack() -> re.Pattern[str]:
    """Return what finds more than MARKS_MAX marks in a row, and may find other characters too."""
    basic = _character_class(point for point in _marks() if point <= _BASIC_MAX)
    return re.compile(f"[{basic}{_BEYOND_BASIC}]" * (MARKS_MAX + 1))


@functools.cache
def _stack() -> re.Pattern[str]:
    """Return what finds more marks on one letter than are kept; group 1 are those."""
    return re.compile(f"([{_character_class(_marks())}]{{{MARKS_MAX}}})[{_character_class(_marks())}]+")


@functools.cache
def _last_marks() -> re.Pattern[str]:
    return re.compile(rf"[{_character_class(_marks())}]*\Z")


@functools.cache
def _marks() -> tuple[int, ...]:
    return tuple(
        point
        for point in range(_CODE_POINTS)
        if point not in _INVISIBLE and unicodedata.category(chr(point)) in _MARK_CATEGORIES
    )


def _character_class(points: Iterable[int]) -> str:
    """Return the inside of a character class of `points`, which come in order; the last stands alone."""
    ranges: list[list[int]] = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1 and point != _CODE_POINTS:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "".join(
        f"\\U{first:08x}-\\U{last:08x}" if last > first else f"\\U{first:08x}" for first, last in ranges
    )
