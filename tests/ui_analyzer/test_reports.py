"""JSON by its schema, SARIF by the rules of the standard, HTML that passes its own audit, text that is safe to print."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.model import Analysis, Category
from connectors.ui_analyzer.options import Options
from connectors.ui_analyzer.reports.html_report import render_html
from connectors.ui_analyzer.reports.json_report import json_schema, render_json, to_json
from connectors.ui_analyzer.reports.sarif import render_sarif, to_sarif
from connectors.ui_analyzer.reports.text import render_text
from tests.ui_analyzer.conftest import AnalyzeFiles
from tests.ui_analyzer.mutations import CORPUS

BAD = {
    "index.html": '<!doctype html><html><head><script src="a.js"></script></head><body><img src="x.png">'
    '<div onclick="go()">Go</div><p style="width: 900px">\x1b[31m"><script>alert(1)</script></p></body></html>',
    "src/List.tsx": "export const L = () => <ul>{rows.map((row, i) => <li key={i}><img src={row.url} /></li>)}</ul>;\n",
    "src/broken.css": "a{" * 300,
    "ünïcode & spaces.vue": "<template><button><i /></button></template>",
}


@pytest.fixture
def analysis(analyze_files: AnalyzeFiles) -> Analysis:
    return analyze_files(BAD)


def test_json_fits_its_schema_and_the_schema_is_strict(analysis: Analysis) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    loaded = json.loads(render_json(analysis))

    assert list(validator.iter_errors(loaded)) == []

    loaded["surprise"] = 1
    loaded["metrics"][0]["score"] = 120
    assert len(list(validator.iter_errors(loaded))) == 2


@pytest.mark.parametrize("app", ["react", "vue", "svelte", "html"])
def test_the_json_of_a_clean_application_fits_the_schema(app: str) -> None:
    result = to_json(analyze(CORPUS / app, Options(workers=1)))

    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(json.dumps(result)))


def test_an_analysis_of_nothing_fits_the_schema(analyze_files: AnalyzeFiles) -> None:
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads(render_json(analyze_files({}))))


def test_the_ten_metrics_are_reported_in_order(analysis: Analysis) -> None:
    assert [metric.category for metric in analysis.metrics] == list(Category)
    assert len(analysis.metrics) == 10


def test_sarif_has_the_structure_that_the_standard_demands(analysis: Analysis) -> None:
    log = json.loads(render_sarif(analysis))

    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert set(rule["shortDescription"]) == {"text"}
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note", "none")
        assert 0 <= rule["defaultConfiguration"]["rank"] <= 100
        assert rule["helpUri"].startswith("https://")
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert (result["kind"] == "fail") or result["level"] == "none"
        assert result["message"]["text"]
        (location,) = result["locations"]
        artifact = location["physicalLocation"]["artifactLocation"]
        assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", artifact["uri"])
        assert artifact["uriBaseId"] in run["originalUriBaseIds"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert location["physicalLocation"]["region"]["startColumn"] >= 1
        assert list(result["partialFingerprints"]) == ["cartritaUi/v1"]
    fingerprints = [result["partialFingerprints"]["cartritaUi/v1"] for result in run["results"]]
    assert len(set(fingerprints)) == len(fingerprints)
    notices = run["invocations"][0]["toolExecutionNotifications"]
    assert {notice["level"] for notice in notices} == {"warning"}


def test_sarif_says_what_is_new_against_a_baseline(analysis: Analysis) -> None:
    first = analysis.findings[0].fingerprint

    log = to_sarif(replace(analysis, new_findings=(first,)))

    runs = log["runs"]
    assert isinstance(runs, list)
    states = {
        result["partialFingerprints"]["cartritaUi/v1"]: result.get("baselineState")
        for result in runs[0]["results"]
    }
    assert states[first] == "new"
    assert set(states.values()) - {None} == {"new", "unchanged"}


class _Audit(HTMLParser):
    """Collects what a self-contained report must not have."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "link", "img", "iframe", "object", "embed", "base"):
            self.wrong.append(tag)
        self.wrong.extend(name for name in values if name.startswith("on") or name == "src")
        if tag == "a" and not (values.get("href") or "").startswith(("#", "https://")):
            self.wrong.append(str(values))


def test_the_html_report_has_charts_and_neither_script_nor_request(analysis: Analysis) -> None:
    page = render_html(analysis)
    audit = _Audit()

    audit.feed(page)

    assert audit.wrong == []
    assert page.count("<svg") >= 12
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page


@pytest.mark.parametrize("kind", ["bad", "clean", "empty"])
def test_the_html_report_passes_its_own_audit(kind: str, analyze_files: AnalyzeFiles, tmp_path: Path) -> None:
    sources: dict[str, str] = {"bad": BAD, "clean": {"a.html": "<p>x</p>"}, "empty": {}}[kind]
    page = render_html(analyze_files(sources))
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / "report.html").write_text(page, encoding="utf-8")

    audit = analyze(folder, Options(workers=1))

    assert [f"{finding.rule_id}: {finding.message}" for finding in audit.findings] == []
    assert audit.overall_effectiveness == 89.0


def test_text_names_the_score_the_caps_and_what_was_not_assessed(analysis: Analysis) -> None:
    report = render_text(analysis)

    assert f"{analysis.overall_effectiveness:.1f} of 100" in report
    assert "a gap of" in report
    assert "Static analysis only" in report
    assert "src/broken.css: too_deep" in report
    assert all(char.isprintable() or char == "\n" for char in report)


def test_equal_input_gives_equal_reports(analyze_files: AnalyzeFiles) -> None:
    first, second = analyze_files(BAD), analyze_files(BAD)

    assert first == second
    assert render_json(first) == render_json(second)
    assert render_html(first) == render_html(second)
    assert render_sarif(first) == render_sarif(second)


def test_two_processes_give_the_same_analysis_as_one(analyze_files: AnalyzeFiles, tmp_path: Path) -> None:
    one = analyze_files({f"src/{number}.html": BAD["index.html"] for number in range(60)})

    two = analyze(tmp_path, Options(workers=2))

    assert one == two
