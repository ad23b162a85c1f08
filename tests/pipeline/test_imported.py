"""Conversations of V1 on the real stack, brought over by the command line, as people see them."""

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Page, expect
from psycopg.conninfo import make_conninfo

from connectors.version_one.sample import TABLES
from schemas.configuration import Limits
from streams.process.settings import Settings
from tests.console.browsing import Watched, needs_browser, violations
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.outsider import Outsider, message
from tests.pipeline.test_front_door import followed, say
from tests.pipeline.test_memory import FACT, SMALL_TALK, ask, logged
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway says
Run = Callable[..., Json]
"""Runs a command of the command line, and returns what it tells as JSON."""
LATEST = "That is all for today."
SAY = """
    INSERT INTO conversation_messages (session_id, role, content, created_at)
    VALUES (%s, %s, %s, clock_timestamp())
"""


@pytest.fixture
def run(command_environment: dict[str, str]) -> Run:
    """The command line of the deployment."""

    def run(*arguments: str) -> Json:
        command = [sys.executable, "-m", "streams.main", *arguments, "--json"]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=False)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)

    return run


@pytest.fixture
def old(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A V1 without conversations in a database of its own: its address, and a file that holds it."""
    name = f"old_{uuid.uuid4().hex}"
    with psycopg.connect(settings.postgres_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    dsn = make_conninfo(settings.postgres_dsn, dbname=name)
    file = tmp_path / "old.dsn"
    file.write_text(dsn)
    try:
        with psycopg.connect(dsn) as connection:
            connection.execute(TABLES)
        yield dsn, file
    finally:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def held(dsn: str, title: str, *said: tuple[str, str]) -> str:
    """Let V1 hold a conversation of ann's; returns its session's id."""
    session = str(uuid.uuid4())
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sessions (id, user_id, title, status) VALUES (%s, 'ann', %s, 'complete')",
            [session, title],
        )
        connection.cursor().executemany(SAY, [(session, role, text) for role, text in said])
    return session


def bring(run: Run, file: Path) -> Json:
    """Bring over what is new in V1; returns the counts. It comes back when all is in Postgres."""
    # A source has one tenant and one past: each V1 has a name of its own.
    told = run("backfill", "--tenant=default", f"--origin={file.parent.name[:50]}", f"--dsn-file={file}")
    assert told["waiting"] == 0
    return told["counts"]


def whole(settings: Settings, session: str, turns: int) -> list[tuple[str, str, Json]]:
    """Return a session's events once Postgres has those of its inputs and of its tools as well."""
    for _ in tries():
        log = logged(settings, session, turns)
        kinds = Counter(kind for _, kind, _ in log)
        outcomes = kinds["ToolCallCompleted"] + kinds["ToolCallFailed"]
        if kinds["SessionImported"] and outcomes == kinds["ToolCallRequested"]:
            return log
    raise AssertionError("the sink does not come to the end of the session's inputs")


@needs_browser
@pytest.mark.browser
def test_lists_and_pages_say_of_a_session_that_it_came_over_until_it_is_gone_on_with(
    page: Page, watched: Watched, http: httpx.Client, run: Run, old: tuple[str, Path]
) -> None:
    dsn, file = old
    title = f"Ferries {uuid.uuid4().hex[:8]}"
    page.goto(f"/?status=imported&search={title.split()[1]}")
    expect(page.get_by_text("No session is like that")).to_be_visible()
    session = held(dsn, title, ("user", "When do they leave?"), ("assistant", "At eight."))

    assert bring(run, file)["sessions"] == 1

    row = page.get_by_role("row").filter(has_text=title)
    expect(row).to_contain_text("imported")
    expect(row).to_contain_text(f"from {file.parent.name[:50]}")
    expect(row).to_contain_text("2 messages")
    assert violations(page) == []
    (listed,) = [one for one in run("sessions", "--status=imported") if one["id"] == session]
    assert (listed["imported_messages"], listed["messages"]) == (2, 0)
    assert listed["imported_at"] > listed["opened_at"]

    row.get_by_role("link", name=title).click()
    facts = page.locator(".facts").first
    expect(facts).to_contain_text("2 of them came from")
    expect(facts).to_contain_text("imported")
    chat = page.get_by_role("region", name="Chat").get_by_role("list").first.get_by_role("listitem")
    origin = f"from {file.parent.name[:50]}"
    expect(chat).to_contain_text(["When do they leave?", "At eight."])
    expect(chat.filter(has=page.get_by_text(origin, exact=True))).to_have_count(2)
    assert violations(page) == []
    say(http, session, "And back?")
    expect(facts).to_contain_text("answered")
    expect(facts).to_contain_text("3 messages")
    expect(chat).to_contain_text(["When do they leave?", "At eight.", "And back?", ""])
    expect(chat.filter(has=page.get_by_text(origin, exact=True))).to_have_count(2)
    for _ in tries():
        status = http.get(f"/api/v2/sessions/{session}/status").json()
        if status["status"] == "answered":
            break
    assert (status["messages"], status["importedMessages"]) == (1, 2)
    assert watched.complaints == []


def test_a_conversation_of_v1_is_gone_on_with_and_what_was_said_there_is_told_found_traced_and_replayed(
    http: httpx.Client, settings: Settings, run: Run, old: tuple[str, Path]
) -> None:
    dsn, file = old
    talk = [(role, f"{role} {number} {SMALL_TALK}") for number in range(60) for role in ("user", "assistant")]
    session = held(dsn, "Boats", ("user", FACT), ("assistant", "A fine name."), *talk, ("user", LATEST))
    assert bring(run, file)["messages"] == 123
    with psycopg.connect(settings.postgres_dsn) as connection:
        charged = "SELECT count(*) FROM event_log WHERE session_id = %s AND topic <> 'session.imports'"
        assert connection.execute(charged, [session]).fetchone() == (0,)

    with followed(http, session) as frames:
        answer = ask(http, session, frames, "What did I say the boat of my sister is called?")
    log = whole(settings, session, 1)

    assert FACT in answer
    there = {event_id: body for event_id, kind, body in log if kind == "MessageImported"}
    ((imported_id, imported),) = [
        (event_id, body) for event_id, kind, body in log if kind == "SessionImported"
    ]
    assert (imported["messages"], len(imported["told"])) == (123, 32)
    assert there[imported["told"][-1]["event_id"]]["text"] == LATEST
    (plan,) = [body for _, kind, body in log if kind == "ModelCallRequested" and body["purpose"] == "plan"]
    claims = [
        one for one in plan["messages"] if one["source"] and one["source"]["topic"] == "session.imports"
    ]
    assert there[claims[-1]["source"]["event_id"]]["text"] == LATEST
    assert {one["role"] for one in claims} == {"user"}
    limits = Limits()
    assert sum(one["source"]["tokens"] for one in claims) <= limits.history_tokens_max
    (found,) = [json.loads(body["result_json"]) for _, kind, body in log if kind == "ToolCallCompleted"]
    (fact,) = [one for one in found["said"] if one["text"] == FACT]
    assert (fact["turn"], fact["citation"]) == (0, "imported 1 user#1")
    assert there[fact["event_id"]]["text"] == FACT

    answered = next(event_id for event_id, kind, _ in log if kind == "AnswerGiven")
    causes = {imported_id, claims[-1]["source"]["event_id"]}
    for _ in tries():
        traced = json.dumps(run("trace", answered))
        if all(one in traced for one in causes):
            break
    assert [one for one in causes if one not in traced] == []
    assert run("replay", session)["divergence"] is None

    # What V1 wrote meanwhile comes over, and starts nothing.
    with psycopg.connect(dsn) as connection:
        connection.execute(SAY, [session, "user", "Still there?"])
    assert bring(run, file)["events"] > 0
    assert [kind for _, kind, _ in whole(settings, session, 1) if kind == "TurnStarted"] == ["TurnStarted"]
    with followed(http, session) as frames:
        ask(http, session, frames, "Write a line about boats.")
    kinds = Counter(kind for _, kind, _ in whole(settings, session, 2))
    assert kinds["SessionImported"] == 1
    assert run("replay", session)["divergence"] is None


def test_who_is_not_the_owner_of_what_came_over_cannot_go_on_with_it(
    http: httpx.Client,
    settings: Settings,
    outsider: Outsider,
    make_token: Make,
    bearing: Bearing,
    address: str,
    run: Run,
    old: tuple[str, Path],
) -> None:
    dsn, file = old
    session = held(dsn, "Mine", ("user", FACT))
    bring(run, file)
    stranger = bearing(address, make_token("--tenant=other"))
    other = bearing(address, make_token("--user=eve"))
    path = f"/api/v2/sessions/{session}/messages"
    for _ in tries():
        told = http.get(path).json()["messages"]
        if told:
            break
    assert [(one["content"], one["importedFrom"]) for one in told] == [(FACT, file.parent.name[:50])]
    assert told[0]["importedAt"] > told[0]["createdAt"]
    assert [who.get(path).status_code for who in (stranger, other)] == [404, 404]

    refused = stranger.post(f"/api/v2/sessions/{session}/messages", json={"content": "Let me in."})
    outsider.post([{**message("Let me in.", session_id=session), "tenant_id": "default", "user_id": "eve"}])

    assert refused.status_code == 404
    query = "SELECT body ->> 'reason' FROM event_log WHERE session_id = %s AND topic = 'dead.letters'"
    reasons: list[tuple[str]] = []
    for _ in tries():
        with psycopg.connect(settings.postgres_dsn) as connection:
            reasons = connection.execute(query, [session]).fetchall()
        if reasons:
            break
    assert ["for somebody else" in reason for (reason,) in reasons] == [True]
    say(http, session, "Mine again.")
    for _ in tries():
        status = http.get(f"/api/v2/sessions/{session}/status").json()
        if status["status"] == "answered":
            break
    assert (status["status"], status["userId"]) == ("answered", "ann")
