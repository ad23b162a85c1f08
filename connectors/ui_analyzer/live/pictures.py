"""Pictures of the elements that something is wrong with, for the report."""

import base64

from playwright.sync_api import Error, Page

from connectors.ui_analyzer.live.ledger import Ledger

PICTURES_MAX = 20
TRIES_MAX = 40
PICTURE_BYTES_MAX = 60_000
_TIME_MS_MAX = 1_000
_QUALITY = 60


class Pictures:
    """Takes a picture per element, of the first ones alone: a report stays small enough to be mailed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tried: set[str] = set()
        self._taken = 0

    def take(self, page: Page) -> None:
        """Take pictures of what is new in the ledger, as the page looks now."""
        for selector in self._ledger.without_picture():
            if self._taken >= PICTURES_MAX or len(self._tried) >= TRIES_MAX:
                return
            if selector in self._tried:
                continue
            self._tried.add(selector)
            try:
                element = page.locator(f"css={selector}").first
                content = element.screenshot(
                    type="jpeg", quality=_QUALITY, timeout=_TIME_MS_MAX, animations="disabled", caret="hide"
                )
            except Error:
                # It is gone, hidden, or no selector at all, as with the texts of the console.
                if page.is_closed():
                    raise
                continue
            if len(content) <= PICTURE_BYTES_MAX:
                self._taken += 1
                self._ledger.picture(selector, "data:image/jpeg;base64," + base64.b64encode(content).decode())
