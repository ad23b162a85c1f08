"""Scores, exact until the last step: fractions, so that no order of adding changes a result.

A rule's share is 1 − failing/applicable, squared for rules that are critical. A metric is the mean of the shares of
the rules that applied, weighted by severity. That a rule which only searches for what should not be there finds
nothing proves nothing, so it counts when it fails, with 0, and not otherwise. The whole is the mean of the metrics that could be assessed, weighted by WEIGHTS. Everything is within 0
and 100 because it is a mean of what is within 0 and 1.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction

from connectors.ui_analyzer.model import Category, RuleResult, Severity, Status

SEVERITY_WEIGHTS = {Severity.CRITICAL: 10, Severity.SERIOUS: 6, Severity.MODERATE: 3, Severity.MINOR: 1}
WEIGHTS = {
    Category.COMPONENTS: Fraction(10, 100),
    Category.STATE: Fraction(10, 100),
    Category.REAL_TIME: Fraction(6, 100),
    Category.ERRORS: Fraction(12, 100),
    Category.RESPONSIVE: Fraction(10, 100),
    Category.ACCESSIBILITY: Fraction(22, 100),
    Category.PERFORMANCE: Fraction(10, 100),
    Category.AGENTS: Fraction(6, 100),
    Category.THEME: Fraction(8, 100),
    Category.WEBSOCKET: Fraction(6, 100),
}
TARGET = 100.0
CAP_STATIC_ONLY = 89
CAP_CRITICAL_SPAN = 40
"""By how many points the cap is lowered when all that critical rules of accessibility look at fails."""


def rule_share(result: RuleResult) -> Fraction | None:
    """The share of a rule that holds, 0 to 1; None when it did not apply, or proves nothing."""
    if result.applicable == 0:
        return None
    if result.info.negative:
        return Fraction(0) if result.failing else None
    share = 1 - Fraction(result.failing, result.applicable)
    return share * share if result.info.severity is Severity.CRITICAL else share


def metric_fraction(results: Iterable[RuleResult]) -> Fraction | None:
    """The weighted mean of the shares, 0 to 1; None when nothing speaks for the metric, only the absence of faults."""
    total, weights = Fraction(0), 0
    for result in results:
        share = rule_share(result)
        if share is not None:
            weight = SEVERITY_WEIGHTS[result.info.severity]
            total += weight * share
            weights += weight
    return total / weights if weights else None


def overall_fraction(metrics: Mapping[Category, Fraction | None]) -> Fraction | None:
    """The weighted mean of the metrics that were assessed, 0 to 1; None when none was."""
    assessed = {category: value for category, value in metrics.items() if value is not None}
    if not assessed:
        return None
    weights = sum((WEIGHTS[category] for category in assessed), Fraction(0))
    return sum((WEIGHTS[category] * value for category, value in assessed.items()), Fraction(0)) / weights


def floored(share: Fraction | None) -> float | None:
    """A share as a score from 0 to 100, rounded down to one decimal."""
    return None if share is None else float((share * 1000).__floor__()) / 10


def capped(
    share: Fraction | None, results: Iterable[RuleResult], *, live: bool
) -> tuple[float | None, tuple[str, ...]]:
    """The overall score after the caps, and a sentence for each cap that lowered it."""
    if share is None:
        return None, ()
    score = share * 100
    reasons = []
    if not live and score > CAP_STATIC_ONLY:
        score = Fraction(CAP_STATIC_ONLY)
        reasons.append(f"at most {CAP_STATIC_ONLY}: the source was read, but no running page was tested")
    failing, applicable = critical_failures(results)
    if failing:
        cap = CAP_STATIC_ONLY - CAP_CRITICAL_SPAN * Fraction(failing, applicable)
        if score > cap:
            score = cap
            reasons.append(
                f"at most {floored(cap / 100)}: {failing} of {applicable} places fail a critical rule of accessibility"
            )
    return floored(score / 100), tuple(reasons)


def critical_failures(results: Iterable[RuleResult]) -> tuple[int, int]:
    """How many places fail critical rules of accessibility, and how many these looked at; (0, 0) when none surely does."""
    rules = [
        result
        for result in results
        if result.info.category is Category.ACCESSIBILITY and result.info.severity is Severity.CRITICAL
    ]
    if not any(result.critical and result.failing for result in rules):
        return 0, 0
    return sum(result.failing for result in rules), sum(result.applicable for result in rules)


def status_of(score: float | None) -> Status:
    """What a score means: 90 excellent, 75 good, 60 needs improvement, below critical."""
    if score is None:
        return Status.NOT_ASSESSED
    if score >= 90:
        return Status.EXCELLENT
    if score >= 75:
        return Status.GOOD
    if score >= 60:
        return Status.NEEDS_IMPROVEMENT
    return Status.CRITICAL


def points(
    result: RuleResult, results: Iterable[RuleResult], metrics: Mapping[Category, Fraction | None]
) -> Fraction:
    """The points of the overall score, before caps, that a rule costs now."""
    share = rule_share(result)
    if share is None:
        return Fraction(0)
    own = [
        other
        for other in results
        if other.info.category is result.info.category and rule_share(other) is not None
    ]
    weights = sum(SEVERITY_WEIGHTS[other.info.severity] for other in own)
    assessed = sum(
        (WEIGHTS[category] for category, value in metrics.items() if value is not None), Fraction(0)
    )
    part = (
        Fraction(SEVERITY_WEIGHTS[result.info.severity], weights) * WEIGHTS[result.info.category] / assessed
    )
    return 100 * part * (1 - share)
