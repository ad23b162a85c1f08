"""Splitting of a text into passages: at headings and paragraphs, each of about 300 tokens."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

TOKENS_AIM: Final = 300
TOKENS_MAX: Final = 450
"""No passage is longer; a single paragraph that is gets cut between sentences, or else between words."""
SPLITTER_VERSION: Final = "1"
"""Goes into the hash of a document: a new way to split makes all passages anew."""

_HEADING = re.compile(r"^\s{0,3}(#{1,6})\s+(.+?)\s*#*\s*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_KEPT_CONTROLS: Final = frozenset("\n\t")

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document."""

    ordinal: int
    """1, 2, 3 … within the document."""
    text: str
    """Begins with the headings above it, so that it can be understood alone."""
    tokens: int


def split(text: str, count: Count) -> list[Passage]:
    """Split `text` into passages in order; a blank text has none.

    Args:
        count: counts the tokens of a text.
    """
    passages: list[Passage] = []
    for headings, paragraphs in _sections(cleaned(text)):
        title = " › ".join(headings)
        for piece in _packed(paragraphs, count, TOKENS_AIM - min(count(title), TOKENS_AIM // 3)):
            body = f"{title}\n\n{piece}" if title else piece
            passages.append(Passage(ordinal=len(passages) + 1, text=body, tokens=count(body)))
    return passages


def cleaned(text: str) -> str:
    """Return `text` without what nobody sees: control characters, marks of direction, tags.

    Text from outside may hide orders to a model in them; and a database takes no NUL.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        for character in text
        if character in _KEPT_CONTROLS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )


def _sections(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the headings above each section with its paragraphs; fenced code stays one paragraph."""
    headings: dict[int, str] = {}
    paragraphs: list[str] = []
    lines: list[str] = []
    fence = ""

    def end_paragraph() -> None:
        if any(line.strip() for line in lines):
            paragraphs.append("\n".join(lines).strip("\n"))
        lines.clear()

    for line in text.split("\n"):
        marker = line.lstrip()[:3]
        if marker in ("```", "~~~") and (not fence or marker == fence):
            fence = "" if fence else marker
            lines.append(line)
            continue
        heading = None if fence else _HEADING.match(line)
        if heading:
            end_paragraph()
            if paragraphs:
                yield [headings[level] for level in sorted(headings)], paragraphs
                paragraphs = []
            level = len(heading.group(1))
            headings = {other: title for other, title in headings.items() if other < level}
            headings[level] = heading.group(2)[:200]
        elif not fence and not line.strip():
            end_paragraph()
        else:
            lines.append(line)
    end_paragraph()
    if paragraphs:
        yield [headings[level] for level in sorted(headings)], paragraphs


def _packed(paragraphs: list[str], count: Count, tokens_aim: int) -> Iterator[str]:
    """Join neighbouring paragraphs up to the aimed size."""
    kept: list[str] = []
    tokens = 0
    for piece in (piece for paragraph in paragraphs for piece in _bounded(paragraph, count, tokens_aim)):
        size = count(piece) + 1
        if kept and tokens + size > tokens_aim:
            yield "\n\n".join(kept)
            kept, tokens = [], 0
        kept.append(piece)
        tokens += size
    if kept:
        yield "\n\n".join(kept)


def _bounded(paragraph: str, count: Count, tokens_aim: int) -> Iterator[str]:
    """Cut a paragraph that is too long: between lines, sentences, words, and last of all anywhere."""
    if count(paragraph) <= tokens_aim:
        yield paragraph
        return
    for separator, joint in ((re.compile(r"\n"), "\n"), (_SENTENCE, " "), (re.compile(r"\s+"), " ")):
        parts = [part for part in separator.split(paragraph) if part]
        if len(parts) > 1:
            yield from _joined(parts, joint, count, tokens_aim)
            return
    middle = len(paragraph) // 2
    yield from _bounded(paragraph[:middle], count, tokens_aim)
    yield from _bounded(paragraph[middle:], count, tokens_aim)


def _joined(parts: list[str], joint: str, count: Count, tokens_aim: int) -> Iterator[str]:
    kept: list[str] = []
    tokens = 0
    for part in parts:
        size = count(part) + 1
        if kept and tokens + size > tokens_aim:
            yield joint.join(kept)
            kept, tokens = [], 0
        if size > tokens_aim:
            yield from _bounded(part, count, tokens_aim)
            continue
        kept.append(part)
        tokens += size
    if kept:
        yield joint.join(kept)
