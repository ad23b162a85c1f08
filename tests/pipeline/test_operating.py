"""The pages of those who run the deployment: how it stands, the switch that stops tools, agents and tools."""

import uuid
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.console import everywhere
from tests.pipeline.waiting import tries
from topics.shells import REDRIVE, SHELLS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway answers
TOOL = "execute_python"


def system(http: httpx.Client) -> Json:
    answer = http.get("/api/v2/system")
    assert answer.status_code == 200, answer.text
    return answer.json()


def stops_of(http: httpx.Client, wanted: set[str]) -> Json:
    """Wait until these stops hold, and no others."""
    stops: list[Json] = []
    for _ in tries():
        stops = system(http)["stops"]
        if {one["name"] for one in stops} == wanted:
            return stops
    raise AssertionError(f"stopped is {stops}")


def test_all_parts_are_seen_at_work(http: httpx.Client) -> None:
    told: Json = {}
    for _ in tries():
        told = system(http)
        if all(one["state"] == "working" for one in told["parts"]):
            break

    parts = {one["name"]: one for one in told["parts"]}
    assert parts.keys() == {*SHELLS, REDRIVE, "sink"}
    assert {one["state"] for one in told["parts"]} == {"working"}
    assert all(one["processes"] for one in told["parts"])
    assert any("worker-1" in process["name"] for process in parts["session"]["processes"])
    assert {one["name"] for one in told["topics"]} > {"user.inputs", "dead.letters", "redrives"}
    assert told["components"] == {"kafka": "connected", "postgres": "connected", "feed": "connected"}
    assert {one["kind"] for one in told["configuration"]} >= {"agents", "policy", "tools"}
    assert told["policy"]


@pytest.mark.parametrize("path", ["system", "agents", "storage"])
def test_a_tenants_administrator_does_not_run_the_deployment(
    make_token: Make, bearing: Bearing, address: str, path: str
) -> None:
    tenant = f"system-{uuid.uuid4().hex[:8]}"
    others = [
        ("--tenant", tenant, "--scope", "administer"),
        ("--user", "ann", "--scope", "administer"),
        ("--scope", "read"),
    ]
    for options in others:
        client = bearing(address, make_token(*options))
        assert client.get(f"/api/v2/{path}").status_code == 403
        stop = client.post("/api/v2/tools/stops", json={"name": "*", "stopped": True})
        assert stop.status_code == 403


def test_what_the_deployment_takes_is_told(http: httpx.Client) -> None:
    answer = http.get("/api/v2/storage", params={"overDays": 1})

    told = answer.json()
    assert answer.status_code == 200, answer.text
    topics = {one["name"]: one for one in told["topics"]}
    assert topics["configuration"]["records"] > 0
    assert topics["configuration"]["bytes"] > 0
    assert topics["configuration"]["bytesADay"] is None, "what is compacted grows as it likes"
    assert told["logBytes"] == sum(one["bytes"] for one in topics.values())
    assert {one["name"] for one in told["tables"]} >= {"event_log", "document_passages"}
    assert told["databaseBytes"] > sum(one["bytes"] for one in told["tables"])
    assert http.get("/api/v2/storage", params={"overDays": 0}).status_code == 422


@pytest.mark.parametrize("name", ["", "a b", "files/../x", "x" * 101])
def test_a_stop_of_no_name_is_refused(http: httpx.Client, name: str) -> None:
    answer = http.post("/api/v2/tools/stops", json={"name": name, "stopped": True})

    assert answer.status_code == 422


@needs_browser
@pytest.mark.browser
def test_tools_are_stopped_and_started_in_the_console(
    page: Page, watched: Watched, context: BrowserContext, http: httpx.Client
) -> None:
    page.goto("/")
    page.get_by_role("link", name="System").click()
    expect(page.get_by_role("heading", name="System")).to_be_focused()
    expect(page.get_by_text("No tool is stopped.")).to_be_visible()
    page.get_by_label("A tool or a server").fill(TOOL)
    page.get_by_label("Why, for the record").fill("it does too much")
    try:
        page.get_by_role("button", name="Stop it").click()
        (stop,) = stops_of(http, {TOOL})
        assert stop["reason"] == "it does too much"
        expect(page.get_by_text("it does too much")).to_be_visible()
        tools = http.get("/api/v2/agents").json()["tools"]
        told = {(one["health"], one["actsOutside"], one["trust"]) for one in tools if one["name"] == TOOL}
        assert told == {("stopped", False, "tool")}
        for other, name in everywhere(context):
            other.goto("/system")
            expect(other.get_by_text("it does too much")).to_be_visible()
            photograph(other, f"system-{name}")
            assert violations(other) == []
            assert not overflows(other)
            other.get_by_role("link", name="Storage").click()
            expect(other.get_by_role("rowheader", name="event_log", exact=True)).to_be_visible()
            expect(other.get_by_role("rowheader", name="user.inputs", exact=True)).to_be_visible()
            photograph(other, f"storage-{name}")
            assert violations(other) == []
            assert not overflows(other)
        page.get_by_role("button", name=f"Start {TOOL} again").click()
        stops_of(http, set())
        expect(page.get_by_text("No tool is stopped.")).to_be_visible()
    finally:
        http.post("/api/v2/tools/stops", json={"name": TOOL, "stopped": False})
    assert watched.complaints == []


@needs_browser
@pytest.mark.browser
@pytest.mark.parametrize("path", ["system", "approvals"])
def test_a_page_that_nobody_saw_for_a_while_is_read_again_when_it_is_seen(page: Page, path: str) -> None:
    page.clock.install()
    with page.expect_response(f"**/api/v2/{path}*"):
        page.goto(f"/{path}")
    expect(page.get_by_role("heading", name=path.capitalize())).to_be_visible()
    with page.expect_response(f"**/api/v2/{path}*"):
        page.clock.fast_forward(10_000)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    # More than once, for the answer that is on its way has the page look again, too.
    for _ in range(5):
        page.clock.fast_forward(10_000)

    with page.expect_request(f"**/api/v2/{path}*"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


@needs_browser
@pytest.mark.browser
def test_an_agent_is_looked_at_and_tried(page: Page, watched: Watched, context: BrowserContext) -> None:
    page.goto("/agents")
    page.get_by_role("link", name="writer", exact=True).click()
    expect(page.get_by_text("Prompt's version")).to_be_visible()
    page.get_by_label("Try it").fill("Write a short greeting.")
    page.get_by_role("button", name="Ask writer").click()
    expect(page.get_by_role("heading", name="Trying writer")).to_be_visible()
    expect(
        page.get_by_role("log").or_(page.locator("main")).get_by_text("Write a short greeting.").first
    ).to_be_visible()

    assert watched.complaints == []
    for other, name in everywhere(context):
        for path, what in (
            ("/agents?name=writer", "agents"),
            (f"/agents?view=tools&name={TOOL}", "tools"),
        ):
            other.goto(path)
            expect(other.get_by_role("table")).to_be_visible()
            photograph(other, f"{what}-{name}")
            assert violations(other) == []
            assert not overflows(other)


def test_a_message_for_an_agent_that_is_not_there_is_refused(http: httpx.Client) -> None:
    session = http.post("/api/v2/sessions", json={}).json()["sessionId"]

    answer = http.post(
        f"/api/v2/sessions/{session}/messages", json={"content": "hello", "agent": "nobody_at_all"}
    )

    assert (answer.status_code, answer.json()["param"]) == (422, "agent")
