"""Analyses of one text by rules: summary, facts, sentiment, topics."""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from connectors.local_model.ranking import central
from connectors.text.lexicon import feelings
from connectors.text.words import STOPWORDS, content_words, sentences, stem, words
from schemas.ports.chat import ChatMessage

WORDS_DEFAULT: Final = 500
SUMMARY_SENTENCES_MAX: Final = 8
FACTS_MAX: Final = 12
TOPICS_MAX: Final = 8
QUOTES_MAX: Final = 2

_WORDS_MAX = re.compile(
    r"\b(?:at most|no more than|max(?:imum)?(?: of)?|up to)\s+(\d+)\s+words\b", re.IGNORECASE
)
_NUMBER = re.compile(
    r"\b\d[\d,.]*\b|\b(?:two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million)\b"
)
_DATE = re.compile(
    r"\b(?:\d{4}-\d{2}-\d{2}|(?:January|February|March|April|May|June|July|August|September|October|November|"
    r"December)\s+\d{1,2}(?:,?\s+\d{4})?|1[0-9]{3}|20[0-9]{2})\b"
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][a-z]+(?:\s+(?:of\s+)?[A-Z][a-z]+)*")


def analyse(kind: str, messages: Sequence[ChatMessage]) -> str:
    """Return the analysis `kind` of the last user message; an unknown kind gives a summary."""
    text = next((message.text for message in reversed(messages) if message.role == "user"), "")
    system = messages[0].text if messages else ""
    match = _WORDS_MAX.search(system)
    words_max = int(match.group(1)) if match else WORDS_DEFAULT
    return _ANALYSES.get(kind, summary)(text, words_max)


def summary(text: str, words_max: int) -> str:
    """Return the most central sentences, in order."""
    found = sentences(text)
    count = max(1, min(SUMMARY_SENTENCES_MAX, len(found) // 4 + 1))
    chosen = [ranked.text for ranked in central(found, count)]
    return _fit(chosen, words_max) or "The text has no sentences to summarise."


def facts(text: str, words_max: int) -> str:
    """Return the sentences that hold most numbers, dates and names, as a list in order."""
    found = sentences(text)
    scored = [(_facts_in(sentence), index) for index, sentence in enumerate(found)]
    best = sorted((entry for entry in scored if entry[0] > 0), key=lambda entry: (-entry[0], entry[1]))[
        :FACTS_MAX
    ]
    lines = [f"- {found[index]}" for _, index in sorted(best, key=lambda entry: entry[1])]
    return _fit(lines, words_max, "\n") or "The text states no numbers, dates or names."


def sentiment(text: str, words_max: int) -> str:
    """Return the leaning of the text with the counts that it rests on, and the sentences that lean most."""
    positive: Counter[str] = Counter()
    negative: Counter[str] = Counter()
    leaning: list[tuple[int, int, str]] = []
    for index, sentence in enumerate(sentences(text)):
        good, bad = feelings(sentence)
        positive.update(good)
        negative.update(bad)
        leaning.append((len(good) - len(bad), index, sentence))
    good_count, bad_count = positive.total(), negative.total()
    total = good_count + bad_count
    score = (good_count - bad_count) / total if total else 0.0
    verdict = "positive" if score > 0.2 else "negative" if score < -0.2 else "mixed" if total else "neutral"
    counts = f"{good_count} positive and {bad_count} negative words of {len(words(text))}"
    lines = [
        f"Sentiment: {verdict} (score {score:+.2f} from -1 to +1; {counts}).",
        *_named("Positive words", positive),
        *_named("Negative words", negative),
    ]
    toward = sorted(leaning, key=lambda entry: (-abs(entry[0]), entry[1]))[:QUOTES_MAX]
    lines += [
        f"{'Positive' if weight > 0 else 'Negative'}: “{quote}”" for weight, _, quote in toward if weight
    ]
    return _fit(lines, words_max, "\n")


def topics(text: str, words_max: int) -> str:
    """Return the words and pairs of words that the text speaks of most, with their counts."""
    found = content_words(text)
    shown: dict[str, str] = {}
    single: Counter[str] = Counter()
    for word in found:
        if len(word) > 2 and not word.isdigit():
            single[stem(word)] += 1
            shown.setdefault(stem(word), word)
    pairs: Counter[str] = Counter()
    everything = words(text)
    for left, right in pairwise(everything):
        if left not in STOPWORDS and right not in STOPWORDS and len(left) > 2 and len(right) > 2:
            pairs[f"{left} {right}"] += 1
    scores = {shown[root]: float(count) for root, count in single.items()}
    counts = {shown[root]: count for root, count in single.items()}
    for pair, count in pairs.items():
        if count > 1:
            scores[pair] = count * 1.8
            counts[pair] = count
    ordered = sorted(scores, key=lambda topic: (-scores[topic], topic))
    chosen: list[str] = []
    for topic in ordered:
        if len(chosen) < TOPICS_MAX and not any(topic in other.split() for other in chosen):
            chosen.append(topic)
    lines = [f"- {topic} ({counts[topic]} times)" for topic in chosen]
    return _fit(lines, words_max, "\n") or "The text has no words that could be topics."


def _facts_in(sentence: str) -> float:
    if len(sentence.split()) < 4:
        return 0.0
    names = {name for name in _NAME.findall(sentence) if name.lower() not in STOPWORDS}
    found = 2 * len(_DATE.findall(sentence)) + len(_NUMBER.findall(sentence)) + len(names)
    return found / math.sqrt(8 + len(sentence.split()))


def _named(label: str, counted: Counter[str]) -> list[str]:
    if not counted:
        return []
    best = sorted(counted.items(), key=lambda entry: (-entry[1], entry[0]))[:8]
    return [f"{label}: " + ", ".join(f"{word} ({count})" for word, count in best) + "."]


def _fit(lines: Sequence[str], words_max: int, joint: str = " ") -> str:
    """Join the lines that fit into `words_max` words together, in order; if none does, the first is cut."""
    kept: list[str] = []
    left = words_max
    for line in lines:
        size = len(line.split())
        if size > left:
            continue
        kept.append(line)
        left -= size
    if not kept and lines:
        kept.append(" ".join(lines[0].split()[:words_max]) + " …")
    return joint.join(kept)


_ANALYSES: Final[Mapping[str, Callable[[str, int], str]]] = {
    "summary": summary,
    "extract_facts": facts,
    "sentiment": sentiment,
    "topics": topics,
}
