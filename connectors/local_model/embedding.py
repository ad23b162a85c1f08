"""Embeddings by feature hashing: texts that share words and word pairs point the same way."""

import hashlib
import math
from collections import Counter
from functools import lru_cache
from itertools import pairwise

from connectors.text.words import STOPWORDS, stem, words

BIGRAM_WEIGHT = 0.5
STOPWORD_WEIGHT = 0.05
"""Not nothing, so that a text of stopwords alone still has a direction."""


def embed(text: str, dimensions: int) -> list[float]:
    """Return the unit vector of `text`; a text without any word gets a fixed one, like to nothing.

    Stems and pairs of neighbouring stems are hashed to a dimension and a sign each, weighted by
    1 + ln(occurrences), and normalised, so that a dot product is the cosine.
    """
    found = words(text)
    features: Counter[str] = Counter()
    weights: dict[str, float] = {}
    meaning = [stem(word) for word in found if word not in STOPWORDS]
    for word in found:
        feature = stem(word)
        features[feature] += 1
        weights[feature] = STOPWORD_WEIGHT if word in STOPWORDS else 1.0
    for left, right in pairwise(meaning):
        features[f"{left} {right}"] += 1
        weights[f"{left} {right}"] = BIGRAM_WEIGHT
    if not features:
        features["\x00"] = 1
        weights["\x00"] = 1.0
    vector = [0.0] * dimensions
    for feature, count in features.items():
        place, sign = _place(feature)
        vector[place % dimensions] += sign * weights[feature] * (1 + math.log(count))
    length = math.sqrt(math.fsum(value * value for value in vector))
    if length == 0:  # two features that cancel each other out
        vector[0] = length = 1.0
    return [value / length for value in vector]


@lru_cache(maxsize=65_536)
def _place(feature: str) -> tuple[int, float]:
    digest = hashlib.blake2b(feature.encode("utf-8", errors="replace"), digest_size=9).digest()
    return int.from_bytes(digest[:8], "big"), 1.0 if digest[8] & 1 else -1.0
