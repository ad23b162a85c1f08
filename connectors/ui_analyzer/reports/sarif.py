"""The analysis as SARIF 2.1.0, for code scanning tools. Written by hand: the format is plain JSON."""

import json
from urllib.parse import quote

from connectors.ui_analyzer.model import Analysis, Finding, RuleId, RuleResult, Severity
from connectors.ui_analyzer.reports.surroundings import Surroundings

_NOWHERE = Surroundings()
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.SERIOUS: "error",
    Severity.MODERATE: "warning",
    Severity.MINOR: "note",
}
_RANKS = {Severity.CRITICAL: 95.0, Severity.SERIOUS: 75.0, Severity.MODERATE: 45.0, Severity.MINOR: 15.0}


def to_sarif(analysis: Analysis, surroundings: Surroundings = _NOWHERE) -> dict[str, object]:
    """One run with every sure finding as `fail` and every finding that needs review as `review`.

    Paths are relative to the repository around the analysed folder where there is one, otherwise to that folder.
    """
    prefix = f"{surroundings.folder_in_repository}/" if surroundings.folder_in_repository else ""
    positions = {result.info.id: position for position, result in enumerate(analysis.rules)}
    new = None if analysis.new_findings is None else frozenset(analysis.new_findings)
    results = [_result(finding, positions, new, "fail", prefix) for finding in analysis.findings]
    results += [_result(finding, positions, None, "review", prefix) for finding in analysis.needs_review]
    notifications = [
        {
            "level": "warning",
            "message": {"text": f"{problem.status.value}: {problem.detail}"},
            "locations": [{"physicalLocation": {"artifactLocation": _artifact(problem.path, prefix)}}],
        }
        for problem in analysis.problems
    ]
    base = "The root of the repository." if surroundings.in_repository else "The folder that was analysed."
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "cartrita analyze-ui",
                "informationUri": "https://www.w3.org/WAI/WCAG22/quickref/",
                "semanticVersion": "1.0.0",
                "rules": [_rule(result) for result in analysis.rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"PROJECT": {"description": {"text": base}}},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notifications}],
        "results": results,
        "properties": {
            "overallEffectiveness": analysis.overall_effectiveness,
            "effectivenessBeforeCaps": analysis.effectiveness_before_caps,
            "notAssessed": list(analysis.not_assessed),
        },
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def render_sarif(analysis: Analysis, surroundings: Surroundings = _NOWHERE) -> str:
    """The SARIF log as indented JSON text."""
    return json.dumps(to_sarif(analysis, surroundings), indent=2, ensure_ascii=True) + "\n"


def _rule(result: RuleResult) -> dict[str, object]:
    info = result.info
    return {
        "id": info.id,
        "name": "".join(part.capitalize() for part in info.id.replace(":", "-").split("-")),
        "shortDescription": {"text": info.title},
        "fullDescription": {"text": info.reason},
        "help": {"text": f"{info.fix}\n\n{info.reference}: {info.url}"},
        "helpUri": info.url,
        "defaultConfiguration": {"level": _LEVELS[info.severity], "rank": _RANKS[info.severity]},
        "properties": {
            "category": info.category.value,
            "tags": [info.category.value, info.reference],
            "precision": {"high": "very-high", "medium": "high", "low": "low"}[info.confidence.value],
        },
    }


def _result(
    finding: Finding, positions: dict[RuleId, int], new: frozenset[str] | None, kind: str, prefix: str
) -> dict[str, object]:
    location: dict[str, object] = {"artifactLocation": _artifact(finding.path, prefix)}
    if finding.line:
        region: dict[str, object] = {"startLine": finding.line, "startColumn": max(1, finding.column)}
        if finding.snippet:
            region["snippet"] = {"text": finding.snippet}
        location["region"] = region
    result: dict[str, object] = {
        "ruleId": finding.rule_id,
        "ruleIndex": positions[finding.rule_id],
        "kind": kind,
        # A result that is not a failure must have the level none.
        "level": _LEVELS[finding.severity] if kind == "fail" else "none",
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"cartritaUi/v1": finding.fingerprint},
        "properties": {
            "confidence": finding.confidence.value,
            "selector": finding.selector,
            "reference": finding.reference,
            "url": finding.url,
        },
    }
    if new is not None:
        result["baselineState"] = "new" if finding.fingerprint in new else "unchanged"
    return result


def _artifact(path: str, prefix: str) -> dict[str, object]:
    if path.startswith(("http://", "https://")):
        return {"uri": path}
    return {"uri": quote((prefix + path).encode("utf-8", "replace"), safe="/-._~"), "uriBaseId": "PROJECT"}
