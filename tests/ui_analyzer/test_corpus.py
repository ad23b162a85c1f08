"""Precision and recall on applications with seeded defects, built from clean ones."""

import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.options import Options
from tests.ui_analyzer.mutations import APPS, CORPUS, MUTATIONS, Mutant, mutants

PRECISION_MIN = 0.95
RECALL_MIN = 0.9


@pytest.mark.parametrize("app", APPS)
def test_a_clean_application_has_no_findings(app: str) -> None:
    analysis = analyze(CORPUS / app, Options(workers=1))

    assert [f"{finding.path}:{finding.line} {finding.rule_id}" for finding in analysis.findings] == []
    assert not analysis.problems
    assert analysis.overall_effectiveness == 89.0


def test_seeded_defects_are_found_and_nothing_else_is(tmp_path: Path) -> None:
    for app in APPS:
        shutil.copytree(CORPUS / app, tmp_path / app)
    true, false, found, missed = 0, 0, 0, 0
    log: list[str] = []
    seen: dict[str, int] = defaultdict(int)

    for mutant in mutants():
        reported = _reported(mutant, tmp_path)
        right = mutant.mutation.expected | mutant.mutation.allowed
        hits = {rule for rule, _ in reported if rule in mutant.mutation.expected}
        if mutant.mutation.expected:
            seen[mutant.mutation.name] += 1
            found += bool(hits)
            missed += not hits
            if not hits:
                log.append(f"missed   {mutant}: {sorted(mutant.mutation.expected)}")
        for rule, place in reported:
            if rule in right:
                true += 1
            else:
                false += 1
                log.append(f"spurious {mutant}: {rule} at {place}")

    precision, recall = true / (true + false), found / (found + missed)
    summary = f"{found + missed} mutants, precision {precision:.3f}, recall {recall:.3f}\n" + "\n".join(log)
    print(summary)  # noqa: T201  # shown by `pytest -s`, the source of the figures in the documentation
    assert precision >= PRECISION_MIN, summary
    assert recall >= RECALL_MIN, summary
    assert found + missed >= 250, summary
    assert set(seen) == {mutation.name for mutation in MUTATIONS if mutation.expected}


def _reported(mutant: Mutant, folder: Path) -> list[tuple[str, str]]:
    target = folder / mutant.app / mutant.path
    clean = target.read_text(encoding="utf-8")
    target.write_text(mutant.source, encoding="utf-8")
    try:
        analysis = analyze(folder / mutant.app, Options(workers=1))
    finally:
        target.write_text(clean, encoding="utf-8")
    return [(str(finding.rule_id), f"{finding.path}:{finding.line}") for finding in analysis.findings]
