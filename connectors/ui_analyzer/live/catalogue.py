"""The rules that only a running page can be held to; those of axe come on top, by their own names."""

from connectors.ui_analyzer.model import Category, RuleId, RuleInfo, Severity

_MDN = "https://developer.mozilla.org/en-US/docs/"
_WCAG = "https://www.w3.org/WAI/WCAG22/Understanding/"


def _live(
    name: str,
    category: Category,
    severity: Severity,
    title: str,
    reason: str,
    fix: str,
    reference: str,
    url: str,
) -> RuleInfo:
    return RuleInfo(
        id=RuleId(f"live:{name}"),
        category=category,
        severity=severity,
        title=title,
        reason=reason,
        fix=fix,
        reference=reference,
        url=url,
    )


LIVE_RULES = {
    info.id.removeprefix("live:"): info
    for info in (
        _live("reflow", Category.RESPONSIVE, Severity.SERIOUS, "Nothing has to be scrolled sideways",
              "At 320 px, or zoomed to 400 %, each line has to be scrolled.", "Let the named element wrap or shrink.",
              "WCAG 2.2 1.4.10 Reflow", _WCAG + "reflow"),
        _live("focus-visible", Category.ACCESSIBILITY, Severity.SERIOUS, "The focus can be seen",
              "Who uses the keyboard does not know where they are.", "Style `:focus-visible` plainly.",
              "WCAG 2.2 2.4.7 Focus Visible", _WCAG + "focus-visible"),
        _live("keyboard-trap", Category.ACCESSIBILITY, Severity.CRITICAL, "The keyboard gets everywhere and out again",
              "Focus enters this element and cannot leave it.", "Let Tab move on.",
              "WCAG 2.2 2.1.2 No Keyboard Trap", _WCAG + "no-keyboard-trap"),
        _live("forced-colors", Category.ACCESSIBILITY, Severity.SERIOUS, "The focus can be seen in forced colours",
              "Systems with forced colours drop shadows and backgrounds, and with them this focus.",
              "Give `:focus-visible` an outline; a transparent one is enough.",
              "MDN: forced-colors", _MDN + "Web/CSS/Reference/At-rules/@media/forced-colors"),
        _live("console-errors", Category.ERRORS, Severity.MODERATE, "The page runs without errors",
              "An uncaught error stops whatever was to follow.", "Handle the error at its cause.",
              "MDN: error event", _MDN + "Web/API/Window/error_event"),
        _live("lcp", Category.PERFORMANCE, Severity.MODERATE, "The main content appears within 2.5 s",
              "People leave before they see anything.", "Load less before the first paint.",
              "web.dev: LCP", "https://web.dev/articles/lcp"),
        _live("cls", Category.PERFORMANCE, Severity.MODERATE, "The layout does not jump (at most 0.1)",
              "What one is about to click moves away.", "Reserve space for what arrives late.",
              "web.dev: CLS", "https://web.dev/articles/cls"),
        _live("interaction", Category.PERFORMANCE, Severity.MODERATE, "Input is answered within 200 ms",
              "The page feels stuck, and people press again.", "Split long work, and render less per input.",
              "web.dev: INP", "https://web.dev/articles/inp"),
        _live("long-tasks", Category.PERFORMANCE, Severity.MODERATE, "The page is not blocked for long (at most 600 ms)",
              "While a task runs, nothing answers.", "Split long tasks, or move them to a worker.",
              "web.dev: TBT", "https://web.dev/articles/tbt"),
        _live("heap-growth", Category.PERFORMANCE, Severity.MODERATE, "Memory does not grow while nobody does anything",
              "A page that stays open becomes slow and ends.", "Limit what live messages add, and undo timers and listeners.",
              "MDN: Memory management", _MDN + "Web/JavaScript/Guide/Memory_management"),
        _live("websocket-reconnect", Category.WEBSOCKET, Severity.SERIOUS, "A cut WebSocket connects again",
              "After a hiccup of the network the page stays stale.", "Connect again, with backoff and jitter.",
              "MDN: WebSocket close event", _MDN + "Web/API/WebSocket/close_event"),
    )
}  # fmt: skip
