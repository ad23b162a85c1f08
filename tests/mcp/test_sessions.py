"""Sessions whose agent calls a tool of an MCP server, from the message to `trace` and the rows."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from connectors.embedded.progress import Silent
from connectors.embedded.stack import Ports
from connectors.sandbox.interpreter import find_interpreter
from streams.cli.deployment import bring_up
from streams.cli.door import address_of, local_token
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.mcp import npm
from tests.mcp.worlds import MISBEHAVING, tool
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PROJECT_DIRECTORY = Path(__file__).parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
AGENTS = """
[clerk]
purpose = "counts and echoes texts with its tools"
tier = "standard"
tools = {names}
output_tokens_max = 400
prompt = "Role: agent clerk\\nYou use your tool."
"""


class Office:
    """A deployment of its own whose one agent has one tool of one server."""

    def __init__(self, home: Path) -> None:
        """Start nothing yet."""
        self.home = home
        self.dsn = ""
        self.servers = home / "mcp.toml"
        self.configuration = home / "configuration"
        self.configuration.mkdir()
        self.environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.environment |= {
            "CARTRITA_HOME": str(home),
            "CARTRITA_MCP_SERVERS": str(self.servers),
            "CARTRITA_CONFIGURATION_DIRECTORY": str(self.configuration),
        }

    def employ(self, server: str, command: list[str], read: list[Path], *tools: str, once: str = "") -> None:
        """Accept all of a server, and give the agent some of its tools; one must not be repeated."""
        rarely = f"[servers.{server}.tool.{once}]\nidempotent = false\n" if once else ""
        self.servers.write_text(
            f"[servers.{server}]\ncommand = {json.dumps(command)}\n"
            f"read = {json.dumps(list(map(str, read)))}\n"
            f'safety_level = "safe"\nidempotent = true\n{rarely}',
            encoding="utf-8",
        )
        self.servers.chmod(0o600)
        names = json.dumps([f"{server}__{tool}" for tool in tools])
        (self.configuration / "agents.toml").write_text(AGENTS.format(names=names), encoding="utf-8")
        digest = json.loads(self.run("tools", "show", server, "--json", code=1))["digest"]
        self.run("tools", "accept", server, "--digest", digest)

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command, and return what it printed."""
        ended = subprocess.run(
            [sys.executable, "-m", "streams.main", *arguments],
            capture_output=True,
            text=True,
            timeout=240,
            env=self.environment,
            cwd=PROJECT_DIRECTORY,
            check=False,
        )
        assert ended.returncode == code, ended.stderr
        return ended.stdout

    @contextmanager
    def open(self) -> Iterator[Deployment]:
        """Run the deployment for as long as the block."""
        deployment = Deployment(self.home, self.environment, ports=Ports.free())
        try:
            asyncio.run(bring_up(deployment, 1, Silent()))
            self.dsn = deployment.settings()["CARTRITA_POSTGRES_DSN"]
            yield deployment
        finally:
            deployment.stop(Silent())

    def asked(self, request: str) -> tuple[str, dict[str, Any]]:
        """Ask, and return the session and what the rows say of its one call of a tool."""
        answer = json.loads(self.run("send", "--follow", "--json", request).splitlines()[-1])
        session = str(answer["session_id"])
        return session, self.row(
            "SELECT output_json || jsonb_build_object('tool', tool_name) FROM tool_invocations "
            "WHERE session_id = %s AND output_json IS NOT NULL",
            session,
        )

    def row(self, query: str, *values: str) -> dict[str, Any]:
        """Return the first value of the first row as soon as the sink has written it."""
        for _ in tries():
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                found = connection.execute(query, values).fetchone()
            if found is not None:
                told: dict[str, Any] = found[0]
                return told
        raise AssertionError(f"no row of {query}")

    def traced(self, request: str, name: str) -> None:
        """Ask, and find the call of the tool in the rows and in the trace."""
        session, call = self.asked(request)
        assert (call["tool"], call["success"]) == (name, True)
        assert name in self.run("trace", session)


@pytest.fixture
def office() -> Iterator[Office]:
    """An office in a folder that other users may enter."""
    directory = Path(tempfile.mkdtemp(prefix="cartrita-office-"))
    directory.chmod(0o755)
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    (directory / "artifacts").symlink_to(artifacts)
    yield Office(directory)
    shutil.rmtree(directory)


REQUEST = "Use odd__echo to echo the words garden and budget."


