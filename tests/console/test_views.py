"""Views that a browser keeps, and lists as files."""

import csv
import io

import pytest
from playwright.sync_api import Page

from tests.console.browsing import needs_browser

pytestmark = [pytest.mark.browser, needs_browser]

CSV = "async (rows) => (await import('/console/app/views.js')).csv(rows)"
SHOW = """
    async () => {
      const {render, html} = await import("/console/app/html.js");
      const {Views} = await import("/console/app/views.js");
      const root = document.getElementById("app");
      render(null, root);
      render(html`<${Views} asked=${{}} />`, root);
      root.querySelector("details").open = true;
    }
"""


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("plain", "plain"),
        ('a "b", c', 'a "b", c'),
        ("two\nlines", "two\nlines"),
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-5", "'-5"),
        (None, ""),
        ("é 漢", "é 漢"),
    ],
)
def test_a_list_as_a_file_reads_back_and_calculates_nothing(
    page: Page, title: str | None, expected: str
) -> None:
    text = str(page.evaluate(CSV, [{"sessionId": "x", "title": title, "tokensUsed": -5}]))

    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["sessionId"], row["title"], row["tokensUsed"]) == ("x", expected, "-5")


def test_a_view_is_kept_under_its_name_and_forgotten(page: Page) -> None:
    page.evaluate("localStorage.removeItem('cartrita.views')")
    page.evaluate("history.replaceState(null, '', '/?status=waiting')")
    page.evaluate("dispatchEvent(new PopStateEvent('popstate'))")
    # The page's own program is not there to hear it.
    page.evaluate(SHOW)

    page.get_by_label("Keep this view as").fill("Mine")
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("link", name="Mine").wait_for()
    assert page.get_by_role("link", name="Mine").get_attribute("href") == "/?status=waiting"
    page.evaluate(SHOW)
    page.get_by_role("button", name="Forget Mine").click()
    assert page.evaluate("localStorage.getItem('cartrita.views')") == "[]"


@pytest.mark.parametrize(
    "kept",
    ["nonsense", "{}", '[{"name": "x", "url": "https://evil.example"}]', '[{"name": "x", "url": "//evil"}]'],
)
def test_what_another_put_among_the_views_leads_nowhere(page: Page, kept: str) -> None:
    page.evaluate("(text) => localStorage.setItem('cartrita.views', text)", kept)

    page.evaluate(SHOW)

    assert page.locator("#app details").count() == 1
    assert page.locator("#app a").count() == 0
    page.evaluate("localStorage.removeItem('cartrita.views')")
