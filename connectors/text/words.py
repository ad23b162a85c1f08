"""Words, stems and sentences: of searches, of analyses, and of the local model's answers."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

_STOPWORDS_LISTED = """
a about above after again all also am among amongst an and any are as at be because been before being
below between both but by can could did do does doing done down during each else etc few for from
further get give given gives had has have having he hence her here hers him his how i if in into is it
its itself just let like made make many may me might more most much must my no nor not now of off on
once one only or other our ours out over own please same shall she should show so some such tell than
that the their theirs them then there therefore these they this those through thus to too under until up
upon us use used very was we were what when where which while who whom whose why will with within
without would yes yet you your yours
"""
STOPWORDS: Final = frozenset(_STOPWORDS_LISTED.split())
_ABBREVIATIONS_LISTED = """
e.g i.e etc vs mr mrs ms dr prof st no vol fig cf al inc ltd jr sr approx dept est p pp
"""
LAST_WORD_CHARACTERS: Final = 20
ABBREVIATIONS: Final = frozenset(_ABBREVIATIONS_LISTED.split())
SENTENCES_MAX: Final = 2_000
SENTENCE_CHARACTERS_MAX: Final = 1_200
"""A longer run of text without an end is cut here, so that quotes stay quotes."""

_WORD = re.compile(r"[^\W_]+(?:[-'’_][^\W_]+)*")
_CITED = r"(?:\[[^\[\]\n]{1,300}#\d+\]|\[\d+\])"
_CITATION = re.compile(_CITED)
# A citation behind a sentence belongs to it, and ends it whatever follows.
_SENTENCE_END = re.compile(
    rf"(?<=[.!?])[\"'”’)\]]*(?:(?:\s*{_CITED})+\s+|\s+(?!{_CITED})(?=[\"'“‘(\[]?[A-Z0-9`*#\[]))"
)
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^\s*#{1,6}\s+")
_RULE = re.compile(r"^\s*[-=*_|:+ ]{3,}$")
_FENCE = re.compile(r"^\s*(?:`{3}|~{3})")
_DRAWING = re.compile(r"[\u2500-\u257f\u25a0-\u25ff]")
_SUFFIXES: Final = (
    ("ational", ""), ("ization", "ize"), ("isation", "ize"), ("fulness", "ful"), ("ousness", "ous"),
    ("iveness", "ive"), ("ements", ""), ("ement", ""), ("ments", "ment"), ("ising", "ize"), ("izing", "ize"),
    ("ised", "ize"), ("ized", "ize"), ("ises", "ize"), ("izes", "ize"), ("ise", "ize"), ("ations", ""),
    ("ation", ""), ("ating", ""), ("ated", ""), ("ates", ""), ("ysis", "ys"), ("yses", "ys"),
    ("ities", "ity"), ("ingly", ""), ("edly", ""), ("ies", "y"), ("ied", "y"), ("sses", "ss"),
    ("xes", "x"), ("ches", "ch"),
    ("shes", "sh"), ("ings", ""), ("ing", ""), ("ed", ""), ("ate", ""), ("ly", ""), ("s", ""),
)  # fmt: skip


def words(text: str) -> list[str]:
    """Return the words of `text` in order, lower-cased."""
    return [match.group().lower().replace("’", "'") for match in _WORD.finditer(text)]


def content_words(text: str) -> list[str]:
    """Return the words that carry meaning: no stopwords, no single letters."""
    return [word for word in words(text) if word not in STOPWORDS and (len(word) > 1 or word.isdigit())]


def stems(text: str) -> list[str]:
    """Return the stems of the words that carry meaning, in order, with repeats."""
    return [stem(word) for word in content_words(text)]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """Return a crude stem of a lower-cased word: plans, planned and planning give plan."""
    if word.endswith("'s"):
        word = word[:-2]
    if len(word) < 4 or not word.isascii():
        return word
    for suffix, replacement in _SUFFIXES:
        rest = word[: len(word) - len(suffix)]
        if word.endswith(suffix) and len(rest) >= 3 + suffix.startswith("at"):
            if suffix == "s" and rest[-1] in "su":
                return word
            return _tidy(rest + replacement)
    return _tidy(word)


def sentences(text: str) -> list[str]:
    """Split `text` into sentences in order; list items, rows of tables and headings are some too.

    Code in fences and drawings have none. At most SENTENCES_MAX: what follows in a longer text is not read.
    """
    found = (sentence for block in _blocks(text) for sentence in _split_block(block))
    return list(islice(found, SENTENCES_MAX))


def citations(text: str) -> list[str]:
    """Return the citations in `text` in order, with their brackets: `[guide.md#3]`, `[2]`."""
    return _CITATION.findall(text)


def without_citations(text: str) -> str:
    """Return `text` without citations, as words are compared."""
    return _CITATION.sub("", text)


def _tidy(word: str) -> str:
    # Doubled endings (planned → plann) and mute ends (planes, plane) would keep relatives apart.
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls":
        word = word[:-1]
    if len(word) > 4 and word.endswith("e"):
        word = word[:-1]
    return word


def _blocks(text: str) -> Iterator[str]:
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        is_fence = bool(_FENCE.match(line))
        fenced ^= is_fence
        is_row = line.lstrip().startswith("|")
        is_own = bool(_BULLET.match(line) or _HEADING.match(line) or is_row)
        is_nothing = (
            not line.strip() or is_fence or fenced or bool(_RULE.match(line) or _DRAWING.search(line))
        )
        if lines and (is_own or is_nothing):
            yield " ".join(lines)
            lines = []
        if is_nothing:
            continue
        stripped = _HEADING.sub("", _BULLET.sub("", line)).strip()
        if _HEADING.match(line):
            yield stripped
        elif is_row:
            yield _row(stripped)
        elif stripped:
            lines.append(stripped)
    if lines:
        yield " ".join(lines)


def _row(line: str) -> str:
    """Return a row of a table as a sentence: first: second; third."""
    cells = [cell.strip() for cell in line.strip("|").split("|") if cell.strip()]
    return f"{cells[0]}: {'; '.join(cells[1:])}." if len(cells) > 1 else line.strip("| ")


def _split_block(block: str) -> Iterator[str]:
    start = 0
    for end in _SENTENCE_END.finditer(block):
        head = block[max(start, end.start() - LAST_WORD_CHARACTERS) : end.start()].rstrip(".")
        last = head.rsplit(None, 1)[-1].lower() if head.strip() else ""
        if last in ABBREVIATIONS or (len(last) == 1 and last.isalpha()):
            continue
        yield from _cut(block[start : end.end()].strip())
        start = end.end()
    yield from _cut(block[start:].strip())


def _cut(sentence: str) -> Iterator[str]:
    while len(sentence) > SENTENCE_CHARACTERS_MAX:
        at = sentence.rfind(" ", 0, SENTENCE_CHARACTERS_MAX)
        at = at if at > 0 else SENTENCE_CHARACTERS_MAX
        yield sentence[:at]
        sentence = sentence[at:].lstrip()
    if sentence:
        yield sentence
