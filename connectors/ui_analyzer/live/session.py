"""Whether and how the browser part runs."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit

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
    """Test the page at `options.url`; without one, without a browser, or when it fails, say so."""
    if options is None:
        return LiveOutcome(summary=Live(performed=False, url="", note=STATIC_ONLY))
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return refused(options, "only http:// and https:// pages are opened")
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None:
        return refused(options, "the extra `ui-live` is not installed")
    # A thread of its own: Playwright's synchronous interface refuses to run where an event loop does.
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(_perform, options, progress).result()


def refused(options: LiveOptions, why: str) -> LiveOutcome:
    """The labelled result without a browser."""
    return LiveOutcome(summary=Live(performed=False, url=options.url, note=f"{STATIC_ONLY} Reason: {why}."))


def _perform(options: LiveOptions, progress: Callable[[Progress], None] | None) -> LiveOutcome:
    # Imported here because they need the optional packages.
    from playwright.sync_api import Error

    from connectors.ui_analyzer.live.browser import BrowserMissing, find_chromium, opened
    from connectors.ui_analyzer.live.gate import Gate
    from connectors.ui_analyzer.live.walk import PageWalk

    try:
        find_chromium(options)
    except BrowserMissing as missing:
        return refused(options, str(missing))
    gate = Gate(options.url, requests_max=options.requests_max)
    reason = ""
    walk = PageWalk(options, gate, progress)
    try:
        with opened(options, gate) as (context, watch):
            try:
                walk.run(context)
            except Error as error:
                reason = watch.reason or str(error).split("\n", 1)[0][:200]
    except Error as error:
        reason = reason or str(error).split("\n", 1)[0][:200]
    finally:
        gate.close()
    ledger = walk.ledger
    if walk.loaded and not walk.measured:
        return refused(options, f"the page could not be measured: {reason or 'axe does not run on it'}")
    if not walk.loaded:
        return refused(options, f"the page did not load: {reason or 'unknown'}")
    note = f"Incomplete: {reason}." if reason else ""
    return LiveOutcome(
        summary=Live(
            performed=True,
            url=options.url,
            note=note,
            browser=walk.browser,
            checks=tuple(ledger.checks),
            blocked_requests=gate.refused,
        ),
        rules=ledger.rules,
        passes=ledger.passes,
        findings=ledger.findings,
    )
