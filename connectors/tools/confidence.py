"""How far an analysis can be trusted, computed from what can be measured of it.

    confidence = support × evidence × (0.5 + 0.5 × coverage) × (0.5 + 0.5 × recall) × completeness
    (sentiment: × agreement)

support       share of the analysis's words that stand in the analysed text; a number that does not stand
              there counts three times against it. Words that only speak about the analysis don't count.
evidence      n / (n + 10) for n words that carry meaning in the analysed text: three words prove nothing.
coverage      share of the document's tokens that were analysed.
recall        of what the text says most: for summary and topics the share of its twelve most frequent words
              that the analysis has, for facts the share of its numbers; 1 for sentiment, and without any.
completeness  1, or 0.7 when the answer was cut off by its limit.
agreement     for sentiment: 1 − |stated − counted| / 2, where the stated leaning is +1, 0 or −1 as the
              analysis says positive, mixed or neutral, negative; the counted one is (p − n) / (p + n) for p
              praising and n blaming words of the text by a word list, and 0 without any.

All factors are 0 to 1, and so is the product. It measures how well the analysis is tied to the text, not
whether it is wise.
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from connectors.text.lexicon import feelings
from connectors.text.words import stem, stems, words

EVIDENCE_HALF: Final = 10
CUT_COMPLETENESS: Final = 0.7
NUMBER_WEIGHT: Final = 3
FREQUENT_WORDS: Final = 12

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ABOUT_ANALYSES_LISTED = """
analysis text document content author passage summary summarise summarize fact key main topic theme sentiment
tone positive negative neutral mixed overall score word words times count list include discuss describe
mention state express convey focus highlight emphasise emphasize overview point
"""
_ABOUT_ANALYSES: Final = frozenset(stem(word) for word in _ABOUT_ANALYSES_LISTED.split())
_STATED: Final = (
    (re.compile(r"\bnegative\b", re.IGNORECASE), -1.0),
    (re.compile(r"\bpositive\b", re.IGNORECASE), 1.0),
    (re.compile(r"\b(?:mixed|neutral|balanced)\b", re.IGNORECASE), 0.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Confidence:
    """The factors of an analysis's confidence."""

    support: float
    evidence: float
    coverage: float
    recall: float
    completeness: float
    agreement: float | None
    """None for analyses other than sentiment."""

    @property
    def value(self) -> float:
        """Their product, as the module describes it: 0 to 1."""
        breadth = (0.5 + 0.5 * self.coverage) * (0.5 + 0.5 * self.recall)
        agreement = 1.0 if self.agreement is None else self.agreement
        return round(self.support * self.evidence * breadth * self.completeness * agreement, 4)


def measure(
    analysis: str, content: str, *, analysis_type: str, tokens_analysed: int, tokens_total: int, cut_off: bool
) -> Confidence:
    """Measure an analysis against the content that it was made from."""
    from_text = {stem(word) for word in words(content)}
    meaning = len({word for word in from_text if len(word) > 2})
    return Confidence(
        support=_support(analysis, content, from_text, counted=analysis_type in ("sentiment", "topics")),
        evidence=meaning / (meaning + EVIDENCE_HALF),
        coverage=min(1.0, tokens_analysed / tokens_total) if tokens_total else 0.0,
        recall=_recall(analysis, content, analysis_type),
        completeness=CUT_COMPLETENESS if cut_off else 1.0,
        agreement=_agreement(analysis, content) if analysis_type == "sentiment" else None,
    )


def _support(analysis: str, content: str, from_text: set[str], *, counted: bool) -> float:
    """Return the share of the analysis that the text supports.

    Args:
        counted: numbers are counts made by the analysis, which no text states; they don't count.
    """
    stated = {stem(word) for word in words(analysis) if not word.isdigit()} - _ABOUT_ANALYSES
    numbers = set() if counted else set(_NUMBER.findall(analysis))
    known_numbers = set(_NUMBER.findall(content))
    total = len(stated) + NUMBER_WEIGHT * len(numbers)
    supported = len(stated & from_text) + NUMBER_WEIGHT * len(numbers & known_numbers)
    return supported / total if total else 0.0


def _recall(analysis: str, content: str, analysis_type: str) -> float:
    if analysis_type == "sentiment":
        return 1.0
    if analysis_type == "extract_facts":
        wanted, given = set(_NUMBER.findall(content)), set(_NUMBER.findall(analysis))
    else:
        frequency = Counter(root for root in stems(content) if not root.isdigit())
        ordered = sorted(frequency, key=lambda root: (-frequency[root], root))
        wanted, given = set(ordered[:FREQUENT_WORDS]), set(stems(analysis))
    return len(wanted & given) / len(wanted) if wanted else 1.0


def _agreement(analysis: str, content: str) -> float:
    first = min(
        ((match.start(), value) for pattern, value in _STATED if (match := pattern.search(analysis))),
        default=(0, 0.0),
    )[1]
    good, bad = feelings(content)
    total = len(good) + len(bad)
    counted = (len(good) - len(bad)) / total if total else 0.0
    return 1 - abs(first - counted) / 2
