"""A session in the console, in a real browser on the real stack: chat, plan, events, and why."""

import json
import re
import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from streams.process.settings import Settings
from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.console import everywhere
from tests.pipeline.test_front_door import opened, say, settled

pytestmark = [pytest.mark.stack, pytest.mark.browser, needs_browser, pytest.mark.timeout(300)]

MANY = 30_000
NODES_MAX = 500
QUESTION = "Calculate 6 * 7 with code."
SEED = """
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, evidence_ids,
                           occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    SELECT gen_random_uuid(), %(topic)s, 0, n, %(session)s, 'TaskReady', 1000 + n, '{}',
           now() + n * interval '1 millisecond', now(), 'default', 'ann', 'session', '{}', %(body)s
    FROM generate_series(1, %(many)s) n
"""


def answered(http: httpx.Client, title: str) -> str:
    """Open a session, say something in it, and return its id when it is answered."""
    session = opened(http, title=title, userId="ann")
    say(http, session, QUESTION)
    settled(http, session)
    return session


@pytest.fixture(scope="module")
def asked() -> dict[str, str]:
    """Sessions that were answered, by the gateway's address: what only looks at one shares it."""
    return {}


@pytest.fixture
def session(http: httpx.Client, address: str, asked: dict[str, str]) -> str:
    """A session that was answered."""
    if address not in asked:
        asked[address] = answered(http, f"Sums {uuid.uuid4().hex[:8]}")
    return asked[address]


def test_one_asks_in_the_console_and_learns_why_and_for_how_much(page: Page, watched: Watched) -> None:
    page.goto("/")
    page.get_by_role("button", name="New session").click()
    expect(page.get_by_role("heading", name="Nothing was said yet")).to_be_visible()
    expect(page.get_by_text("live", exact=True)).to_be_visible()

    page.get_by_label("Say something").fill(QUESTION)
    page.keyboard.press("Control+Enter")
    answer = page.get_by_role("listitem").filter(has=page.get_by_text("Answer", exact=True))
    expect(page.get_by_label("Say something")).to_have_value("")
    expect(answer).to_contain_text("42")
    expect(page.get_by_text("The answer is there.")).to_be_attached()
    expect(page.locator(".said-foot")).to_contain_text("tokens")
    expect(page.locator(".gauge-told").first).to_contain_text("used")

    page.get_by_role("button", name="Good").click()
    expect(page.get_by_text("Noted.")).to_be_visible()
    page.get_by_role("link", name="Why this answer?").click()
    why = page.get_by_role("region", name="Why it happened")
    expect(why).to_contain_text("MessageReceived")
    expect(why).to_contain_text("TaskCompleted")
    why.get_by_role("link", name="MessageReceived").first.click()
    expect(page.get_by_role("heading", name="MessageReceived")).to_be_visible()
    page.get_by_role("button", name="What came of it?").click()
    expect(page.get_by_role("region", name="What came of it")).to_contain_text("AnswerGiven")
    assert watched.complaints == []


def test_an_answer_is_shown_while_it_is_written(page: Page, http: httpx.Client) -> None:
    session = opened(http, userId="ann")
    frames: list[str] = []

    def note(payload: str | bytes) -> None:
        frames.append(json.loads(payload).get("type", ""))

    page.on("websocket", lambda socket: socket.on("framereceived", note))
    page.goto(f"/sessions/{session}")
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    # What is shown while it lasts would be gone before one could look: every state is noted.
    page.evaluate(
        """() => {
          window.seen = new Set();
          new MutationObserver(() => {
            for (const one of document.querySelectorAll(".said-coming")) window.seen.add(one.textContent);
          }).observe(document.getElementById("main"), {subtree: true, childList: true, characterData: true});
        }"""
    )
    say(http, session, QUESTION)

    expect(page.locator(".said-assistant:not(.said-coming)")).to_contain_text("42")
    seen = page.evaluate("[...window.seen]")
    assert any("Working on its tasks" in one or "Making a plan" in one for one in seen)
    assert "delta" in frames
    expect(page.locator(".said-coming")).to_have_count(0)


