"""Scores, exact until the last step: fractions, so that no order of adding changes a result.

A rule's share is 0 when any critical instance fails, otherwise 1 − failing/applicable. A metric is the mean of the
shares of the rules that applied, weighted by severity. The whole is the mean of the metrics that could be assessed,
weighted by WEIGHTS. Everything is within 0 and 100 because it is a mean of what is within 0 and 1.
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
CAP_CRITICAL = 69
CAP_STATIC_ONLY = 89


def rule_share(result: RuleResult) -> Fraction | None:
    """The share of a rule that holds, 0 to 1; None when it did not apply."""
    if result.applicable == 0:
        return None
    if result.critical:
        return Fraction(0)
    return 1 - Fraction(result.failing, result.applicable)


def metric_fraction(results: Iterable[RuleResult]) -> Fraction | None:
    """The weighted mean of the shares, 0 to 1; None when no rule applied."""
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
    critical = any(
        result.info.category is Category.ACCESSIBILITY and result.critical and result.failing
        for result in results
    )
    if not live and score > CAP_STATIC_ONLY:
        score = Fraction(CAP_STATIC_ONLY)
        reasons.append(f"at most {CAP_STATIC_ONLY}: the source was read, but no running page was tested")
    if critical and score > CAP_CRITICAL:
        score = Fraction(CAP_CRITICAL)
        reasons.append(f"at most {CAP_CRITICAL}: a critical accessibility failure")
    return floored(score / 100), tuple(reasons)


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
    own = [other for other in results if other.info.category is result.info.category and other.applicable]
    weights = sum(SEVERITY_WEIGHTS[other.info.severity] for other in own)
    assessed = sum(
        (WEIGHTS[category] for category, value in metrics.items() if value is not None), Fraction(0)
    )
    part = (
        Fraction(SEVERITY_WEIGHTS[result.info.severity], weights) * WEIGHTS[result.info.category] / assessed
    )
    return 100 * part * (1 - share)
