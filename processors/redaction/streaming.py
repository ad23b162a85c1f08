"""Takes credentials out of texts that come in pieces: what is told is the same, however a text is cut.

A word is told once it is over, for a credential ends with it; so little more than a word is held back. A line
is read as a whole, since a name in it says what stands behind it. Long lines and words are read in parts that
hang on the text alone.
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from processors.redaction.finding import WORD_ENDS, Span, find
from schemas.hidden_text import begin_of_open, without_hidden

LINE_CHARACTERS_MAX: Final = 2_048
"""Of a longer line parts are read, each from the end of a word on."""
WORD_CHARACTERS_MAX: Final = 16_384
"""A longer word is read in parts."""
_PART: Final = re.compile(
    rf"(?:[^\n]{{0,{LINE_CHARACTERS_MAX - 1}}}\n)+"
    rf"|[^\n]{{{LINE_CHARACTERS_MAX}}}[^{WORD_ENDS}]{{0,{WORD_CHARACTERS_MAX}}}+(?:[{WORD_ENDS}]|(?=[^{WORD_ENDS}]))"
)
_WORD_END: Final = re.compile(f"[{WORD_ENDS}]")
_IN_WORD: Final = re.compile(f"[^{WORD_ENDS}]*")

Find = Callable[[str], Sequence[Span]]
MATERIAL_CHARACTERS: Final = 4_096
"""So far behind its beginning a private key shows, or what stands there is none."""
_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_BODY: Final = re.compile(r"(?:(?!-----)[A-Za-z0-9+/=\s\\:,.()-])*")
_MATERIAL: Final = re.compile(r"[A-Za-z0-9+/=]{40}")
_MARKER_CHARACTERS_MAX: Final = 80


def told(kind: str) -> str:
    """Return what is said in the place of a credential."""
    return f"[redacted: {kind}]"


def keys_in(text: str) -> list[tuple[int, int]]:
    """Return where private keys stand in a text, without their first and last lines."""
    places = []
    for begin in _BEGIN.finditer(text):
        body = _BODY.match(text, begin.end())
        end = begin.end() if body is None else body.end()
        if _MATERIAL.search(text, begin.end(), min(end, begin.end() + MATERIAL_CHARACTERS)):
            places.append((begin.end(), end))
    return places


class Seen:
    """Takes hidden text out, which may spell a flag: it is judged when it is over."""

    def __init__(self) -> None:
        """Hold nothing back."""
        self._held = ""

    def push(self, text: str, *, is_last: bool = False) -> str:
        """Take some more text, and return what can be told by now."""
        text = self._held + text
        end = len(text) if is_last else begin_of_open(text)
        self._held = text[end:]
        return without_hidden(text[:end])


class KeyBlocks:
    """Takes out what stands between the first and the last line of a private key."""

    def __init__(self) -> None:
        """Begin outside of any."""
        self._held = ""
        self._inside = False
        self._is_key = False

    def push(self, text: str, *, is_last: bool = False) -> str:
        """Take some more text, and return what can be told by now."""
        self._held += text
        parts: list[str] = []
        while self._inside or _BEGIN.search(self._held):
            if not self._inside:
                begin = _BEGIN.search(self._held)
                assert begin is not None
                parts.append(self._held[: begin.end()])
                self._held = self._held[begin.end() :]
                self._inside, self._is_key = True, False
            if not self._read_body(parts, is_last=is_last):
                return "".join(parts)
        keep = len(self._held) if is_last else self._marker()
        parts.append(self._held[:keep])
        self._held = self._held[keep:]
        return "".join(parts)

    def _read_body(self, parts: list[str], *, is_last: bool) -> bool:
        """Read on within a block; False: more has to come before it is known what it is."""
        body = _BODY.match(self._held)
        end = body.end() if body is not None else 0
        is_over = is_last or end + 4 < len(self._held) or not self._held[end:].startswith("-")
        is_over = is_over and (is_last or end < len(self._held))
        if not is_over:
            # Dashes at the end may begin the last line.
            end = len(self._held.rstrip("-")) if end == len(self._held) else end
        if not self._is_key and _MATERIAL.search(self._held, 0, min(end, MATERIAL_CHARACTERS)):
            self._is_key = True
            parts.append(told("private key"))
        if self._is_key:
            self._held = self._held[end:]
        elif is_over or end >= MATERIAL_CHARACTERS:
            end = min(end, MATERIAL_CHARACTERS)
            parts.append(self._held[:end])
            self._held = self._held[end:]
            self._inside = False
            return True
        self._inside = not is_over
        return is_over

    def _marker(self) -> int:
        """Return from where on the text may be the beginning of a block's first line."""
        at = self._held.rfind("-----")
        if at >= 0 and len(self._held) - at <= _MARKER_CHARACTERS_MAX and "\n" not in self._held[at:]:
            return at
        return len(self._held.rstrip("-"))


class Words:
    """Takes out all other credentials."""

    def __init__(self, find: Find = find) -> None:
        """Begin with nothing."""
        self._find = find
        self._line = ""
        self._told = 0
        """So much of the line's part has been told."""
        self._is_open = False
        """True: a credential went on to the end of a part, in the middle of a word."""

    def push(self, text: str, *, is_last: bool = False) -> str:
        """Take some more text, and return what can be told by now."""
        self._line += text
        parts: list[str] = []
        begin = 0
        while (part := _PART.match(self._line, begin)) is not None:
            parts.append(self._read(self._line[begin : part.end()], is_whole=True))
            begin, self._told = part.end(), 0
        self._line = self._line[begin:]
        end = len(self._line) if is_last else self._words()
        if end > self._told:
            parts.append(self._read(self._line[:end], is_whole=False))
            self._told = end
        return "".join(parts)

    def _words(self) -> int:
        """Return up to where the words of the line are whole."""
        for at in range(len(self._line) - 1, self._told - 1, -1):
            if _WORD_END.match(self._line, at):
                return at + 1
        return self._told

    def _read(self, line: str, *, is_whole: bool) -> str:
        begin = self._told
        if self._is_open:
            rest = _IN_WORD.match(line, begin)
            begin = begin if rest is None else rest.end()
            self._is_open = begin == len(line)
        parts = []
        for span in self._find(line):
            if span.start >= begin:
                parts += [line[begin : span.start], told(span.kind)]
                begin = span.end
        if is_whole and begin == len(line) > self._told and not _WORD_END.match(line, len(line) - 1):
            self._is_open = True
        return "".join([*parts, line[begin:]])


class Pieces:
    """Takes credentials and hidden text out of one text that comes in pieces."""

    def __init__(self, find: Find = find, *, is_file: bool = False) -> None:
        """Begin with nothing.

        Args:
            find: tells where credentials are, within words.
            is_file: what is hidden in the text stays.
        """
        self._seen = None if is_file else Seen()
        self._blocks = KeyBlocks()
        self._words = Words(find)

    def push(self, text: str) -> str:
        """Take some more text, and return what can be told by now; it may be nothing."""
        return self._words.push(self._blocks.push(text if self._seen is None else self._seen.push(text)))

    def finish(self) -> str:
        """Return the rest."""
        rest = "" if self._seen is None else self._seen.push("", is_last=True)
        return self._words.push(self._blocks.push(rest, is_last=True), is_last=True)
