"""The analysis as one HTML file: no script, no request, charts as inline SVG, light and dark."""

from importlib.resources import files
from itertools import groupby

from jinja2 import Environment

from connectors.ui_analyzer.model import Analysis, Finding

_FINDINGS_PER_RULE_MAX = 100
_DONUT_LENGTH = 326.7
"""Circumference of the ring, 2π · 52."""


def render_html(analysis: Analysis) -> str:
    """The report; every value from the analysed source is escaped."""
    template = (
        files("connectors.ui_analyzer").joinpath("reports", "report.html.jinja").read_text(encoding="utf-8")
    )
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    rendered: str = environment.from_string(template).render(
        analysis=analysis,
        groups=_groups(analysis),
        per_rule_max=_FINDINGS_PER_RULE_MAX,
        severities=_severities(analysis),
        donut_length=_DONUT_LENGTH,
        donut_filled=_DONUT_LENGTH * (analysis.overall_effectiveness or 0) / 100,
        infos={result.info.id: result.info for result in analysis.rules},
    )
    return rendered.encode("utf-8", "replace").decode("utf-8")


def _groups(analysis: Analysis) -> list[tuple[str, list[Finding]]]:
    order = {"critical": 0, "serious": 1, "moderate": 2, "minor": 3}
    findings = sorted(analysis.findings, key=lambda f: (order[f.severity], f.rule_id, f.path, f.line))
    return [(rule, list(group)) for rule, group in groupby(findings, key=lambda f: f.rule_id)]


def _severities(analysis: Analysis) -> list[tuple[str, int, float]]:
    """Severity, number of findings, and width of the bar in percent of the longest."""
    counts = {
        severity: sum(1 for finding in analysis.findings if finding.severity == severity)
        for severity in ("critical", "serious", "moderate", "minor")
    }
    most = max(counts.values()) or 1
    return [(severity, count, 100 * count / most) for severity, count in counts.items()]
