"""What to do first, and roughly how long it takes."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from connectors.ui_analyzer.model import (
    Category,
    Phase,
    Recommendation,
    RuleResult,
    Severity,
    Status,
    Timeline,
)
from connectors.ui_analyzer.score import points

_ORDER = {"high": 0, "medium": 1, "low": 2}
_MINUTES = {Severity.CRITICAL: 20, Severity.SERIOUS: 20, Severity.MODERATE: 12, Severity.MINOR: 4}
"""Per finding, for one person who knows the code: to change it and look at the result."""
_MINUTES_PER_RULE = 60
"""To understand a rule and decide how to fix it here, once."""
_MINUTES_PER_DAY = 6 * 60
_PHASES = (
    ("Critical fixes", (Severity.CRITICAL, Severity.SERIOUS)),
    ("Improvements", (Severity.MODERATE,)),
    ("Polish", (Severity.MINOR,)),
)
_VERIFICATION_SHARE = 0.2


def recommendations(
    results: Sequence[RuleResult],
    metrics: Mapping[Category, Fraction | None],
    statuses: Mapping[Category, Status],
) -> tuple[Recommendation, ...]:
    """One recommendation per failing rule, the most urgent first."""
    found = []
    for result in results:
        if not result.failing:
            continue
        gained = points(result, results, metrics)
        found.append(
            Recommendation(
                rule_id=result.info.id,
                category=result.info.category,
                text=result.info.fix,
                priority=_priority(result, statuses[result.info.category]),
                impact="high" if gained >= 2 else "medium" if gained >= Fraction(1, 2) else "low",
                points=math.floor(gained * 100) / 100,
                findings=result.failing,
            )
        )
    found.sort(key=lambda entry: (_ORDER[entry.priority], -entry.points, entry.rule_id))
    return tuple(found)


def timeline(results: Sequence[RuleResult]) -> Timeline:
    """An estimate in half days, phase by phase; zero when nothing fails."""
    phases = []
    for name, severities in _PHASES:
        failing = [result for result in results if result.failing and result.info.severity in severities]
        minutes = sum(
            _MINUTES_PER_RULE + result.failing * _MINUTES[result.info.severity] for result in failing
        )
        phases.append(
            Phase(name=name, duration_days=_days(minutes), findings=sum(r.failing for r in failing))
        )
    work = sum(phase.duration_days for phase in phases)
    if work:
        days = max(0.5, math.ceil(work * _VERIFICATION_SHARE * 2) / 2)
        phases.append(Phase(name="Verification", duration_days=days, findings=0))
    total = sum(phase.duration_days for phase in phases)
    return Timeline(
        estimated_days=total, estimated_weeks=math.ceil(total / 5 * 10) / 10, phases=tuple(phases)
    )


def _days(minutes: int) -> float:
    return math.ceil(minutes / _MINUTES_PER_DAY * 2) / 2


def _priority(result: RuleResult, status: Status) -> str:
    weak = status in (Status.CRITICAL, Status.NEEDS_IMPROVEMENT)
    if result.info.severity is Severity.CRITICAL or (result.info.severity is Severity.SERIOUS and weak):
        return "high"
    if result.info.severity is Severity.SERIOUS or (result.info.severity is Severity.MODERATE and weak):
        return "medium"
    return "low"
