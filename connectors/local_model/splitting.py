"""Splitting of a request into the pieces of work that it asks for, and what each waits for."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.local_model.intents import is_imperative
from connectors.text.words import sentences, stems

DEPTH_MAX: Final = 7
"""A longer chain has its last pieces joined into one."""
PIECES_MAX: Final = 12
"""A longer request has its last pieces joined into one."""
INTENT_CHARACTERS_MAX: Final = 1_500

_ITEM = re.compile(r"^(\s*)(?:\d{1,2}[.)]|[-*•]|\(?[a-h]\))\s+(.+)$")
_INLINE_NUMBER = re.compile(r"(?:(?<=\s)|\A)\(?\d{1,2}[.)]\s+(?=\S)")
_CONNECTOR = re.compile(
    r"(?:[,;]?\s+and\s+then\s+|[,;]?\s+then\s+|[,;]?\s+and\s+finally,?\s+|[,;]\s*finally,?\s+|"
    r"[,;]?\s+(?:and\s+)?after\s+that,?\s+|[,;]?\s+(?:and\s+)?afterwards,?\s+|[,;]\s*next,?\s+)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?:;\s+|,\s+and\s+|,\s+|\s+and\s+)(?=([A-Za-z]+)\b)")
_BEFORE = re.compile(
    r"\A(.+?),?\s+before\s+(?:you\s+|we\s+)?([a-z]+?)(ing)?\b(.*)\Z", re.IGNORECASE | re.DOTALL
)
_SEQUEL = re.compile(
    r"\A(?:and\s+)?(?:then|next|after(?:wards| that| this| which)|thereafter|subsequently)\b[,:]?\s*",
    re.IGNORECASE,
)
_LAST = re.compile(
    r"\A(?:and\s+)?(?:finally|lastly|at last|in the end|to conclude|last)\b[,:]?\s*", re.IGNORECASE
)
_FIRST = re.compile(
    r"\A(?:first(?:ly)?|to begin with|please|second(?:ly)?|third(?:ly)?|also)\b[,:]?\s*", re.IGNORECASE
)
_RESTS_ON_ALL = re.compile(
    r"\b(?:based on (?:that|this|these|those|all|both|the|them|it|your)|"
    r"from (?:these|those|all|both|the results|the findings|the above)|"
    r"using (?:these|those|all|both|the results|the findings|them)|with (?:these|those|all "
    r"(?:of )?(?:this|that|these)|the results|the findings)|the (?:results|findings|above|answers|analyses)|"
    r"all (?:of )?(?:this|that|these|them)|both|the (?:two|three|four|others?)|"
    r"your (?:results|findings|analysis|research))\b",
    re.IGNORECASE,
)
_RESTS_ON_PREVIOUS = re.compile(
    r"\b(?:it|them|that (?:text|draft|report|summary|list|answer|result)|"
    r"this (?:text|draft|report|summary|list|answer|result)|"
    r"the (?:text|draft|report|memo|letter|e-?mail|essay|summary|list|result|finding|answer|comparison))\b",
    re.IGNORECASE,
)
_REFINES = re.compile(
    r"\A(?:refine|improve|polish|revise|shorten|rephrase|rewrite|tighten|edit|proofread|review)\b",
    re.IGNORECASE,
)
_COMPOSES = re.compile(
    r"\A(?:write|draft|compose|combine|merge|prepare|put together|recommend|conclude|outline)\b",
    re.IGNORECASE,
)
_REPORTS = re.compile(
    r"\A(?:tell|show|give|report|send)\s+(?:me|us|back)?\s*(?:the |your )?"
    r"(?:results?|answers?|findings|outcome)\W*\Z",
    re.IGNORECASE,
)
"""What every task does anyway."""
_COMPARE = re.compile(
    r"\A(?:please\s+)?(?:compare|contrast|compare and contrast)\s+(?:the\s+)?(.+?)\s+"
    r"(?:and|with|to|against|versus|vs\.?)\s+(?:the\s+)?(.+?)\s*[.?!]?\Z",
    re.IGNORECASE | re.DOTALL,
)
_DIFFERENCE = re.compile(
    r"\A(?:what (?:is|are) (?:the )?|explain (?:the )?|describe (?:the )?)?"
    r"differences? between\s+(.+?)\s+and\s+(.+?)\s*[.?!]?\Z",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of work."""

    intent: str
    after: tuple[int, ...] = ()
    """Places of the pieces whose results it needs."""
    refines: int | None = None
    blocks: tuple[int, ...] = ()
    """Places of the pieces that must wait for it."""
    parent: int | None = None
    optional: bool = False


