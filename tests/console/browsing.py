"""A Chromium for tests that act as people do, and what is looked at on every page."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from connectors.ui_analyzer.live.browser import BrowserMissing, find_chromium
from connectors.ui_analyzer.options import LiveOptions

WAIT_MS: Final = 60_000
expect.set_options(timeout=WAIT_MS)
AXE: Final = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_RUN: Final = """
    async (tags) => {
      const found = await axe.run(document, {runOnly: {type: "tag", values: tags}});
      const places = (nodes) => nodes.map((node) => node.target.join(" ")).slice(0, 5);
      return found.violations.map((one) => [one.id, places(one.nodes)]);
    }
"""


def chromium() -> str:
    """Return the path of the browser, or "" where there is none."""
    try:
        return find_chromium(LiveOptions(url="http://127.0.0.1"))
    except BrowserMissing:
        return ""


needs_browser = pytest.mark.skipif(
    not chromium(),
    reason="NO BROWSER: install chromium, chromium-browser or google-chrome to run these tests",
)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a browser; it ends with the block."""
    with sync_playwright() as playwright:
        # Chromium refuses to sandbox itself as root.
        arguments = [] if os.geteuid() != 0 else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page, and what its console complained of."""

    def __init__(self, context: BrowserContext) -> None:
        """Open an empty page."""
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints: list[str] = []
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None,
        )


def violations(page: Page) -> list[Any]:  # Any: as axe tells them
    """Return what axe finds wrong with a page: rules, and where."""
    # Through the browser's own protocol: the page's policy lets no script in, and shall not.
    page.evaluate(f"() => {{ {AXE} }}")
    return list(page.evaluate(_RUN, _TAGS))


def photograph(page: Page, name: str) -> None:
    """Keep a picture of what is in view, where CONSOLE_SCREENSHOTS names a folder for them."""
    folder = os.environ.get("CONSOLE_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png")


def overflows(page: Page) -> bool:
    """Tell whether a page is wider than its window."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
