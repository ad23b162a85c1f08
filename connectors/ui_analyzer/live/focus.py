"""Whether an element shows that it has the focus: two pictures of it, compared."""

from playwright.sync_api import Page

from connectors.ui_analyzer.live import probes
from connectors.ui_analyzer.live.values import number

_WIDTH, _HEIGHT = 1280, 800
_MARGIN = 8.0
"""Around the element, for outlines and shadows."""


def looks_the_same(page: Page, stop: dict[str, object], selector: str) -> bool | None:
    """Take a picture of the focused element with and without the focus; None when it is not on the screen.

    Args:
        page: 1280 px wide and 800 px high.
        stop: what the probe FOCUSED told: the box of the element.
        selector: gets the focus back afterwards.
    """
    x, y = number(stop.get("x")), number(stop.get("y"))
    width, height = number(stop.get("width")), number(stop.get("height"))
    if x is None or y is None or not width or not height:
        return None
    if width > _WIDTH or height > _HEIGHT or y > _HEIGHT - 20 or x > _WIDTH - 10:
        return None
    left, top = max(0.0, x - _MARGIN), max(0.0, y - _MARGIN)
    right, bottom = min(float(_WIDTH), x + width + _MARGIN), min(float(_HEIGHT), y + height + _MARGIN)
    if right <= left or bottom <= top:
        return None

    def picture() -> bytes:
        return page.screenshot(
            clip={"x": left, "y": top, "width": right - left, "height": bottom - top},
            animations="disabled",
            caret="hide",
        )

    focused = picture()
    page.evaluate(probes.BLUR)
    blurred = picture()
    page.evaluate(probes.REFOCUS, selector)
    return focused == blurred