def split_request(request: str) -> list[Piece]:
    """Split `request` into pieces, at most PIECES_MAX, in its own order; at least one."""
    texts = [text for text in _texts(request) if stems(text) or text.strip()]
    texts = _join_tail([_clip(text) for text in texts]) or [_clip(request.strip()) or "Answer the request"]
    pieces: list[Piece] = []
    for text in texts:
        _append(pieces, text)
    return pieces


def _texts(request: str) -> Iterator[str]:
    """Yield clauses with their connecting words, so that what follows can tell their order."""
    lines = request.splitlines()
    items = [match for line in lines if (match := _ITEM.match(line))]
    if len(items) < 2:
        inline = [part.strip(" ,;") for part in _INLINE_NUMBER.split(request)]
        if len(inline) >= 3 and all(inline[1:]):
            preamble = "" if inline[0].endswith(":") or not _asks(inline[0]) else inline[0]
            yield from ([preamble] if preamble else []) + inline[1:]
            return
        yield from _prose(request)
        return
    prose: list[str] = []
    for line in lines:
        item = _ITEM.match(line)
        if item is None:
            prose.append(line)
            continue
        yield from _prose_beside_list("\n".join(prose))
        prose = []
        yield item.group(2).strip()
    yield from _prose_beside_list("\n".join(prose))


def _prose_beside_list(text: str) -> Iterator[str]:
    """Yield the clauses of text before, between or after list items, without its introductions."""
    for clause in _prose(text):
        if not clause.endswith(":") and _asks(clause):
            yield clause


def _prose(text: str) -> Iterator[str]:
    context: list[str] = []
    for sentence in sentences(text):
        clauses = list(_clauses(sentence))
        if len(clauses) == 1 and not _asks(clauses[0]):
            # A statement asks for nothing: it goes with what is asked next, or with nothing else at all.
            context.append(clauses[0])
            continue
        if context:
            clauses[0] = f"{clauses[0]} ({' '.join(context)})" if len(" ".join(context)) < 400 else clauses[0]
            context = []
        yield from clauses
    if context:
        yield " ".join(context)


def _clauses(sentence: str) -> Iterator[str]:
    parts = _split_keeping(sentence, _CONNECTOR)
    for part in parts:
        start = 0
        for match in _CLAUSE.finditer(part):
            if is_imperative(match.group(1)) and _asks(part[start : match.start()]):
                yield part[start : match.start()].strip()
                start = match.end()
        rest = part[start:].strip()
        if rest:
            yield rest


def _split_keeping(sentence: str, pattern: re.Pattern[str]) -> list[str]:
    """Split at connectors whose right side asks for something, and leave their word on that side."""
    parts: list[str] = []
    start = 0
    word = ""
    for match in pattern.finditer(sentence):
        following = sentence[match.end() :].split(None, 1)
        if not following or not (is_imperative(following[0]) or _asks(sentence[match.end() :])):
            continue
        parts.append(f"{word}{sentence[start : match.start()].strip()}")
        word = "finally " if "finally" in match.group().lower() else "then "
        start = match.end()
    parts.append(f"{word}{sentence[start:].strip()}")
    return [part for part in parts if part.strip()]


