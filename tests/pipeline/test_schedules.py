"""Schedules on the real stack: what is due begins once, whatever becomes of the worker."""

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import psycopg
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from connectors.embedded.progress import Silent
from processors.schedules.firing import firing_id_of
from streams.cli.deployment import bring_up
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.console.browsing import Watched, needs_browser, overflows, photograph, violations
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.console import everywhere
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever a command tells
Run = Callable[..., Json]
EVERY_MS: Final = 10_000
TAKEN_IN: Final = """
    SELECT i.event_id::text, count(*), (array_agg(i.tenant_id || '/' || i.user_id))[1],
           (SELECT count(*) FROM event_log a WHERE a.type = 'AnswerGiven' AND a.topic = 'session.outputs'
            AND a.body ->> 'input_id' = i.event_id::text)
    FROM event_log i JOIN schedule_firings f ON f.id = i.event_id
    WHERE f.schedule_id = %s AND i.topic = 'session.inputs' AND i.type = 'MessageReceived' GROUP BY i.event_id
"""


@pytest.fixture
def run(command_environment: dict[str, str]) -> Run:
    """The command line of the deployment; returns what it tells as JSON, or its exit code and complaint."""

    def run(*arguments: str) -> Json:
        command = [sys.executable, "-m", "streams.main", "schedule", *arguments, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=False)
        return json.loads(ended.stdout) if ended.returncode == 0 else (ended.returncode, ended.stderr)

    return run


def shown(run: Run, schedule: str, until: Callable[[Json], bool]) -> Json:
    """Return a schedule as the command line shows it, once it is so."""
    told: Json = None
    for _ in tries():
        told = run("show", schedule)
        if isinstance(told, dict) and until(told):
            return told
    raise AssertionError(f"it stands as {told}")


def begun(told: Json) -> list[Json]:
    """Return what a schedule has begun, the oldest first."""
    return [one for one in reversed(told["latest"]) if one["session_id"]]


def test_a_worker_that_is_killed_begins_nothing_twice_and_forgets_nothing(
    deployment: Deployment, settings: Settings, run: Run
) -> None:
    created = run(
        "create", "often", "Write a short greeting.", "--every=10s", "--user=ann", "--missed=all",
        "--late=1s", "--agent=writer", "--budget-tokens=20000",
    )  # fmt: skip
    schedule = created["schedule"]
    first_ms = created["stands"]["next_at_ms"]
    shown(run, schedule, lambda told: len(begun(told)) >= 1)

    deployment.stop_part("worker-1", hard=True)
    # So that two due times pass meanwhile.
    time.sleep(2 * EVERY_MS / 1_000)
    asyncio.run(bring_up(deployment, 1, Silent()))
    shown(run, schedule, lambda told: len(begun(told)) >= 4)
    assert run("pause", schedule, "--reason=enough")["stands"]["status"] == "paused"
    told = shown(run, schedule, lambda told: all(one["outcome"] == "answered" for one in begun(told)))

    firings = begun(told)
    assert told["schedule"]["status"] == "paused"
    assert told["schedule"]["next_at"] is None
    with psycopg.connect(settings.postgres_dsn) as connection:
        taken = connection.execute(TAKEN_IN, [schedule]).fetchall()
        due = connection.execute(
            "SELECT extract(epoch FROM due_at) * 1000 FROM schedule_firings "
            "WHERE schedule_id = %s ORDER BY 1",
            [schedule],
        ).fetchall()
    expected = [first_ms + number * EVERY_MS for number in range(len(firings))]
    assert [int(at) for (at,) in due] == expected
    assert sorted(taken) == sorted((firing_id_of(schedule, at), 1, "default/ann", 1) for at in expected)
    assert any(one["missed"] for one in firings)
    assert len({one["session_id"] for one in firings}) == len(firings)
    assert told["schedule"]["fired"] == len(firings)


