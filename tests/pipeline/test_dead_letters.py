"""Records that were put aside: grouped, looked into, edited and tried again, by HTTP, command and console."""

import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.console import everywhere
from tests.pipeline.outsider import Outsider
from tests.pipeline.waiting import WAIT_S, tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway answers
TOO_LONG = "A title that nobody would read " * 20


def put_aside(outsider: Outsider, many: int, tenant: str, title: str = TOO_LONG) -> list[str]:
    """Send sessions to be opened whose title is refused; returns their ids."""
    sessions = [str(uuid.uuid4()) for _ in range(many)]
    outsider.post(
        {
            "event_id": str(uuid.uuid4()),
            "session_id": session,
            "tenant_id": tenant,
            "user_id": "ann",
            "body": ("cartrita.events.SessionOpened", {"title": title}),
        }
        for session in sessions
    )
    return sessions


def group_of(client: httpx.Client, letters: int, within_s: float = WAIT_S) -> Json:
    """Wait until the tenant has a group of so many letters."""
    groups: list[Json] = []
    for _ in tries(within_s):
        groups = client.get("/api/v2/dead-letters/groups").raise_for_status().json()["groups"]
        for group in groups:
            if group["code"] == "invalid_input" and group["letters"] == letters:
                return group
    raise AssertionError(f"there are only {groups}")


def ended(client: httpx.Client, within_s: float = WAIT_S, **wanted: object) -> Json:
    """Ask for a redrive, and wait until it has ended."""
    asked = client.post("/api/v2/redrives", json=wanted)
    assert asked.status_code == 202, asked.text
    return until_ended(client, asked.json()["redriveId"], within_s)


def until_ended(client: httpx.Client, redrive: str, within_s: float = WAIT_S) -> Json:
    for _ in tries(within_s):
        answer = client.get(f"/api/v2/redrives/{redrive}")
        if answer.status_code == 200 and answer.json()["status"] == "ended":
            return answer.json()
    raise AssertionError("the redrive has not ended")


@pytest.fixture
def tenant() -> str:
    """A tenant that nobody else has."""
    return f"letters-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def olga(make_token: Make, bearing: Bearing, address: str, tenant: str) -> httpx.Client:
    """Who administers the tenant."""
    return bearing(address, make_token("--tenant", tenant, "--scope", "administer", "--scope", "read"))


def test_a_group_is_edited_and_tried_again_once(olga: httpx.Client, outsider: Outsider, tenant: str) -> None:
    sessions = put_aside(outsider, 40, tenant)
    group = group_of(olga, 40)
    assert (group["topic"], group["redriven"]) == ("user.inputs", 0)
    assert "…" in group["reason"]
    letter = olga.get(f"/api/v2/dead-letters/{group['example']}").json()
    assert letter["editable"]
    assert letter["event"]["body"]["title"] == TOO_LONG

    dry = ended(olga, like=group["example"], dry=True)
    assert (dry["redriven"], dry["keptCount"]) == (0, 40)
    dry = ended(olga, like=group["example"], dry=True, edit={"title": "Mended"})
    assert (dry["redriven"], dry["keptCount"]) == (40, 0)
    assert group_of(olga, 40)["redriven"] == 0
    done = ended(olga, like=group["example"], edit={"title": "Mended"}, recordsPerSecond=1_000)
    assert (done["redriven"], done["keptCount"], done["edited"]) == (40, 0, True)
    again = ended(olga, like=group["example"], edit={"title": "Mended"})
    assert (again["redriven"], again["redrivenBefore"]) == (0, 40)

    found: set[str] = set()
    for _ in tries():
        page = olga.get("/api/v2/sessions", params={"search": "Mended", "limit": 100}).json()
        found = {one["sessionId"] for one in page["sessions"]}
        if len(found) >= 40:
            break
    assert found == set(sessions)
    assert {one["userId"] for one in page["sessions"]} == {"ann"}


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_as_many_as_a_changed_schema_puts_aside_are_tried_again_in_one_go(
    olga: httpx.Client, outsider: Outsider, tenant: str
) -> None:
    put_aside(outsider, 23_000, tenant)
    group = group_of(olga, 23_000, within_s=600)

    done = ended(olga, within_s=600, like=group["example"], edit={"title": "Mended"}, recordsPerSecond=1_000)

    assert (done["redriven"], done["keptCount"]) == (23_000, 0)
    print(f"23,000 letters: {done['askedAt']} to {done['endedAt']}")  # noqa: T201  # whoever runs it wants to know


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({}, "invalid_input"),
        ({"letters": [], "like": None, "edit": {"title": "x"}}, "invalid_input"),
        ({"letters": [str(uuid.uuid4())], "edit": {"tenantId": "x"}}, "invalid_input"),
        ({"letters": [str(uuid.uuid4())], "edit": {"session_id": "x"}}, "invalid_input"),
        ({"letters": ["x"]}, "invalid_request"),
        ({"letters": [str(uuid.uuid4())], "recordsPerSecond": 0}, "invalid_request"),
    ],
)
def test_what_is_no_redrive_is_refused(olga: httpx.Client, wanted: Json, code: str) -> None:
    answer = olga.post("/api/v2/redrives", json=wanted)

    assert (answer.status_code, answer.json()["code"]) == (422, code)


