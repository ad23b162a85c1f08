"""The analysis as text for a terminal."""

from connectors.ui_analyzer.model import Analysis, Finding, Metric

_WIDTH = 34
_FINDINGS_SHOWN_MAX = 40
_RECOMMENDATIONS_SHOWN_MAX = 10
_STATUS = {
    "excellent": "excellent",
    "good": "good",
    "needs_improvement": "needs improvement",
    "critical": "critical",
    "not_assessed": "not assessed",
}


def render_text(analysis: Analysis, *, findings_max: int = _FINDINGS_SHOWN_MAX) -> str:
    """A report of at most a few screens; control characters of the source never reach the terminal."""
    lines = ["UI effectiveness of " + analysis.target, ""]
    lines.extend(_head(analysis))
    lines.extend(["", "Metrics"])
    lines.extend(_metric(metric) for metric in analysis.metrics)
    lines.extend(_recommendations(analysis))
    lines.extend(_findings(analysis, findings_max))
    lines.extend(_timeline(analysis))
    lines.extend(_live(analysis))
    lines.extend(_rest(analysis))
    return "\n".join(_printable(line) for line in lines) + "\n"


def _head(analysis: Analysis) -> list[str]:
    if analysis.overall_effectiveness is None:
        head = ["Overall effectiveness  not assessed"]
    else:
        head = [
            f"Overall effectiveness  {analysis.overall_effectiveness:.1f} of 100 ({_STATUS[analysis.status]})",
            f"Target                 {analysis.target_effectiveness:.0f}, a gap of {analysis.effectiveness_gap:.1f} points",
        ]
    if analysis.caps:
        head.append(f"Before caps            {analysis.effectiveness_before_caps:.1f}")
    head.extend(f"Capped                 {cap}" for cap in analysis.caps)
    totals = analysis.totals
    head.append(
        f"Assessed               {totals.files_assessed} files, {totals.files_left_out} left out; "
        f"{totals.rules_applied} of {totals.rules_known} rules applied ({totals.coverage_percent:.1f} %)"
    )
    if not analysis.live.performed:
        head.append(f"Browser                {analysis.live.note}")
    return head


def _metric(metric: Metric) -> str:
    if metric.score is None:
        return f"  {metric.title:<{_WIDTH - 10}}    —            {metric.note}"
    bar = "█" * int(metric.score / 10) + "·" * (10 - int(metric.score / 10))
    review = f", {metric.needs_review} to review" if metric.needs_review else ""
    return (
        f"  {metric.title:<{_WIDTH - 10}} {metric.score:5.1f} {bar} {_STATUS[metric.status]}; "
        f"{metric.findings} findings{review}, {metric.rules_applied} of {metric.rules_known} rules"
    )


def _recommendations(analysis: Analysis) -> list[str]:
    if not analysis.recommendations:
        return []
    lines = ["", "What to do first"]
    for position, entry in enumerate(analysis.recommendations[:_RECOMMENDATIONS_SHOWN_MAX], start=1):
        lines.append(
            f"  {position:2}. [{entry.priority}, impact {entry.impact}, {entry.points:.2f} points] {entry.text} "
            f"({entry.findings} × {entry.rule_id})"
        )
    more = len(analysis.recommendations) - _RECOMMENDATIONS_SHOWN_MAX
    return [*lines, f"  … and {more} more"] if more > 0 else lines


def _findings(analysis: Analysis, findings_max: int) -> list[str]:
    new = None if analysis.new_findings is None else frozenset(analysis.new_findings)
    shown = [finding for finding in analysis.findings if new is None or finding.fingerprint in new]
    order = {"critical": 0, "serious": 1, "moderate": 2, "minor": 3}
    shown.sort(key=lambda finding: (order[finding.severity], finding.path, finding.line))
    title = (
        f"Findings ({len(shown)})"
        if new is None
        else f"New findings ({len(shown)} of {len(analysis.findings)})"
    )
    lines = ["", title, *(_finding(finding) for finding in shown[:findings_max])]
    if len(shown) > findings_max:
        lines.append(f"  … and {len(shown) - findings_max} more; JSON, SARIF and HTML have all of them")
    return lines


def _finding(finding: Finding) -> str:
    place = (
        f"{finding.path}:{finding.line}:{finding.column}"
        if finding.line
        else f"{finding.path} {finding.selector}"
    )
    return f"  {finding.severity.value:<8} {place}  {finding.message}  [{finding.rule_id}]"


def _timeline(analysis: Analysis) -> list[str]:
    timeline = analysis.timeline
    if not timeline.estimated_days:
        return []
    lines = [
        "",
        f"Estimate for one person: {timeline.estimated_days:g} days ({timeline.estimated_weeks:g} weeks)",
    ]
    lines.extend(
        f"  {phase.name:<16} {phase.duration_days:4g} days"
        for phase in timeline.phases
        if phase.duration_days
    )
    return lines


def _live(analysis: Analysis) -> list[str]:
    if not analysis.live.performed:
        return []
    lines = ["", f"In the browser ({analysis.live.browser}): {analysis.live.url}"]
    for check in analysis.live.checks:
        mark = {True: "ok  ", False: "FAIL", None: "?   "}[check.passed]
        lines.append(f"  {mark} {check.name:<24} {check.context:<20} {check.value}")
    return lines


def _rest(analysis: Analysis) -> list[str]:
    lines = []
    if analysis.not_assessed:
        lines.extend(
            ["", "Not assessed, and not counted", *(f"  {sentence}" for sentence in analysis.not_assessed)]
        )
    if analysis.problems:
        lines.extend(["", "Files with problems"])
        lines.extend(
            f"  {problem.path}: {problem.status.value} ({problem.detail})"
            for problem in analysis.problems[:20]
        )
        if len(analysis.problems) > 20:
            lines.append(f"  … and {len(analysis.problems) - 20} more")
    return lines


def _printable(line: str) -> str:
    return "".join(char if char.isprintable() else "�" for char in line)
