"""Evaluation: what an answer must have, whether it has it, and how sure the share of good ones is."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import sqrt
from statistics import median

from processors.output_models import answer_fault

_QUOTED_MAX = 60
_Z_95 = 1.959963984540054
"""Of the normal distribution: 95 % lie within so many standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What an attempt must have to count as good; what is absent is not looked at."""

    contains: tuple[str, ...] = ()
    """Texts of the answer, in whatever case."""
    lacks: tuple[str, ...] = ()
    """Texts that must not be in it."""
    matches: tuple[str, ...] = ()
    """Regular expressions of Python, each found somewhere in it."""
    output_json: str | None = None
    """The output model that some JSON in it fits."""
    tools: tuple[str, ...] = ()
    """Tools that were called at least once."""
    agents: tuple[str, ...] = ()
    """Agents that had a task."""
    citations_min: int = 0
    words_max: int | None = None
    tokens_max: int | None = None
    """Of the whole turn."""
    nanodollars_max: int | None = None
    may_be_incomplete: bool = False
    """An answer of which not all could be done counts, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of a task once."""

    session_id: str
    text: str = ""
    complete: bool = False
    failure: str | None = None
    """Why there is no answer; None: there is one."""
    tools: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    citations: int = 0
    tokens: int = 0
    """Of the turn; 0 without an answer, whose costs the session's events tell."""
    nanodollars: int = 0
    latency_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of good attempts with its 95 % interval by Wilson's score: few attempts say little."""

    good: int
    of: int

    @property
    def share(self) -> float:
        """0 to 1; 0 of none."""
        return self.good / self.of if self.of else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Where the share of endless attempts would lie; 0 to 1 when there are none.

        Source: E. B. Wilson, Journal of the American Statistical Association 22 (1927).
        """
        if not self.of:
            return 0.0, 1.0
        square = _Z_95**2
        middle = (self.share + square / (2 * self.of)) / (1 + square / self.of)
        spread = self.share * (1 - self.share) / self.of + square / (4 * self.of**2)
        half = _Z_95 * sqrt(spread) / (1 + square / self.of)
        return max(0.0, middle - half), min(1.0, middle + half)

    def differs_from(self, other: "Share") -> bool:
        """Tell whether the intervals do not meet, which chance hardly brings about."""
        (low, high), (other_low, other_high) = self.interval, other.interval
        return high < other_low or other_high < low


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What attempts came to."""

    passed: Share
    tokens_median: int
    nanodollars: int
    """Of all."""
    latency_ms_median: int
    latency_ms_max: int


def faults(attempt: Attempt, checks: Checks) -> list[str]:
    """Return what is wrong with an attempt, in words; empty: it is good."""
    if attempt.failure is not None:
        return [attempt.failure]
    return [*_text_faults(attempt.text, checks), *_turn_faults(attempt, checks)]


def summary(attempts: Iterable[tuple[Attempt, bool]]) -> Summary:
    """Sum up attempts, each with whether it was good."""
    found = list(attempts)
    answered = [attempt for attempt, _ in found if attempt.failure is None]
    latencies = [attempt.latency_ms for attempt in answered] or [0]
    return Summary(
        passed=Share(good=sum(is_good for _, is_good in found), of=len(found)),
        tokens_median=round(median([attempt.tokens for attempt in answered] or [0])),
        nanodollars=sum(attempt.nanodollars for attempt, _ in found),
        latency_ms_median=round(median(latencies)),
        latency_ms_max=max(latencies),
    )


def _text_faults(text: str, checks: Checks) -> Iterator[str]:
    folded = text.casefold()
    for part in checks.contains:
        if part.casefold() not in folded:
            yield f"the answer lacks {_quoted(part)}"
    for part in checks.lacks:
        if part.casefold() in folded:
            yield f"the answer has {_quoted(part)}"
    for pattern in checks.matches:
        if re.search(pattern, text) is None:
            yield f"nothing in the answer matches the pattern {pattern}"
    if checks.output_json is not None and (fault := answer_fault(text, checks.output_json)) is not None:
        yield fault
    if checks.words_max is not None and (words := len(text.split())) > checks.words_max:
        yield f"the answer has {words} words; the most is {checks.words_max}"


def _turn_faults(attempt: Attempt, checks: Checks) -> Iterator[str]:
    if not attempt.complete and not checks.may_be_incomplete:
        yield "the answer is not complete"
    for tool in checks.tools:
        if tool not in attempt.tools:
            yield f"the tool {tool} was not called"
    for agent in checks.agents:
        if agent not in attempt.agents:
            yield f"the agent {agent} had no task"
    if attempt.citations < checks.citations_min:
        yield f"it cites {attempt.citations}; the least is {checks.citations_min}"
    if checks.tokens_max is not None and attempt.tokens > checks.tokens_max:
        yield f"it took {attempt.tokens} tokens; the most is {checks.tokens_max}"
    if checks.nanodollars_max is not None and attempt.nanodollars > checks.nanodollars_max:
        yield "it cost more than it may"


def _quoted(text: str) -> str:
    shortened = text if len(text) <= _QUOTED_MAX else text[: _QUOTED_MAX - 1] + "…"
    return f'"{shortened}"'
