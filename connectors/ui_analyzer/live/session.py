"""Whether and how the browser part runs."""

from collections.abc import Callable
from dataclasses import dataclass, field

from connectors.ui_analyzer.model import Finding, Live, RuleId, RuleInfo
from connectors.ui_analyzer.options import LiveOptions, Progress

STATIC_ONLY = "Static analysis only: no page was opened in a browser."


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOutcome:
    """What the browser part adds to an analysis."""

    summary: Live
    rules: tuple[RuleInfo, ...] = ()
    passes: dict[RuleId, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def inspect_page(options: LiveOptions | None, progress: Callable[[Progress], None] | None) -> LiveOutcome:
    """Test the page at `options.url`; without one, or without a browser, say so."""
    if options is None:
        return LiveOutcome(summary=Live(performed=False, url="", note=STATIC_ONLY))
    del progress
    return LiveOutcome(summary=Live(performed=False, url=options.url, note=STATIC_ONLY))
