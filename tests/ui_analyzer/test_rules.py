"""Every rule on every case of the case files, and what every rule must have."""

from collections import Counter

import pytest

from connectors.ui_analyzer.catalogue import RULES
from connectors.ui_analyzer.model import Category, RuleInfo
from tests.ui_analyzer.casebook import Case, read_cases
from tests.ui_analyzer.conftest import AnalyzeFiles

CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_fails_what_is_broken_and_passes_what_is_not(case: Case, analyze_files: AnalyzeFiles) -> None:
    analysis = analyze_files(dict(case.files))

    failing = {finding.rule_id for finding in analysis.findings}
    review = {finding.rule_id for finding in analysis.needs_review}
    assert not analysis.problems, analysis.problems
    if case.expected == "+":
        assert case.rule_id in failing
    elif case.expected == "?":
        assert case.rule_id in review - failing
    else:
        assert case.rule_id not in failing


# Needs a list of agents, which a case has no place for: test_agents.py has its cases.
WITH_CASES = [info for info in RULES if info.id != "agent-reachable"]


@pytest.mark.parametrize("info", WITH_CASES, ids=lambda info: info.id)
def test_a_rule_has_three_cases_of_each_kind(info: RuleInfo) -> None:
    kinds = Counter(case.expected for case in CASES if case.rule_id == info.id)

    assert kinds["+"] + kinds["?"] >= 3
    assert kinds["-"] >= 3


@pytest.mark.parametrize("info", RULES, ids=lambda info: info.id)
def test_a_rule_says_why_and_how_and_where_it_is_written(info: RuleInfo) -> None:
    assert info.title
    assert info.reason.endswith(".")
    assert info.fix.endswith(".")
    assert info.reference
    assert info.url.startswith("https://")


def test_rule_ids_are_unique_and_no_case_names_an_unknown_rule() -> None:
    known = [info.id for info in RULES]

    assert len(known) == len(set(known))
    assert {case.rule_id for case in CASES} <= set(known)


def test_there_are_at_least_forty_rules_and_every_metric_has_some() -> None:
    assert len(RULES) >= 40
    assert {info.category for info in RULES} == set(Category)
