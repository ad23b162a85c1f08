"""Likeness of words: BM25 of the texts among which something is looked for."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

BM25_K1: Final = 1.2
BM25_B: Final = 0.75


def bm25(wanted: set[str], bags: Sequence[Counter[str]]) -> list[float]:
    """Return how well each bag of words fits the wanted words; rarity is counted among the bags."""
    lengths = [bag.total() for bag in bags]
    average = sum(lengths) / len(lengths) if any(lengths) else 1.0
    rarity = {
        word: math.log(1 + (len(bags) - seen + 0.5) / (seen + 0.5))
        for word in sorted(wanted)
        if (seen := sum(word in bag for bag in bags))
    }
    scores: list[float] = []
    for bag, length in zip(bags, lengths, strict=True):
        norm = BM25_K1 * (1 - BM25_B + BM25_B * length / average)
        scores.append(
            sum(weight * bag[word] * (BM25_K1 + 1) / (bag[word] + norm) for word, weight in rarity.items())
        )
    return scores
