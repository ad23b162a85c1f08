"""The console in a real browser, on the real stack, as people use it."""

import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.conftest import Make
from tests.pipeline.console import everywhere
from tests.pipeline.test_front_door import opened, say

pytestmark = [pytest.mark.stack, pytest.mark.browser, needs_browser, pytest.mark.timeout(300)]

MANY = 100_000
NODES_MAX = 500
"""Rows of a list that may be elements at once."""
ROWS_KNOWN = """
    (rows) => Math.round(
      document.querySelector(".rows-body").offsetHeight / document.querySelector(".row-probe").offsetHeight
    ) >= rows
"""
SEED = """
    WITH made AS (
        INSERT INTO sessions (id, created_at)
        SELECT gen_random_uuid(), now() - n * interval '1 minute' FROM generate_series(1, %(many)s) n
        RETURNING id, created_at
    )
    INSERT INTO session_summaries (id, tenant_id, user_id, title, status, opened_at, last_input_at)
    SELECT id, %(tenant)s, 'ann', 'Session of ' || created_at, 'answered', created_at, created_at FROM made
"""
UNSEED = """
    WITH gone AS (DELETE FROM session_summaries WHERE tenant_id = %s RETURNING id)
    DELETE FROM sessions USING gone WHERE gone.id = sessions.id
"""


def test_whoever_is_not_logged_in_is_told_how_to(browser: Browser, address: str) -> None:
    context = browser.new_context(base_url=address)
    watched = Watched(context)

    watched.page.goto("/")

    expect(watched.page.get_by_role("heading", name="This browser is not logged in")).to_be_visible()
    expect(watched.page.get_by_text("cartrita login", exact=True)).to_be_visible()
    assert violations(watched.page) == []
    context.close()


def test_the_list_lives(page: Page, watched: Watched, http: httpx.Client) -> None:
    page.goto("/")
    expect(page.get_by_text("live", exact=True)).to_be_visible()

    title = f"Sums {uuid.uuid4().hex[:8]}"
    session = opened(http, title=title, userId="ann")
    row = page.get_by_role("row").filter(has_text=title)
    expect(row).to_contain_text("open")
    say(http, session, "Calculate 6 * 7 with code.")
    expect(row).to_contain_text("answered")

    expect(row.get_by_role("link", name=title)).to_have_attribute("href", f"/sessions/{session}")
    assert watched.complaints == []


def test_what_is_searched_and_sorted_stands_in_the_url(page: Page, http: httpx.Client) -> None:
    word = uuid.uuid4().hex[:8]
    for number in (1, 2):
        opened(http, title=f"Wanted {word} {number}")
    page.goto("/")

    page.get_by_label("Search").fill(word)
    expect(page.get_by_text("2 sessions found")).to_be_visible()
    page.get_by_role("link", name="Age", exact=True).click()
    titles = page.get_by_role("row").get_by_role("link", name="Wanted")
    expect(titles.first).to_have_text(f"Wanted {word} 1")
    assert f"search={word}" in page.url
    assert "direction=ascending" in page.url
    page.get_by_label("Status").select_option("waiting")
    expect(page.get_by_role("heading", name="No session is like that")).to_be_visible()

    page.reload()
    expect(page.get_by_role("heading", name="No session is like that")).to_be_visible()
    expect(page.get_by_label("Search")).to_have_value(word)
    page.go_back()
    expect(titles.first).to_have_text(f"Wanted {word} 1")
    page.go_back()
    expect(titles.first).to_have_text(f"Wanted {word} 2")


@pytest.fixture
def crowded(make_token: Make, settings: Settings) -> Iterator[str]:
    """The token of a tenant that has a hundred thousand sessions."""
    tenant = f"crowd-{uuid.uuid4().hex[:8]}"
    token = make_token("--tenant", tenant, "--scope", "read")
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        # Without a look at every table that refers to sessions, for each of them.
        connection.execute("SET session_replication_role = replica")
        connection.execute(SEED, {"many": MANY, "tenant": tenant})
        connection.execute("ANALYZE session_summaries")
        try:
            yield token
        finally:
            connection.execute(UNSEED, [tenant])


def test_a_hundred_thousand_sessions_are_read_by_windows(
    browser: Browser, address: str, crowded: str
) -> None:
    # `cartrita login` logs in with this machine's token alone.
    context = browser.new_context(base_url=address, extra_http_headers={"Authorization": f"Bearer {crowded}"})
    watched = Watched(context)
    page = watched.page
    asked: list[str] = []
    page.on(
        "request", lambda request: asked.append(request.url) if "/api/v2/sessions?" in request.url else None
    )

    page.goto("/")
    expect(page.get_by_text("100,000 sessions")).to_be_visible()
    assert len(asked) <= 2
    for window in range(2, 7):
        page.keyboard.press("End")
        page.wait_for_function(ROWS_KNOWN, arg=100 * window)
        assert page.locator(".row-data").count() <= NODES_MAX
    assert int(page.get_by_role("table").get_attribute("aria-rowcount") or 0) == MANY + 1
    assert len(asked) <= 9
    page.get_by_label("Search").fill("nobody has said this")
    expect(page.get_by_role("heading", name="No session is like that")).to_be_visible()
    expect(page.get_by_role("button", name="New session")).to_have_count(0)
    assert watched.complaints == []
    context.close()


def test_a_gateway_that_goes_away_is_told_of_and_come_back_to(
    page: Page, deployment: Deployment, http: httpx.Client
) -> None:
    title = f"Before {uuid.uuid4().hex[:8]}"
    session = opened(http, title=title)
    page.goto("/")
    expect(page.get_by_role("link", name=title)).to_be_visible()

    deployment.stop_part("gateway-1", hard=True)
    try:
        expect(page.get_by_text("The gateway does not answer.").first).to_be_visible()
        expect(page.get_by_role("link", name=title)).to_be_visible()
        photograph(page, "sessions-disconnected")
    finally:
        deployment.start_part("gateway-1", "gateway")
        deployment.wait_until_ready("gateway-1")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    http.post(f"/api/v2/sessions/{session}/close", json={})
    expect(page.get_by_role("row").filter(has_text=title)).to_contain_text("closed")


def test_the_list_is_worked_by_keyboard_alone(page: Page, http: httpx.Client) -> None:
    titles = [f"Key {uuid.uuid4().hex[:8]}" for _ in range(3)]
    for title in titles:
        opened(http, title=title)
    page.goto("/")
    expect(page.get_by_role("link", name=titles[2])).to_be_visible()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.row-data') !== null"):
            break
    expect(page.get_by_role("link", name=titles[2])).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name=titles[1])).to_be_focused()
    # Updates leave the focus where it is.
    newest = opened(http, title="The newest of them")
    expect(page.locator(f'a[href="/sessions/{newest}"]')).to_be_attached()
    expect(page.get_by_role("link", name=titles[1])).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=titles[1])).to_be_focused()
    page.go_back()
    expect(page.get_by_role("heading", name="Sessions", exact=True)).to_be_focused()


def test_the_list_has_no_faults_that_can_be_computed(context: BrowserContext, http: httpx.Client) -> None:
    title = f"Whole {uuid.uuid4().hex[:8]}"
    opened(http, title=title)

    for page, name in everywhere(context):
        page.goto("/")
        expect(page.get_by_role("link", name=title)).to_be_visible()
        photograph(page, f"sessions-{name}")
        assert violations(page) == []
        assert not overflows(page)
        page.goto("/?search=nobody-has-said-this")
        expect(page.get_by_role("heading", name="No session is like that")).to_be_visible()
        assert violations(page) == []