def _asks(text: str) -> bool:
    bare = _SEQUEL.sub("", _LAST.sub("", _FIRST.sub("", text.strip())))
    first = bare.split(None, 1)[0].lower().strip(",:;'\"") if bare.split() else ""
    if text.rstrip().endswith("?") or is_imperative(first):
        return True
    return bool(
        re.match(
            r"(?:what|which|who|when|where|why|how|do|does|is|are|can|could|would|should|"
            r"i (?:want|need|would like)|we (?:want|need)|let's|help|give|based on|using|from|with|after|"
            r"before|if)\b",
            bare,
            re.IGNORECASE,
        )
    )


def _append(pieces: list[Piece], text: str) -> None:
    sequel, last = bool(_SEQUEL.match(text)), bool(_LAST.match(text))
    intent = _capital(_FIRST.sub("", _SEQUEL.sub("", _LAST.sub("", text.strip()))).strip() or text.strip())
    before = _BEFORE.match(intent) if not intent.endswith("?") else None
    if before and is_imperative(_verb(before.group(2))):
        place = len(pieces)
        second = _capital(f"{_verb(before.group(2))}{before.group(4)}")
        pieces.append(Piece(intent=_capital(before.group(1)), after=_needs(pieces, intent, sequel, last)))
        pieces.append(Piece(intent=second))
        pieces[place] = replace(pieces[place], blocks=(place + 1,))
        return
    compared = _COMPARE.match(intent) or _DIFFERENCE.match(intent)
    after = _needs(pieces, intent, sequel, last)
    if compared and not after and not any("attachment:" in side for side in compared.groups()):
        place = len(pieces)
        for side in compared.groups():
            pieces.append(Piece(intent=f"Find out about {side.strip()}", parent=place + 2))
        pieces.append(Piece(intent=intent, after=(place, place + 1)))
        return
    if pieces and _REPORTS.match(intent):
        return
    if after and _depth(pieces, after) >= DEPTH_MAX:
        pieces[-1] = replace(pieces[-1], intent=_clip(f"{pieces[-1].intent.rstrip('.')}; then {intent}"))
        return
    refines = len(pieces) - 1 if pieces and _REFINES.match(intent) else None
    optional = bool(re.search(r"\b(?:if possible|optionally|if you can)\b", intent, re.IGNORECASE))
    pieces.append(Piece(intent=intent, after=after, refines=refines, optional=optional))


def _needs(pieces: Sequence[Piece], intent: str, sequel: bool, last: bool) -> tuple[int, ...]:
    """Return the pieces whose results this one needs: the one before, or all that nothing needs yet."""
    if not pieces:
        return ()
    if last or _RESTS_ON_ALL.search(intent) or _COMPOSES.match(intent):
        # A task sees the results of those it waits for and no others, so the chain behind them is not enough.
        return tuple(place for place, piece in enumerate(pieces) if piece.parent is None)
    if sequel or _REFINES.match(intent) or _RESTS_ON_PREVIOUS.search(intent):
        return (len(pieces) - 1,)
    return ()


def _depth(pieces: Sequence[Piece], after: Sequence[int]) -> int:
    """Return how many pieces the longest chain behind `after` has."""
    depths: list[int] = []
    for place, piece in enumerate(pieces):
        waits = (*piece.after, *(other for other in range(place) if place in pieces[other].blocks))
        depths.append(1 + max((depths[other] for other in waits), default=0))
    return max(depths[place] for place in after)


def _verb(word: str) -> str:
    """Return the plain form of a verb whose -ing was cut off: writ → write, summaris → summarise."""
    for form in (word, f"{word}e", word[:-1]):
        if is_imperative(form):
            return form
    return word


def _join_tail(texts: list[str]) -> list[str]:
    if len(texts) <= PIECES_MAX:
        return texts
    return [*texts[: PIECES_MAX - 1], _clip("; ".join(texts[PIECES_MAX - 1 :]))]


def _clip(text: str) -> str:
    return text if len(text) <= INTENT_CHARACTERS_MAX else text[: INTENT_CHARACTERS_MAX - 1].rstrip() + "…"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