def test_a_turn_that_ends_while_the_page_opens_is_told_whole(page: Page, http: httpx.Client) -> None:
    title = f"Opened late {uuid.uuid4().hex[:8]}"
    session = opened(http, title=title, userId="ann")

    def held(route: Route) -> None:
        before = http.get(f"/api/v2/sessions/{session}/status").json()
        say(http, session, QUESTION)
        settled(http, session)
        route.fulfill(json=before)

    # The first look at how the session stands is answered when all is over: no frame of it is to come.
    page.route(re.compile(rf"/api/v2/sessions/{session}/status$"), held, times=1)
    page.goto(f"/sessions/{session}")

    expect(page.get_by_role("heading", name=title)).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("answered")


def test_the_plan_shows_what_waits_for_what(page: Page, http: httpx.Client) -> None:
    session = answered(http, "Planned")

    page.goto(f"/sessions/{session}?tab=plan")

    expect(page.get_by_role("heading", name="Turn 1")).to_be_visible()
    tasks = page.get_by_role("region", name="Plan").get_by_role("listitem")
    expect(tasks.first).to_contain_text("done")
    tasks.first.get_by_role("link").click()
    expect(page.get_by_role("link", name="TaskCompleted")).to_be_visible()


def test_events_are_found_opened_and_shared_by_their_address(page: Page, session: str) -> None:
    page.goto(f"/sessions/{session}?tab=events")
    expect(page.get_by_role("link", name="AnswerGiven")).to_be_visible()

    page.get_by_label("Type").select_option("ModelCallCompleted")
    expect(page.get_by_role("link", name="AnswerGiven")).to_have_count(0)
    page.get_by_role("link", name="ModelCallCompleted").first.click()
    expect(page.get_by_role("heading", name="ModelCallCompleted")).to_be_visible()
    expect(page.locator(".event pre").first).to_contain_text('"finish_reason"')
    address = page.url
    assert "type=ModelCallCompleted" in address

    page.goto("/")
    page.goto(address)
    expect(page.get_by_role("heading", name="ModelCallCompleted")).to_be_visible()
    page.locator(".facts-list").get_by_role("link").first.click()
    expect(page.get_by_role("heading", name="ModelCallRequested")).to_be_visible()


@pytest.fixture
def long(http: httpx.Client, settings: Settings) -> Iterator[str]:
    """A session of thirty thousand events."""
    session = answered(http, "A long one")
    topic = f"seeded-{uuid.uuid4()}"
    body = json.dumps({"task_id": str(uuid.uuid4()), "text": "x" * 400})
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
        connection.execute(SEED, {"topic": topic, "session": session, "many": MANY, "body": body})
        connection.execute("ANALYZE event_log")
        try:
            yield session
        finally:
            with connection.transaction():
                connection.execute("SET LOCAL cartrita.rebuild = 'on'")
                connection.execute("DELETE FROM event_log WHERE topic = %s", [topic])