def test_a_session_calls_a_tool_of_a_confined_server_until_an_operator_stops_it_or_it_changes(
    office: Office,
) -> None:
    control = office.home / "told"
    control.mkdir()
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    effects = str(control / "effects")

    def tell(*tools: dict[str, Any]) -> None:
        known = (tool("echo", inputSchema=schema), tool("die", inputSchema=schema))
        told = {"tools": [*known, *tools], "effects": effects}
        (control / "control.json").write_text(json.dumps(told), encoding="utf-8")

    tell()
    python = find_interpreter().executable
    command = [python, "-I", str(MISBEHAVING), str(control / "control.json")]
    office.employ("odd", command, [control], "echo", "die", once="die")

    with office.open() as deployment:
        office.traced(REQUEST, "odd__echo")

        office.run("tools", "stop", "odd", "--reason", "it leaks", "--user", "olga")
        _, refused = office.asked(REQUEST)
        assert not refused["success"]
        assert "odd is stopped by an operator: it leaks" in str(refused)
        assert "stopped by olga" in office.run("tools", "list")
        office.run("tools", "start", "odd__echo", code=4)
        office.run("tools", "try", "odd__echo", '{"text": "a"}', code=1)

        # A stop is no affair of one worker: whoever begins anew knows it before anything runs.
        deployment.stop(Silent())
        # Workers ask for the list when they begin; this server does not say that it has changed.
        tell(tool("format_disk"))
        asyncio.run(bring_up(deployment, 1, Silent()))
        _, refused = office.asked(REQUEST)
        assert not refused["success"]

        office.run("tools", "start", "odd")
        office.traced(REQUEST, "odd__echo")
        withheld = office.row(
            "SELECT body FROM event_log WHERE topic = 'tool.restraints' AND type = 'ServerToolsWithheld'"
        )
        assert withheld["added"] == ["format_disk"]
        listed = json.loads(office.run("tools", "list", "--json"))
        assert [one["fact"]["added"] for one in listed["restraints"]["withheld"]] == [["format_disk"]]
        assert listed["restraints"]["stops"] == {}
        find_out(office, deployment)
        assert "something is withheld" in office.run("doctor", code=1)


def find_out(office: Office, deployment: Deployment) -> None:
    """Let a call be carried out whose answer is lost, and tell by HTTP what became of it."""
    settings = Settings.from_environment(deployment.settings())
    token = asyncio.run(local_token(settings, office.home / "token"))
    bearer = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address_of(deployment.settings()), headers=bearer, timeout=120) as http:
        asks = {"role": "user", "content": "Use odd__die to send the letter about garden and budget."}
        waits = http.post("/v1/chat/completions", json={"model": "cartrita", "messages": [asks]})
        assert waits.status_code == 200, waits.text
        told = waits.json()["choices"][0]["message"]["content"]
        session = waits.headers["x-cartrita-session"]
        assert told.startswith("Nobody knows whether this was carried out: odd__die")

        questions = next(found for _ in tries() if (found := http.get("/api/v2/outcomes").json()["outcomes"]))
        (question,) = questions
        assert (question["sessionId"], question["tool"], question["status"]) == (
            session,
            "odd__die",
            "waiting",
        )
        path = f"/api/v2/sessions/{session}/outcomes/{question['callId']}"
        assert path in told
        finding = {"carriedOut": True, "result": "letter 7", "reason": "it is in the outbox"}
        key = {"Idempotency-Key": "once"}
        queued = http.post(path, json=finding, headers=key)
        assert queued.status_code == 202, queued.text

        office.row("SELECT body FROM event_log WHERE session_id = %s AND type = 'AnswerGiven'", session)
        known = next(found for _ in tries() if (found := http.get(path).json())["status"] != "waiting")
        assert (known["status"], known["carriedOut"]) == ("told", True)
        again = http.post(path, json=finding, headers=key)
        assert (again.status_code, again.json()["repeated"]) == (202, True)
        closed = http.post(path, json=finding)
        assert (closed.status_code, closed.json()["code"]) == (409, "outcome_closed")
        assert http.get("/api/v2/outcomes").json() == {"outcomes": []}


@pytest.mark.slow
def test_a_tool_in_typescript_goes_from_nothing_to_a_traced_call(office: Office) -> None:
    template = office.home / "words"
    script = npm.built_template(template)

    office.employ("words", [npm.NODE, str(script)], [template], "count_words")

    with office.open():
        office.traced("Use words__count_words to count the words of a text.", "words__count_words")
