"""Sessions whose agents run code in the sandbox and measure a front-end, from the message to the rows."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from streams.process.settings import Settings

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever a command prints or a tool gave
REQUEST = (
    "1. Compute 6 * 7 + 2 ** 40 with Python. "
    "2. Audit the user interface in folder shop. "
    "3. Then write a summary of both."
)
PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Shop</title><meta name="viewport" content="width=device-width"></head>
<body>
<main>
<h1>Shop</h1>
<img src="shoes.png" width="200" height="100">
<button type="button"></button>
</main>
</body>
</html>
"""


@pytest.fixture
def shop(home: Path) -> Path:
    """A front-end below the worker's working folder, which is the root of what analyze_ui may read."""
    folder = home / "shop"
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text(PAGE, encoding="utf-8")
    return folder


def asked(environment: dict[str, str], request: str) -> Json:
    """Send a request by the command line, follow it to its end and return the answer's event."""
    ended = subprocess.run(
        [sys.executable, "-m", "streams.main", "send", "--follow", "--json", request],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["body"]["type"] == "AnswerGiven", answer
    return answer


def rows(settings: Settings, query: str, session_id: str, count: int) -> list[tuple[Json, ...]]:
    """Return the rows of a session as soon as the sink has `count` of them."""
    deadline_s = time.monotonic() + 120
    while True:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            found = connection.execute(query, [session_id]).fetchall()
        if len(found) >= count or time.monotonic() > deadline_s:
            return list(found)
        time.sleep(0.2)


def test_a_session_runs_code_and_measures_a_front_end_and_its_rows_say_so(
    settings: Settings, command_environment: dict[str, str], shop: Path
) -> None:
    answer = asked(command_environment, REQUEST)
    session = answer["session_id"]

    text = answer["body"]["text"]
    assert answer["body"]["complete"]
    assert str(6 * 7 + 2**40) in text
    assert f"index.html:{PAGE[: PAGE.index('<img')].count(chr(10)) + 1}: <img>" in text
    calls = rows(
        settings,
        "SELECT tool_name, output_json FROM tool_invocations "
        "WHERE session_id = %s AND output_json IS NOT NULL AND category IS NOT NULL ORDER BY tool_name",
        session,
        2,
    )
    assert [name for name, _ in calls] == ["analyze_ui", "execute_python"]
    assert all(output["success"] for _, output in calls)
    measured, executed = (output["result"] for _, output in calls)
    assert {finding["rule_id"] for finding in measured["findings"]} >= {"image-alt", "button-name"}
    assert executed["stdout"] == f"{6 * 7 + 2**40}\n"
    assert executed["isolation"]["tier"] in ("ns", "lsm", "wasm")
    assert executed["isolation"]["canary_id"]
    agents = rows(
        settings,
        "SELECT agent_assigned, status FROM tasks_v2 WHERE session_id = %s AND agent_assigned IS NOT NULL",
        session,
        3,
    )
    assert {("coder", "complete"), ("auditor", "complete")} <= {(agent, status) for agent, status in agents}


def test_a_folder_outside_the_root_is_refused_and_the_answer_says_so(
    settings: Settings, command_environment: dict[str, str]
) -> None:
    answer = asked(command_environment, "Audit the user interface in folder ../../etc")

    assert "out of the folder" in answer["body"]["text"]
