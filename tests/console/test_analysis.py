"""The project's own analyzer looks at the console."""

from connectors.ui_analyzer.analysis import analyze
from connectors.ui_analyzer.model import Severity
from connectors.ui_analyzer.options import Options
from tests.console.sources import FOLDER

SCORE_MIN = 85.0
"""Of 89, the most that a look at sources alone can give."""


def test_the_analyzer_finds_nothing_grave() -> None:
    analysis = analyze(FOLDER, Options(workers=1))

    grave = [one for one in analysis.findings if one.severity in (Severity.CRITICAL, Severity.SERIOUS)]
    assert [(one.rule_id, one.path, one.line) for one in grave] == []
    assert analysis.overall_effectiveness is not None
    assert analysis.overall_effectiveness >= SCORE_MIN