def test_letters_are_of_their_tenant_and_of_those_who_administer_it(
    olga: httpx.Client, make_token: Make, bearing: Bearing, address: str, outsider: Outsider, tenant: str
) -> None:
    put_aside(outsider, 1, tenant)
    letter = group_of(olga, 1)["example"]
    stranger = bearing(address, make_token("--tenant", f"{tenant}-not", "--scope", "administer"))
    reader = bearing(address, make_token("--tenant", tenant, "--scope", "read", "--scope", "send"))
    bob = bearing(address, make_token("--tenant", tenant, "--user", "bob", "--scope", "administer"))

    assert stranger.get("/api/v2/dead-letters/groups").json()["groups"] == []
    assert bob.get("/api/v2/dead-letters").json()["letters"] == []
    for client in (stranger, bob):
        assert client.get(f"/api/v2/dead-letters/{letter}").status_code == 404
        assert client.post("/api/v2/redrives", json={"like": letter}).status_code == 404
        kept = ended(client, letters=[letter])
        assert (kept["redriven"], kept["keptCount"]) == (0, 1)
        assert "no such letter" in kept["kept"][0]["reason"]
    for path in ("dead-letters", "dead-letters/groups", f"dead-letters/{letter}", "redrives"):
        assert reader.get(f"/api/v2/{path}").status_code == 403
    assert reader.post("/api/v2/redrives", json={"like": letter}).status_code == 403
    # What two others asked for is not theirs to see.
    assert olga.get("/api/v2/redrives").json()["redrives"][0]["operator"] != ""


def test_a_redrive_that_is_asked_for_twice_is_one(
    olga: httpx.Client, outsider: Outsider, tenant: str
) -> None:
    put_aside(outsider, 1, tenant)
    letter = group_of(olga, 1)["example"]
    wanted = {"letters": [letter], "edit": {"title": "Once"}}

    ids = {
        olga.post("/api/v2/redrives", json=wanted, headers={"Idempotency-Key": "one"}).json()["redriveId"]
        for _ in range(2)
    }

    (redrive,) = ids
    assert until_ended(olga, redrive)["redriven"] == 1
    assert olga.get(f"/api/v2/dead-letters/{letter}").json()["redrivenAt"] is not None


@pytest.fixture
def run(command_environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `cartrita dead-letters …`."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "streams.main", "dead-letters", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=False)
        assert ended.returncode == code, ended.stdout + ended.stderr
        return ended

    return run


def test_the_command_line_does_the_same(
    run: Callable[..., subprocess.CompletedProcess[str]], olga: httpx.Client, outsider: Outsider, tenant: str
) -> None:
    title = f"{tenant} " * 60
    put_aside(outsider, 3, tenant, title)
    example = group_of(olga, 3)["example"]

    groups = json.loads(run("groups", "--json").stdout)
    assert any(group["example"] == example for group in groups)
    edit = json.dumps({"title": f"By command for {tenant}"})
    assert "would be tried again" in run("redrive", example, "--edit", edit, "--dry-run").stdout
    assert "not:" in run("redrive", example, code=1).stdout
    told = json.loads(run("redrive", example, "--edit", edit, "--json").stdout)
    assert (told["redriven"], told["kept_count"]) == (1, 0)
    assert "before" in run("redrive", example, "--edit", edit).stdout
    assert "never changed" in run("redrive", example, "--edit", '{"user_id": "x"}', code=2).stderr
    assert example in run("redrives", "--json").stdout
    run("show", example)


@needs_browser
@pytest.mark.browser
def test_a_letter_is_put_right_in_the_console(
    page: Page, watched: Watched, context: BrowserContext, http: httpx.Client, outsider: Outsider
) -> None:
    title = f"Letter {uuid.uuid4().hex[:8]} " * 60
    session = put_aside(outsider, 1, "default", title)[0]
    letter = ""
    for _ in tries():
        found = http.get("/api/v2/dead-letters").raise_for_status().json()["letters"]
        letter = next((one["id"] for one in found if one["sessionId"] == session), "")
        if letter:
            break
    assert letter

    page.goto("/")
    page.get_by_role("link", name="Dead letters").click()
    expect(page.get_by_role("heading", name="Dead letters")).to_be_focused()
    held: list[Route] = []
    newest = re.compile(r"/api/v2/dead-letters/[0-9a-f-]{36}$")
    page.route(newest, lambda route: held.append(route), times=1)
    with page.expect_request(newest), page.expect_response(re.compile(r"/dead-letters\?code=")):
        page.get_by_role("link", name="title has … characters; the most is …").click()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    # Nothing can be clicked that would move once what stands above it is there.
    expect(page.get_by_role("table", name="Letters")).to_have_count(0)
    held[0].continue_()
    page.locator(f'a[href="/dead-letters?letter={letter}"]').click()
    expect(page.get_by_label("Value as bytes")).to_contain_text("000000  00 00")
    page.get_by_role("button", name="Dry run").click()
    expect(page.get_by_text("0 would pass")).to_be_visible()
    page.get_by_label("Edit a copy").check()
    page.get_by_role("button", name="Try it again").click()
    expect(page.get_by_text("Nothing of it is changed")).to_be_visible()
    copy = page.get_by_label("What it says, as JSON")
    copy.fill(copy.input_value().replace(title, "Put right"))
    page.get_by_role("button", name="Try it again").click()
    expect(page.get_by_text("1 tried again, edited").first).to_be_visible()

    page.goto(f"/sessions/{session}")
    expect(page.get_by_role("heading", name="Put right")).to_be_visible()
    assert watched.complaints == []
    for other, name in everywhere(context):
        for path, what in (("/dead-letters", "dead-letters"), (f"/dead-letters?letter={letter}", "letter")):
            other.goto(path)
            expect(other.get_by_text("tried again, edited").first).to_be_visible()
            photograph(other, f"{what}-{name}")
            assert violations(other) == []
            assert not overflows(other)
