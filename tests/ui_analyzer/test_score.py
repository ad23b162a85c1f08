"""Properties of the score: bounds, monotony, independence of order, and nothing for nothing."""

import random
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from connectors.ui_analyzer.catalogue import RULES
from connectors.ui_analyzer.model import Category, RuleInfo, RuleResult, Severity, Status
from connectors.ui_analyzer.planning import recommendations, timeline
from connectors.ui_analyzer.score import (
    WEIGHTS,
    capped,
    floored,
    metric_fraction,
    overall_fraction,
    points,
    rule_share,
    status_of,
)


@st.composite
def results(draw: st.DrawFn) -> RuleResult:
    info: RuleInfo = draw(st.sampled_from(RULES))
    applicable = draw(st.integers(0, 1_000_000))
    failing = draw(st.integers(0, applicable))
    critical = failing > 0 and info.severity is Severity.CRITICAL
    return RuleResult(info=info, applicable=applicable, failing=failing, critical=critical)


many = st.lists(results(), max_size=60)


def score(found: list[RuleResult], *, live: bool = True) -> float | None:
    return capped(overall_fraction(fractions(found)), found, live=live)[0]


def fractions(found: list[RuleResult]) -> dict[Category, Fraction | None]:
    return {c: metric_fraction(r for r in found if r.info.category is c) for c in Category}


@given(many, st.booleans())
def test_every_score_is_between_0_and_100(found: list[RuleResult], live: bool) -> None:
    total = score(found, live=live)

    assert total is None or 0 <= total <= 100
    for fraction in fractions(found).values():
        assert fraction is None or 0 <= fraction <= 1


@given(many, st.data())
def test_another_failing_instance_never_raises_the_score(
    found: list[RuleResult], data: st.DataObject
) -> None:
    before = score(found)
    if not found:
        return
    position = data.draw(st.integers(0, len(found) - 1))
    worse = found[position]
    critical = worse.critical or worse.info.severity is Severity.CRITICAL
    found[position] = replace(
        worse, applicable=worse.applicable + 1, failing=worse.failing + 1, critical=critical
    )

    after = score(found)

    assert before is None or (after is not None and after <= before)


@given(many, st.data())
def test_turning_a_pass_into_a_failure_never_raises_the_score(
    found: list[RuleResult], data: st.DataObject
) -> None:
    passing = [position for position, result in enumerate(found) if result.failing < result.applicable]
    if not passing:
        return
    position = data.draw(st.sampled_from(passing))
    before = score(found)
    worse = found[position]
    critical = worse.critical or worse.info.severity is Severity.CRITICAL
    found[position] = replace(worse, failing=worse.failing + 1, critical=critical)

    after = score(found)

    assert before is not None
    assert after is not None
    assert after <= before


@given(many, st.integers())
def test_the_order_of_the_rules_does_not_matter(found: list[RuleResult], seed: int) -> None:
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)

    assert score(shuffled) == score(found)


@given(many)
def test_a_critical_accessibility_failure_caps_at_69_and_static_only_at_89(found: list[RuleResult]) -> None:
    static, live = score(found, live=False), score(found, live=True)
    critical = any(r.critical and r.info.category is Category.ACCESSIBILITY for r in found)

    if live is not None:
        assert static is not None
        assert static <= min(89, live)
        assert live <= (69 if critical else 100)


@given(many)
def test_points_of_all_rules_add_up_to_what_is_missing(found: list[RuleResult]) -> None:
    unique = list({result.info.id: result for result in found}.values())
    by_category = fractions(unique)
    overall = overall_fraction(by_category)

    lost = sum((points(result, unique, by_category) for result in unique), Fraction(0))

    assert lost == (0 if overall is None else 100 * (1 - overall))


@given(many)
def test_recommendations_are_ordered_and_the_estimate_counts_every_finding(found: list[RuleResult]) -> None:
    unique = list({result.info.id: result for result in found}.values())
    by_category = fractions(unique)
    statuses = {c: status_of(floored(f)) for c, f in by_category.items()}

    advice = recommendations(unique, by_category, statuses)
    estimate = timeline(unique)

    ranks = [("high", "medium", "low").index(entry.priority) for entry in advice]
    assert ranks == sorted(ranks)
    assert {entry.rule_id for entry in advice} == {result.info.id for result in unique if result.failing}
    assert sum(phase.findings for phase in estimate.phases) == sum(result.failing for result in unique)
    assert (estimate.estimated_days == 0) == (not advice)


def test_nothing_to_assess_has_no_score() -> None:
    assert score([]) is None
    assert score([RuleResult(info=RULES[0], applicable=0, failing=0, critical=False)]) is None
    assert status_of(None) is Status.NOT_ASSESSED


def test_a_critical_instance_voids_the_rule_whatever_else_passes() -> None:
    info = next(rule for rule in RULES if rule.severity is Severity.CRITICAL)

    assert rule_share(RuleResult(info=info, applicable=1_000, failing=1, critical=True)) == 0


def test_weights_add_up_to_one_and_scores_are_rounded_down() -> None:
    assert sum(WEIGHTS.values()) == 1
    assert set(WEIGHTS) == set(Category)
    assert floored(Fraction(99_999, 100_000)) == 99.9
    assert floored(Fraction(1)) == 100.0
