"""Conversations of V1 on the real stack, brought over by the command line, as people see them."""

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from playwright.sync_api import Page, expect
from psycopg.conninfo import make_conninfo

from connectors.version_one.sample import TABLES
from streams.process.settings import Settings
from tests.console.browsing import Watched, needs_browser, violations
from tests.pipeline.test_front_door import say
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway says
Run = Callable[..., Json]
"""Runs a command of the command line, and returns what it tells as JSON."""
SAY = "INSERT INTO conversation_messages (session_id, role, content, created_at) VALUES (%s, %s, %s, now())"


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
    assert violations(page) == []
    say(http, session, "And back?")
    expect(facts).to_contain_text("answered")
    expect(facts).to_contain_text("3 messages")
    for _ in tries():
        status = http.get(f"/api/v2/sessions/{session}/status").json()
        if status["status"] == "answered":
            break
    assert (status["messages"], status["importedMessages"]) == (1, 2)
    assert watched.complaints == []