def test_thirty_thousand_events_open_as_a_window(page: Page, long: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/timeline?" in request.url else None)

    page.goto(f"/sessions/{long}?tab=events")
    expect(page.locator('[data-index="0"] a')).to_be_visible()
    expect(page.locator(".tally")).to_contain_text("30,0")
    opened_ms = page.evaluate(
        """() => Math.max(...performance.getEntriesByType("resource")
          .filter((one) => one.name.includes("/timeline?")).map((one) => one.responseEnd))"""
    )
    print(f"30,000 events: the first window was there {opened_ms:.0f} ms after the page was asked for")  # noqa: T201

    assert len([url for url in asked if "count=true" in url]) <= 2
    for _ in range(4):
        page.keyboard.press("End")
        page.wait_for_timeout(50)
        assert page.locator(".row-data").count() <= NODES_MAX
    page.get_by_label("Order").select_option("ascending")
    expect(page.locator('[data-index="0"] a')).not_to_contain_text("Task")
    page.get_by_label("Search").fill("6 * 7")
    expect(page.locator('[data-index="0"] a')).to_have_text("MessageReceived")


def test_a_session_is_forked_and_closed_only_when_one_is_sure(page: Page, session: str) -> None:
    page.goto(f"/sessions/{session}?tab=events&type=AnswerGiven")
    page.get_by_role("link", name="AnswerGiven").click()
    page.get_by_role("button", name="Fork from here").click()
    page.get_by_label("What to ask there instead").fill("Calculate 5 * 5 with code.")
    page.get_by_role("button", name="Fork", exact=True).click()
    expect(page.get_by_text("forked from")).to_be_visible()
    assert session not in page.url
    expect(page.locator(".said-assistant:not(.said-coming)").last).to_contain_text("25")

    page.get_by_role("button", name="Close …").click()
    expect(page.get_by_role("button", name="Close it")).to_be_focused()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Cancel …").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.locator(".facts").get_by_text("cancelled")).to_be_visible()
    expect(page.get_by_label("Say something")).to_have_count(0)


@pytest.mark.parametrize("tab", ["", "plan", "events"])
def test_no_part_has_faults_that_can_be_computed(context: BrowserContext, session: str, tab: str) -> None:
    part = {"": "Chat", "plan": "Plan", "events": "Events"}[tab]

    for page, name in everywhere(context):
        page.goto(f"/sessions/{session}?tab={tab}")
        expect(page.get_by_role("region", name=part, exact=True)).to_be_visible()
        if tab == "events":
            page.get_by_role("link", name="AnswerGiven").click()
            page.get_by_role("button", name="Why?").click()
            expect(page.get_by_role("region", name="Why it happened")).to_contain_text("MessageReceived")
        elif tab == "":
            expect(page.get_by_text("42").first).to_be_visible()
        else:
            expect(page.get_by_role("heading", name="Turn 1")).to_be_visible()
        photograph(page, f"session-{part.lower()}-{name}")
        assert violations(page) == []
        assert not overflows(page)


def test_a_session_that_is_not_there_is_told_as_such(page: Page) -> None:
    page.goto(f"/sessions/{uuid.uuid4()}")

    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


def test_costs_are_told_by_what_is_asked(context: BrowserContext, session: str) -> None:
    for page, name in everywhere(context):
        page.goto("/cost")
        expect(page.get_by_role("rowheader").first).to_contain_text("20")
        page.get_by_role("link", name="By session").click()
        link = page.get_by_role("rowheader").get_by_role("link").first
        expect(link).to_have_attribute("href", re.compile("/sessions/"))
        photograph(page, f"cost-{name}")
        assert "by=session" in page.url
        assert violations(page) == []
        assert not overflows(page)
        page.get_by_role("link", name="What routing saved").click()
        expect(page.get_by_text("with gpt-4o for all:")).to_be_visible()
        expect(page.get_by_role("rowheader", name="planner").first).to_be_visible()
        photograph(page, f"cost-saved-{name}")
        assert violations(page) == []
        assert not overflows(page)


def test_ready_questions_are_answered(context: BrowserContext, session: str) -> None:
    for page, name in everywhere(context):
        page.goto("/")
        page.get_by_role("link", name="Questions").click()
        expect(page.get_by_role("heading", name="Questions", exact=True)).to_be_focused()
        expect(page.get_by_role("cell", name="planner").first).to_be_visible()
        photograph(page, f"questions-{name}")
        assert violations(page) == []
        assert not overflows(page)
        page.get_by_role("link", name="Tool reliability").click()
        expect(page.get_by_role("cell", name="execute_python").first).to_be_visible()
        page.get_by_label("The last").select_option("365")
        page.get_by_text("What the columns mean").click()
        expect(page.get_by_role("cell", name="execute_python").first).to_be_visible()
        assert "ask=tool_reliability&days=365" in page.url
        assert violations(page) == []