def test_what_is_wanted_once_is_said_in_the_session_that_is_named_and_ends(
    deployment: Deployment, run: Run
) -> None:
    session = str(uuid.uuid4())

    late = run("create", "once", "Say yes.", "--at=2026-01-01T00:00", "--missed=last", f"--session={session}")

    told = shown(run, late["schedule"], lambda told: told["schedule"]["last_outcome"] == "answered")
    assert told["schedule"]["status"] == "ended"
    assert [(one["session_id"], one["missed"]) for one in begun(told)] == [(session, True)]
    code, complaint = run("resume", late["schedule"])
    assert (code, "the schedule is ended" in complaint) == (1, True)
    assert run("delete", late["schedule"])["stands"]["status"] == "deleted"
    assert late["schedule"] not in [one["id"] for one in run("list")]
    assert late["schedule"] in [one["id"] for one in run("list", "--deleted")]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--cron=* * * *"], "5 fields"),
        (["--cron=0 7 * * *", "--zone=Mars"], "there is no zone"),
        (["--every=5s"], "every_ms is 5000"),
        ([], "one of cron, every_ms and at_ms"),
        (["--at=2026-03-29T02:30", "--zone=Europe/Berlin"], "does not exist in Europe/Berlin"),
        (["--at=2026-10-25T02:30", "--zone=Europe/Berlin"], "comes twice in Europe/Berlin"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_written(
    run: Run, options: list[str], complaint: str
) -> None:
    code, told = run("create", "bad", "Never.", *options)

    assert (code, complaint in told) == (2, True)


def test_a_token_schedules_for_its_user_and_others_learn_nothing_of_it(
    make_token: Make, bearing: Bearing, address: str, settings: Settings
) -> None:
    ann, whole = bearing(address, make_token("--user", "ann")), bearing(address, make_token())
    wanted = {"name": "daily", "content": "Say yes.", "cron": "0 7 * * *", "zone": "Europe/Berlin"}
    made = ann.post("/api/v2/schedules", json=wanted, headers={"Idempotency-Key": "one"})
    again = ann.post("/api/v2/schedules", json=wanted, headers={"Idempotency-Key": "one"})
    assert (made.status_code, again.json()) == (202, made.json())
    schedule = made.json()["scheduleId"]
    path = f"/api/v2/schedules/{schedule}"

    for _ in tries():
        if ann.get(path).status_code == 200:
            break
    told = ann.get(path).json()["schedule"]
    assert (told["userId"], told["createdBy"], told["status"]) == ("ann", "ann", "active")
    assert datetime.fromisoformat(told["nextAt"]).astimezone(ZoneInfo("Europe/Berlin")).hour == 7
    assert schedule in [one["scheduleId"] for one in whole.get("/api/v2/schedules").json()["schedules"]]

    for options in (("--user", "bob"), ("--tenant", "other"), ("--tenant", "other", "--user", "ann")):
        stranger = bearing(address, make_token(*options))
        listed = stranger.get("/api/v2/schedules").json()["schedules"]
        assert schedule not in [one["scheduleId"] for one in listed]
        for method, what in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/delete")):
            refused = stranger.request(method, path + what)
            unknown = stranger.request(method, path.replace(schedule, str(uuid.uuid4())) + what)
            assert refused.status_code == unknown.status_code == 404
            assert refused.text == unknown.text
    reader = bearing(address, make_token("--user", "ann", "--scope", "read"))
    sender = bearing(address, make_token("--user", "ann", "--scope", "send"))
    assert reader.post(path + "/pause").status_code == 403
    assert reader.post("/api/v2/schedules", json=wanted).status_code == 403
    assert {sender.get(one).status_code for one in (path, "/api/v2/schedules")} == {403}
    assert ann.post("/api/v2/schedules", json=wanted | {"userId": "bob"}).status_code == 403
    for bad in ({"cron": "0 7 * *"}, {"zone": "Mars"}, {"everySeconds": 60}, {"agent": "nobody"}, {"x": 1}):
        assert ann.post("/api/v2/schedules", json=wanted | bad).status_code == 422

    assert sender.post(path + "/pause", json={"reason": "holidays"}).status_code == 202
    for _ in tries():
        told = ann.get(path).json()["schedule"]
        if told["status"] == "paused":
            break
    assert (told["status"], told["nextAt"], told["changedBy"], told["reason"]) == (
        "paused",
        None,
        "ann",
        "holidays",
    )
    assert ann.post(path + "/delete").status_code == 202
    for _ in tries():
        if ann.post(path + "/resume").status_code == 409:
            break
    assert ann.post(path + "/resume").json()["code"] == "schedule_over"
    assert schedule not in [one["scheduleId"] for one in ann.get("/api/v2/schedules").json()["schedules"]]
    with psycopg.connect(settings.postgres_dsn) as connection:
        count = "SELECT count(*) FROM event_log WHERE session_id = %s AND topic = 'schedule.events'"
        # Created, paused, deleted: what strangers asked left nothing.
        assert connection.execute(count, [schedule]).fetchone() == (3,)


@needs_browser
@pytest.mark.browser
def test_one_sees_and_pauses_schedules_in_the_console(
    context: BrowserContext, page: Page, watched: Watched, run: Run
) -> None:
    name = f"report {uuid.uuid4().hex[:8]}"
    created = run("create", name, "Write a short greeting.", "--every=30s", "--missed=last", "--user=ann")
    once = f"once {uuid.uuid4().hex[:8]}"
    run("create", once, "Say yes.", "--at=2026-01-01T00:00", "--missed=last", "--user=ann")

    page.goto("/schedules")
    row, other = (page.get_by_role("row").filter(has_text=one) for one in (name, once))
    expect(row).to_contain_text("every 30 s")
    expect(row).to_contain_text("active")
    expect(other).to_contain_text("ended")
    expect(other).to_contain_text("answered")
    row.get_by_role("button", name=f"Pause {name}").click()
    expect(row).to_contain_text("paused")
    expect(row).to_contain_text("not, as it stands")
    row.get_by_role("button", name=f"Resume {name}").click()
    expect(row).to_contain_text("active")
    other.get_by_role("link", name=once).click()
    expect(page.get_by_role("heading", name=once)).to_be_visible()
    expect(page.get_by_role("group", name="What became of it")).to_contain_text("made up for")
    assert watched.complaints == []

    for opened, where in everywhere(context):
        opened.goto(page.url)
        expect(opened.get_by_role("heading", name=once)).to_be_visible()
        expect(opened.get_by_role("group", name="What became of it")).to_contain_text("answered")
        photograph(opened, f"schedules-{where}")
        assert violations(opened) == []
        assert not overflows(opened)
    run("delete", created["schedule"])
