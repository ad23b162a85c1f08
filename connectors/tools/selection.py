"""Choice of the passages of a text that fit a number of tokens, for an analysis of the whole."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.retrieval.passages import split

GAP: Final = "\n\n[…]\n\n"
GAP_TOKENS: Final = 6
"""What a gap adds at most."""

_FACT = re.compile(r"\d|(?<=[a-z,;] )[A-Z][a-z]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is read of a text."""

    text: str
    """The chosen passages in their order; what was left out between them is marked."""
    tokens_total: int
    """Of the whole text."""
    tokens_analysed: int
    passages_total: int
    passages_analysed: int


def select(content: str, kind: str, tokens_max: int, count: Callable[[str], int]) -> Selection:
    """Return as much of `content` as `tokens_max` allows: all of it, or passages spread over it.

    For facts, the passages with most numbers and names come first; for all else the first, the last, and
    evenly spread ones between.

    Args:
        count: counts the tokens of a text.
    """
    total = count(content)
    if total <= tokens_max:
        return Selection(
            text=content, tokens_total=total, tokens_analysed=total, passages_total=1, passages_analysed=1
        )
    passages = split(content, count)
    order = (
        _by_facts([passage.text for passage in passages])
        if kind == "extract_facts"
        else _spread(len(passages))
    )
    chosen: list[int] = []
    left = tokens_max
    for place in order:
        size = passages[place].tokens + GAP_TOKENS
        if size <= left:
            chosen.append(place)
            left -= size
    text = _joined([passages[place].text for place in sorted(chosen)], sorted(chosen))
    while chosen and count(text) > tokens_max:  # joints may count for more than was set aside
        chosen.pop()
        text = _joined([passages[place].text for place in sorted(chosen)], sorted(chosen))
    if not chosen:
        text = _beginning(content, tokens_max, count)
    # Passages repeat their headings: they must not seem to be more than the whole.
    analysed = min(count(text), total)
    return Selection(
        text=text,
        tokens_total=total,
        tokens_analysed=analysed,
        passages_total=len(passages),
        passages_analysed=len(chosen) or 1,
    )


def _spread(count: int) -> list[int]:
    """Return all places so that every beginning of the list is spread evenly: ends, middle, quarters."""
    order: dict[int, None] = dict.fromkeys([0, count - 1] if count > 1 else range(count))
    parts = 2
    while len(order) < count:
        for numerator in range(1, parts, 2):
            order.setdefault(numerator * (count - 1) // parts)
        parts *= 2
        if parts > 4 * count:
            order |= dict.fromkeys(place for place in range(count) if place not in order)
    return list(order)


def _by_facts(texts: list[str]) -> list[int]:
    density = [len(_FACT.findall(text)) / (len(text) + 100) for text in texts]
    return sorted(range(len(texts)), key=lambda place: (-density[place], place))


def _joined(texts: list[str], places: list[int]) -> str:
    parts: list[str] = []
    for index, text in enumerate(texts):
        if index:
            parts.append("\n\n" if places[index] == places[index - 1] + 1 else GAP)
        parts.append(text)
    return "".join(parts)


def _beginning(content: str, tokens_max: int, count: Callable[[str], int]) -> str:
    """Return a beginning of at most `tokens_max` tokens."""
    text = content[: tokens_max * 8]
    while count(text) > tokens_max:
        text = text[: max(1, len(text) * tokens_max // (count(text) + 1))]
    return text
