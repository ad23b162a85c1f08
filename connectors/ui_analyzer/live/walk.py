"""Walks a page through themes, viewports, the keyboard and a failing network."""

import time
from collections.abc import Callable
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Page

from connectors.ui_analyzer.live import probes
from connectors.ui_analyzer.live.focus import looks_the_same
from connectors.ui_analyzer.live.gate import Gate
from connectors.ui_analyzer.live.ledger import Ledger
from connectors.ui_analyzer.live.pictures import Pictures
from connectors.ui_analyzer.live.values import number, record, text
from connectors.ui_analyzer.options import LiveOptions, Progress

Theme = Literal["light", "dark"]
_THEMES: tuple[Theme, ...] = ("light", "dark")
_VIEWPORTS = ((1280, 800), (768, 1024), (320, 640))
_SETTLE_MS_MAX = 2_000
_TABS_MAX = 60
_FOCUS_CHECKS_MAX = 25
_FORCED_COLOURS_CHECKS_MAX = 10
_LCP_MS_MAX = 2_500.0
_CLS_MAX = 0.1
_INTERACTION_MS_MAX = 200.0
_BLOCKING_MS_MAX = 600.0
_HEAP_MB_A_MINUTE_MAX = 20.0
_ERRORS_MAX = 20


class PageWalk:
    """One walk over one page. `ledger` keeps what was seen even when the walk ends early."""

    def __init__(self, options: LiveOptions, gate: Gate, progress: Callable[[Progress], None] | None) -> None:
        self.ledger = Ledger(options.url)
        self.loaded = False
        self.measured = False
        """Whether axe ran in at least one context: without it, the page counts as not tested."""
        self.browser = ""
        self._options = options
        self._gate = gate
        self._page: Page | None = None
        self._progress = progress
        self._errors: dict[str, None] = {}
        self._sockets = 0
        self._pictures = Pictures(self.ledger)
        self._steps = len(_THEMES) * len(_VIEWPORTS) + 5
        self._done = 0

    def run(self, context: BrowserContext) -> None:
        """Do everything.

        Raises:
            playwright.sync_api.Error: the browser died, or the page does not answer.
        """
        axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
        self.browser = f"Chromium {context.browser.version}" if context.browser else "Chromium"
        page = context.pages[0] if context.pages else context.new_page()
        self._page = page
        page.add_init_script(probes.OBSERVERS)
        page.on("pageerror", lambda error: self._error(f"uncaught: {error.message}"))
        page.on("console", self._console)
        page.on("websocket", lambda _: self._socket())
        page.on("dialog", lambda dialog: dialog.dismiss())
        self._gate.forget_refused()  # What the browser itself asked for while starting.
        for theme in _THEMES:
            for width, height in _VIEWPORTS:
                self._context(page, axe, theme, width, height)
        page.set_viewport_size({"width": 1280, "height": 800})
        page.emulate_media(color_scheme="light")
        self._load(page)
        self._step("keyboard")
        label = "light 1280x800"
        self._attempt("keyboard walk", label, lambda: self._keyboard(page))
        self._pictures.take(page)
        self._attempt("vitals", label, lambda: self._vitals(page))
        self._step("memory")
        self._attempt("heap-growth", label, lambda: self._heap(page))
        self._step("forced colours")
        self._attempt("forced-colors", label, lambda: self._forced_colours(page))
        self._step("network")
        self._attempt("websocket-reconnect", label, lambda: self._reconnect(page))
        self._finish()

    def _context(self, page: Page, axe: str, theme: Theme, width: int, height: int) -> None:
        label = f"{theme} {width}x{height}"
        self._step(label)
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        self._load(page)
        self._attempt("reflow", label, lambda: self._reflow(page, label))
        self._attempt("axe", label, lambda: self._axe(page, axe, label))
        self._pictures.take(page)

    def _reflow(self, page: Page, label: str) -> None:
        overflow = page.evaluate(probes.OVERFLOW)
        if overflow is None:
            self.ledger.check("reflow", label, "nothing is wider than the screen", True)
        else:
            seen = record(overflow)
            value = f"{text(seen.get('by'), 80)} makes the page {number(seen.get('width')) or 0:g} px wide"
            self.ledger.check("reflow", label, value, False, selector=text(seen.get("by"), 80))

    def _axe(self, page: Page, axe: str, label: str) -> None:
        page.evaluate(axe)
        self.ledger.axe(page.evaluate(probes.AXE_RUN), label)
        self.measured = True

    def _attempt(self, name: str, label: str, measure: Callable[[], None]) -> None:
        """Measure; a page that has tampered with its own objects makes one measurement fail, not the walk."""
        try:
            measure()
        except Error as error:
            if self._page is None or self._page.is_closed():
                raise
            why = text(str(error).split("\n", 1)[0], 120)
            self.ledger.check(name, label, f"could not be measured: {why}", None)

    def _load(self, page: Page) -> None:
        page.goto(self._options.url, wait_until="load", timeout=self._options.page_time_ms_max)
        self.loaded = True
        try:
            page.wait_for_load_state("networkidle", timeout=_SETTLE_MS_MAX)
        except Error:
            return  # A page with a live connection never becomes idle; it had its time to settle.

    def _keyboard(self, page: Page) -> None:
        """Press Tab through the page; look at each stop with and without the focus."""
        expected = number(page.evaluate(probes.FOCUSABLE)) or 0
        stops: dict[str, None] = {}
        invisible, stuck, last = 0, 0, ""
        for _ in range(_TABS_MAX):
            page.keyboard.press("Tab")
            stop = record(page.evaluate(probes.FOCUSED))
            selector = text(stop.get("selector"))
            if not selector:
                if stops:
                    break
                continue
            stuck = stuck + 1 if selector == last else 0
            if stuck >= 3 and expected > 1:
                self.ledger.check(
                    "keyboard-trap",
                    "light 1280x800",
                    f"Tab does not leave {selector}",
                    False,
                    selector=selector,
                )
                return
            if selector in stops and selector != last:
                break
            if selector not in stops and len(stops) < _FOCUS_CHECKS_MAX:
                invisible += self._invisible(page, stop, selector)
            stops[selector] = None
            last = selector
        if expected:
            self.ledger.check(
                "keyboard-trap", "light 1280x800", f"{len(stops)} stops, {expected:g} expected", True
            )
        self.ledger.check(
            "keyboard walk", "light 1280x800", f"{len(stops)} stops, {invisible} without visible focus", None
        )

    def _invisible(self, page: Page, stop: dict[str, object], selector: str) -> int:
        """Whether the picture of an element is the same with and without the focus."""
        same = looks_the_same(page, stop, selector)
        if same is None:
            return 0
        value = f"{selector} looks the same with the focus" if same else f"{selector} shows the focus"
        self.ledger.check(
            "focus-visible",
            "light 1280x800",
            value,
            not same,
            selector=selector,
            html=text(stop.get("html"), 160),
            listed=same,
        )
        return int(same)

    def _forced_colours(self, page: Page) -> None:
        """Look at the first stops of the keyboard again, with the colours that the system forces on the page."""
        page.emulate_media(color_scheme="light", forced_colors="active")
        try:
            self._load(page)
            seen: set[str] = set()
            for _ in range(_FORCED_COLOURS_CHECKS_MAX):
                page.keyboard.press("Tab")
                stop = record(page.evaluate(probes.FOCUSED))
                selector = text(stop.get("selector"))
                if not selector or selector in seen:
                    break
                seen.add(selector)
                same = looks_the_same(page, stop, selector)
                if same is not None:
                    value = f"{selector} {'looks the same with' if same else 'shows'} the focus"
                    html = text(stop.get("html"), 160)
                    self.ledger.check(
                        "forced-colors",
                        "forced 1280x800",
                        value,
                        not same,
                        selector=selector,
                        html=html,
                        listed=same,
                    )
            self.ledger.check("forced colours walk", "forced 1280x800", f"{len(seen)} stops", None)
        finally:
            page.emulate_media(color_scheme="light", forced_colors="none")

    def _heap(self, page: Page) -> None:
        """Watch how much of the page's memory stays in use while nobody does anything."""
        wait_ms = self._options.heap_ms
        if wait_ms == 0:
            return
        devtools = page.context.new_cdp_session(page)
        try:
            used = []
            for pause_ms in (wait_ms, 0):
                devtools.send("HeapProfiler.collectGarbage")
                used.append(number(devtools.send("Runtime.getHeapUsage").get("usedSize")) or 0.0)
                page.wait_for_timeout(pause_ms)
        finally:
            devtools.detach()
        grown_mb = (used[1] - used[0]) / 1_048_576
        a_minute = grown_mb * 60_000 / wait_ms
        value = f"{used[1] / 1_048_576:.1f} MB, {grown_mb:+.1f} MB in {wait_ms / 1000:g} s"
        self.ledger.check("heap-growth", "light 1280x800", value, a_minute <= _HEAP_MB_A_MINUTE_MAX)

    def _vitals(self, page: Page) -> None:
        seen = record(page.evaluate(probes.VITALS))
        label = "light 1280x800"
        lcp, shift = number(seen.get("lcp")), number(seen.get("cls"))
        delay, tasks = number(seen.get("interaction")), number(seen.get("longTasks"))
        self.ledger.check(
            "lcp", label, f"{lcp:.0f} ms" if lcp else "not measured", lcp <= _LCP_MS_MAX if lcp else None
        )
        self.ledger.check(
            "cls",
            label,
            f"{shift:.3f}" if shift is not None else "not measured",
            shift <= _CLS_MAX if shift is not None else None,
        )
        self.ledger.check(
            "interaction",
            label,
            f"{delay:.0f} ms" if delay else "below 16 ms, or no interaction",
            delay <= _INTERACTION_MS_MAX if delay else None,
        )
        blocked = number(seen.get("blocking"))
        self.ledger.check(
            "long-tasks",
            label,
            f"{tasks or 0:g}, blocking for {blocked:.0f} ms" if blocked is not None else "not measured",
            blocked <= _BLOCKING_MS_MAX if blocked is not None else None,
        )
        rate = number(page.evaluate(probes.FRAME_RATE))
        self.ledger.check("frame rate", label, f"{rate:.0f} per second" if rate else "not measured", None)
        inner = [frame for frame in page.frames if frame is not page.main_frame]
        self.ledger.check("frames", label, f"{len(inner)} embedded", None)

    def _reconnect(self, page: Page) -> None:
        """Cut the page's WebSockets in the network and wait for a new one."""
        before = self._sockets
        if before == 0:
            return
        cut = self._gate.cut_tunnels()
        if cut == 0:
            return  # The socket was refused by the gate, or closed by the page itself.
        started = time.monotonic()
        while (
            self._sockets == before and (time.monotonic() - started) * 1000 < self._options.reconnect_ms_max
        ):
            page.wait_for_timeout(100)
        waited_ms = (time.monotonic() - started) * 1000
        again = self._sockets > before
        value = (
            f"{cut} cut, connected again after {waited_ms:.0f} ms"
            if again
            else f"{cut} cut, not connected again within {self._options.reconnect_ms_max} ms"
        )
        self.ledger.check("websocket-reconnect", "light 1280x800", value, again)

    def _finish(self) -> None:
        self._step("done")
        # What the gate refused fails in the console by our own doing.
        own = [error for error in self._errors if not _by_the_gate(error)]
        for error in own:
            self.ledger.check("console-errors", "all", text(error), False, selector=text(error, 80))
        if not own:
            self.ledger.check("console-errors", "all", "none", True)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser asks for this file by itself; a page that has none is not broken.
        by_itself = urlsplit(text(message.location.get("url"))).path == "/favicon.ico"
        if message.type == "error" and not by_itself:
            self._error(message.text)

    def _error(self, message: str) -> None:
        if len(self._errors) < _ERRORS_MAX:
            self._errors[text(message)] = None

    def _socket(self) -> None:
        self._sockets += 1

    def _step(self, detail: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(Progress("page", min(self._done, self._steps), self._steps, detail))


def _by_the_gate(error: str) -> bool:
    markers = (
        "ERR_TUNNEL_CONNECTION_FAILED",
        "ERR_PROXY",
        "403",
        "ERR_EMPTY_RESPONSE",
        "net::ERR_FAILED",
        "CORS policy",
        "local resource",
        "WebSocket connection to",
    )
    return any(marker in error for marker in markers)
