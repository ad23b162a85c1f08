"""Finds credentials in a text: where each stands, and what kind it is."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

import re2  # type: ignore[import-untyped]  # it ships no types

from processors.redaction.kinds import BY_PLACE, BY_SHAPE, Kind
from processors.redaction.likeness import is_filled_in, is_secret

WORD_ENDS: Final = "\\s\"'<>{}()\\[\\],;|`\\\\"
"""Characters, as of a regular expression's class, that stand in no credential but a private key."""
_MEMORY_BYTES_MAX: Final = 64 * 1024 * 1024
# What may stand right before one: an escape ends in a letter or a digit, and is no part of it.
_BEFORE: Final = r"(?:\b|\\[nrtf]|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,20}m)"
_REST: Final = re.compile(f"[^{WORD_ENDS}]+")
_REST_OF_PARAMETER: Final = re.compile(f"[^&#{WORD_ENDS}]+")
_JUDGED_BEYOND: Final = 64
"""Of a value that goes on so much is looked at, so that many in a row take no longer than one."""
_BY_NAME: Final = (("pass", "password"), ("pwd", "password"), ("key", "key"), ("token", "token"))


class Span(NamedTuple):
    """A credential in a text."""

    start: int
    end: int
    """Behind its last character."""
    kind: str


class Candidate(NamedTuple):
    """What looks like a credential."""

    kind: Kind
    text: str
    """All of it that it stands in."""
    begin: int
    """Of what names it."""
    start: int
    end: int
    name: str
    """Under which it stands; empty: it has none."""


Judge = Callable[[Candidate], Span | None]
"""Says what a candidate is; None: no credential."""


class _Table:
    """All patterns of a table as one, which is searched in time that is linear in the text."""

    def __init__(self, kinds: tuple[Kind, ...], before: str, judge: Judge) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = _MEMORY_BYTES_MAX
        self._judge = judge
        self._kinds: list[tuple[Kind, re.Pattern[bytes], re.Pattern[bytes]]] = []
        parts = []
        for kind in kinds:
            for pattern in kind.patterns:
                whole = pattern if "(?P<secret>" in pattern else f"(?P<secret>{pattern})"
                one = re2.compile((before + whole).encode("latin-1"), options)
                self._kinds.append((kind, one, re.compile(kind.ends.encode())))
                parts.append(before + whole.replace("(?P<secret>", "(?:").replace("(?P<name>", "(?:"))
        # All at once they are found quickly where they are not told apart; few texts have any.
        self._any = re2.compile("|".join(parts).encode("latin-1"), options)

    def search(self, data: bytes) -> bool:
        """Tell whether anything looks like one."""
        return self._any.search(data) is not None

    def spans(self, text: str, data: bytes) -> list[Span]:
        """Return what is one, from left to right."""
        spans, position = [], 0
        while (somewhere := self._any.search(data, position)) is not None:
            begin = somewhere.start()
            kind, found, ends = next(
                (kind, found, ends)
                for kind, one, ends in self._kinds
                if (found := one.match(data, begin)) is not None
            )
            # The credential's group is the last; the name's, where there is one, is before it.
            start, end = found.span(found.re.groups)
            span = None
            if ends.match(data, end) is None:
                name = found[1] if found.re.groups > 1 else b""
                span = self._judge(Candidate(kind, text, begin, start, end, name.decode("latin-1")))
            if span is not None:
                spans.append(span)
            # What is none may hide one that begins within it.
            position = max(start, begin + 1) if span is None else span.end
        return spans


def _shape(one: Candidate) -> Span | None:
    return None if is_filled_in(one.text[one.start : one.end]) else Span(one.start, one.end, one.kind.name)


def _place(one: Candidate) -> Span | None:
    told, end = one.kind.name, one.end
    rest = None
    if not told:
        told = next((told for part, told in _BY_NAME if part in one.name.lower()), "secret")
        # Of an address's query the value ends with its parameter; else with the word.
        rest = _REST if one.text[one.start - 1] in "\"'`" else _REST_OF_PARAMETER
        found = rest.match(one.text, one.start, end + _JUDGED_BEYOND)
        end = one.end if found is None else found.end()
    if not is_secret(told, one.text[one.begin : one.start], one.text[one.start : end]):
        return None
    if rest is not None:
        found = rest.match(one.text, one.start)
        end = end if found is None else found.end()
        behind = one.text[end : end + 1]
        # What is quoted and goes on behind a blank is a sentence; what is not, and opens a bracket, is code.
        if behind.isspace() if rest is _REST else behind in ("(", "["):
            return None
    return Span(one.start, end, told)


_SHAPES: Final = _Table(BY_SHAPE, _BEFORE, _shape)
_SHAPES_ANYWHERE: Final = _Table(BY_SHAPE, "", _shape)
_PLACES: Final = _Table(BY_PLACE, "", _place)


def find(text: str) -> list[Span]:
    """Return the credentials of a text, from left to right; none overlaps another."""
    data = bytes_of(text)
    shapes = _SHAPES.spans(text, data)
    return merged(shapes, _PLACES.spans(text, data))


def find_in_bytes(data: bytes) -> list[Span]:
    """Return the credentials of bytes of any kind, where a letter may stand right before one."""
    text = data.decode("latin-1")
    return merged(_SHAPES_ANYWHERE.spans(text, data), _PLACES.spans(text, data))


def may_have(text: str) -> bool:
    """Tell whether a text may have credentials; most have none, and this is quick."""
    data = bytes_of(text)
    return _SHAPES.search(data) or _PLACES.search(data)


def bytes_of(text: str) -> bytes:
    """Return a text as one byte a character, for credentials are ASCII and places must stay."""
    return text.encode("latin-1", "replace")


def merged(*found: list[Span]) -> list[Span]:
    """Return spans of several searches from left to right; where two overlap, the first's kind is told."""
    spans: list[Span] = []
    ranked = [(span, rank) for rank, some in enumerate(found) for span in some]
    for span, _ in sorted(ranked, key=lambda one: (one[0].start, one[1], -one[0].end)):
        if spans and span.start < spans[-1].end:
            spans[-1] = spans[-1]._replace(end=max(span.end, spans[-1].end))
        else:
            spans.append(span)
    return spans
