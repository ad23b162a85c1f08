"""The analysis by the keys of the notebook that this analyzer took its ten metrics from."""

import json

from connectors.ui_analyzer.model import Analysis, Metric, Status
from connectors.ui_analyzer.reports.surroundings import Surroundings


def to_notebook(analysis: Analysis, surroundings: Surroundings) -> dict[str, object]:
    """Plain values by those keys; a metric that was not assessed has the score None and is never critical."""
    metrics = [_metric(metric) for metric in analysis.metrics]
    scores = {metric.category: metric.score for metric in analysis.metrics}
    titles = {metric.category: metric.title for metric in analysis.metrics}
    timeline = analysis.timeline
    return {
        "overall_effectiveness": analysis.overall_effectiveness,
        "target_effectiveness": analysis.target_effectiveness,
        "effectiveness_gap": analysis.effectiveness_gap,
        "metrics": metrics,
        "critical_issues": [metric for metric in metrics if metric["status"] == Status.CRITICAL.value],
        "analysis_duration": f"{surroundings.duration_s:.2f}s",
        "recommendations": [
            {
                "metric": titles[entry.category],
                "recommendation": entry.text,
                "priority": entry.priority,
                "current_score": scores[entry.category],
                "impact": entry.impact,
            }
            for entry in analysis.recommendations
        ],
        "implementation_timeline": {
            "estimated_days": timeline.estimated_days,
            "estimated_weeks": timeline.estimated_weeks,
            "critical_issues": _count(analysis, Status.CRITICAL),
            "improvement_issues": _count(analysis, Status.NEEDS_IMPROVEMENT),
            "phases": [
                {"phase": phase.name, "duration_days": phase.duration_days} for phase in timeline.phases
            ],
        },
    }


def render_notebook(analysis: Analysis, surroundings: Surroundings) -> str:
    """The same as indented JSON text."""
    return json.dumps(to_notebook(analysis, surroundings), indent=2, ensure_ascii=True) + "\n"


def _metric(metric: Metric) -> dict[str, object]:
    return {
        "name": metric.title,
        "current_score": metric.score,
        "target_score": metric.target_score,
        "status": metric.status.value,
        "issues": list(metric.issues),
        "recommendations": [entry.text for entry in metric.recommendations],
    }


def _count(analysis: Analysis, status: Status) -> int:
    return sum(1 for metric in analysis.metrics if metric.status is status)
