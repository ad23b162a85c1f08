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
    critical_failures,
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

    assert after is not None
    assert before is None or after <= before


@given(many, st.integers())
def test_the_order_of_the_rules_does_not_matter(found: list[RuleResult], seed: int) -> None:
    shuffled = list(found)
    random.Random(seed).shuffle(shuffled)

    assert score(shuffled) == score(found)


@given(many)
def test_critical_accessibility_failures_cap_by_their_share_and_static_only_at_89(
    found: list[RuleResult],
) -> None:
    static, live = score(found, live=False), score(found, live=True)
    failing, applicable = critical_failures(found)

    if live is not None:
        assert static is not None
        assert static <= min(89, live)
        assert live <= (89 - 40 * failing / applicable if failing else 100)


def test_one_critical_failure_among_many_costs_little_and_many_cost_much() -> None:
    info = next(r for r in RULES if r.severity is Severity.CRITICAL and r.category is Category.ACCESSIBILITY)

    scores = [
        capped(Fraction(1), [RuleResult(info=info, applicable=100, failing=n, critical=True)], live=True)[0]
        for n in (1, 25, 50, 100)
    ]

    assert scores == [88.6, 79.0, 69.0, 49.0]


def test_a_rule_that_only_searches_for_faults_speaks_for_nothing_until_it_finds_one() -> None:
    info = next(rule for rule in RULES if rule.negative)

    assert score([RuleResult(info=info, applicable=50, failing=0, critical=False)]) is None
    assert score([RuleResult(info=info, applicable=50, failing=1, critical=False)]) == 0


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


def test_critical_rules_lose_faster_than_others() -> None:
    critical = next(rule for rule in RULES if rule.severity is Severity.CRITICAL and not rule.negative)
    serious = next(rule for rule in RULES if rule.severity is Severity.SERIOUS and not rule.negative)

    shares = [
        rule_share(RuleResult(info=info, applicable=4, failing=1, critical=info is critical))
        for info in (critical, serious)
    ]

    assert shares == [Fraction(9, 16), Fraction(3, 4)]


def test_weights_add_up_to_one_and_scores_are_rounded_down() -> None:
    assert sum(WEIGHTS.values()) == 1
    assert set(WEIGHTS) == set(Category)
    assert floored(Fraction(99_999, 100_000)) == 99.9
    assert floored(Fraction(1)) == 100.0
