"""The report on a measured user interface: the score, the weakest metrics, the most severe findings."""

from collections.abc import Mapping, Sequence
from typing import Final

from schemas.plain import is_number

METRICS_SHOWN: Final = 3
FINDINGS_SHOWN: Final = 5
_SEVERITIES: Final = ("critical", "serious", "moderate", "minor")


def audited(result: Mapping[str, object]) -> str:
    """Return the report on a result of `analyze_ui`, as text; every number in it stands in the result."""
    overall = result.get("overall_effectiveness")
    if overall is None:
        reasons = " ".join(str(reason) for reason in _entries(result.get("not_assessed"))[:1])
        return f"There is no score for {result.get('target', 'this folder')}. {reasons}".strip()
    subject, status = result.get("target", "the user interface"), str(result.get("status")).replace("_", " ")
    lines = [f"Overall effectiveness of {subject}: {overall} of 100 ({status})."]
    scored = [metric for metric in _mappings(result.get("metrics")) if is_number(metric.get("score"))]
    weakest = sorted(scored, key=lambda metric: float(str(metric["score"])))[:METRICS_SHOWN]
    lines += [
        f"- Weak metric {metric.get('title', metric.get('category'))}: {metric['score']}."
        for metric in weakest
        if float(str(metric["score"])) < 100
    ]
    lines += [_finding(finding) for finding in _most_severe(_mappings(result.get("findings")))]
    return "\n".join(lines)


def _most_severe(findings: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
    def rank(finding: Mapping[str, object]) -> int:
        severity = str(finding.get("severity"))
        return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)

    return sorted(findings, key=rank)[:FINDINGS_SHOWN]


def _finding(finding: Mapping[str, object]) -> str:
    place = f"{finding.get('path', '')}:{finding.get('line', '')}"
    return f"- {str(finding.get('severity', '')).capitalize()} at {place}: {finding.get('message', '')}."


def _entries(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [entry for entry in _entries(value) if isinstance(entry, dict)]
