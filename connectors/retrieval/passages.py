"""Splitting of a text into passages: at headings and paragraphs, each of about 300 tokens."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

TOKENS_AIM: Final = 300
TOKENS_MAX: Final = 450
"""No passage is longer; a single paragraph that is gets cut between sentences, or else between words."""
TITLE_TOKENS_MAX: Final = 100
"""Of the headings above a passage together; longer ones are text, and begin no passage."""
HEADING_CHARACTERS_MAX: Final = 200
"""A longer line is text, whatever it begins with."""
SPLITTER_VERSION: Final = "3"
"""Stored with each passage, and part of a document's hash: a new way to split means that an ingest is due."""

_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(\S.*?)(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r"^\s*(`{3,}(?=[^`]*$)|~{3,})(.*)$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_KEPT_CONTROLS: Final = frozenset("\n\t")
# All that ends a line or page somewhere; to drop them would glue two words together.
_LINE_ENDS: Final = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")

_JOINERS: Final = "\u200c\u200d"
# Joiners in a row, and those that stand beside a space or ASCII: none of these joins anything.
_STRAY_JOINERS: Final = re.compile(
    "[\u200c\u200d]{2,}|(?<![^\x00-\x7f\\s])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\\s])"
)

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A piece of a document."""

    ordinal: int
    """1, 2, 3 … within the document."""
    text: str
    """Begins with the headings above it, so that it can be understood alone."""
    tokens: int


def split(text: str, count: Count, *, is_markdown: bool = True) -> list[Passage]:
    """Split `text` into passages in order; a blank text has none, and every word is in one of them.

    Args:
        count: counts the tokens of a text.
        is_markdown: whether `#` begins a heading and a fence encloses code.
    """
    passages: list[Passage] = []
    whole = cleaned(text)
    sections = _sections(_blocks(whole)) if is_markdown else [_Section([], _paragraphs(whole))]
    for section in sections:
        title, paragraphs = " › ".join(section.headings), section.paragraphs
        if count(title) > TITLE_TOKENS_MAX:
            title, paragraphs = "", [*section.headings, *paragraphs]
        for piece in _packed(paragraphs, count, TOKENS_AIM - count(title)):
            body = f"{title}\n\n{piece}" if title else piece
            passages.append(Passage(ordinal=len(passages) + 1, text=body, tokens=count(body)))
    return passages


def cleaned(text: str) -> str:
    """Return `text` without what nobody sees: control characters, marks of direction, tags.

    Text from outside may hide orders to a model in them; and a database takes no NUL. All that ends a line
    becomes a line end. A joiner stays where it joins or parts what scripts and emoji write; several in a row
    would spell something else.
    """
    if text.isascii() and text.isprintable():
        return text
    kept = "".join(
        character
        for character in _LINE_ENDS.sub("\n", text)
        if character in _KEPT_CONTROLS
        or character in _JOINERS
        or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")
    )
    return _STRAY_JOINERS.sub("", kept)


@dataclass(frozen=True, slots=True)
class _Heading:
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class _Section:
    headings: list[str]
    """Those above it, the highest first."""
    paragraphs: list[str]


def _paragraphs(text: str) -> list[str]:
    return [part.strip("\n") for part in re.split(r"\n[^\S\n]*(?=\n)", text) if part.strip()]


def _blocks(text: str) -> list[_Heading | str]:
    """Take Markdown apart into headings and paragraphs; fenced code stays one paragraph."""
    blocks: list[_Heading | str] = []
    lines: list[str] = []
    fence = ""

    def end_paragraph() -> None:
        if any(line.strip() for line in lines):
            blocks.append("\n".join(lines).strip("\n"))
        lines.clear()

    for line in text.split("\n"):
        marker = _FENCE.match(line)
        heading = None if fence else _HEADING.match(line)
        if fence:
            # As long as the one that opened it or longer, and nothing behind it.
            if marker and marker[1].startswith(fence) and not marker[2].strip():
                fence = ""
            lines.append(line)
        elif marker:
            fence = marker[1]
            lines.append(line)
        elif heading and len(heading[2]) <= HEADING_CHARACTERS_MAX:
            end_paragraph()
            blocks.append(_Heading(len(heading[1]), heading[2]))
        elif not line.strip():
            end_paragraph()
        else:
            lines.append(line)
    end_paragraph()
    return blocks


def _sections(blocks: list[_Heading | str]) -> list[_Section]:
    """Put each paragraph below its headings; a heading with nothing below it counts as a paragraph."""
    sections: list[_Section] = []
    above: list[_Heading] = []
    for block, following in zip_longest(blocks, blocks[1:]):
        if isinstance(block, _Heading):
            above = [heading for heading in above if heading.level < block.level]
            is_alone = following is None or (
                isinstance(following, _Heading) and following.level <= block.level
            )
            if not is_alone:
                above.append(block)
                continue
        titles = [heading.title for heading in above]
        if not sections or sections[-1].headings != titles:
            sections.append(_Section(titles, []))
        sections[-1].paragraphs.append(block.title if isinstance(block, _Heading) else block)
    return sections


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
    paragraph = paragraph.strip()
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
