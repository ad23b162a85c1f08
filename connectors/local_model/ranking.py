"""Ranking of sentences: which of them say most about a query, or about the whole text."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.text.words import stems, without_citations

LIKENESS_MAX = 0.6
"""Two sentences that share more of their stems than this say the same."""
SHARE_OF_BEST_MIN = 0.25
WORDS_MIN = 4
"""A shorter sentence is a heading or a label, and is quoted only when nothing else is there."""
WORDS_USUAL = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A sentence with its place and its score."""

    index: int
    text: str
    score: float


def best(sentences: Sequence[str], query: str, count: int) -> list[Ranked]:
    """Return up to `count` sentences that fit `query` best, in their original order, without repeats.

    Falls back to the most central sentences when none shares a word with the query.
    """
    bags = [frozenset(stems(without_citations(sentence))) for sentence in sentences]
    wanted = set(stems(query))
    rarity = _rarity(bags)
    scores = [_fit(bag, wanted, rarity) for bag in bags]
    if not any(scores):
        return central(sentences, count)
    # What fits far worse than the best says something else.
    least = SHARE_OF_BEST_MIN * max(scores)
    return _choose(sentences, bags, [score if score >= least else 0.0 for score in scores], count)


def central(sentences: Sequence[str], count: int) -> list[Ranked]:
    """Return up to `count` sentences that hold most of the text's frequent words, in their original order."""
    listed = [stems(without_citations(sentence)) for sentence in sentences]
    frequency = Counter(word for bag in listed for word in set(bag))
    bags = [frozenset(bag) for bag in listed]
    scores = []
    for index, bag in enumerate(bags):
        weight = sum(math.log1p(frequency[word]) for word in sorted(bag) if frequency[word] > 1)
        early = 1.2 if index < max(2, len(bags) // 10) else 1.0
        scores.append(early * (weight + 0.01) / math.sqrt(len(bag) + 4) * _length_factor(len(bag)))
    return _choose(sentences, bags, scores, count)


def _rarity(bags: Sequence[frozenset[str]]) -> dict[str, float]:
    frequency = Counter(word for bag in bags for word in bag)
    return {word: math.log(1 + len(bags) / seen) for word, seen in frequency.items()}


def _fit(bag: frozenset[str], wanted: set[str], rarity: dict[str, float]) -> float:
    shared = bag & wanted
    if not shared:
        return 0.0
    # Summed in a fixed order: the order of a set of strings differs between processes, and so would the sum.
    weight = sum(rarity[word] for word in sorted(shared))
    return weight * (1 + len(shared)) / math.sqrt(len(bag) + 6) * _length_factor(len(bag))


def _length_factor(count: int) -> float:
    if count < WORDS_MIN:
        return 0.25
    return 1.0 if count <= 2 * WORDS_USUAL else 0.8


def _choose(
    sentences: Sequence[str], bags: Sequence[frozenset[str]], scores: Sequence[float], count: int
) -> list[Ranked]:
    order = sorted(range(len(sentences)), key=lambda index: (-round(scores[index], 9), index))
    chosen: list[int] = []
    for index in order:
        if len(chosen) >= count or scores[index] <= 0:
            break
        if all(_likeness(bags[index], bags[other]) <= LIKENESS_MAX for other in chosen):
            chosen.append(index)
    return [Ranked(index=index, text=sentences[index], score=scores[index]) for index in sorted(chosen)]


def _likeness(left: frozenset[str], right: frozenset[str]) -> float:
    smaller = min(len(left), len(right))
    return len(left & right) / smaller if smaller else 1.0
