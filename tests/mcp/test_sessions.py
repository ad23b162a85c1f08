"""Sessions whose agent calls a tool of an MCP server, from the message to `trace` and the rows."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from connectors.embedded.progress import Silent
from connectors.embedded.stack import Ports
from connectors.sandbox.interpreter import find_interpreter
from streams.cli.deployment import bring_up
from streams.worker.deployment import Deployment
from tests.mcp import npm
from tests.mcp.worlds import MISBEHAVING, tool

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PROJECT_DIRECTORY = Path(__file__).parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")
AGENTS = """
[clerk]
purpose = "counts and echoes texts with its tools"
tier = "standard"
tools = ["{name}"]
output_tokens_max = 400
prompt = "Role: agent clerk\\nYou use your tool."
"""


class Office:
    """A deployment of its own whose one agent has one tool of one server."""

    def __init__(self, home: Path) -> None:
        """Start nothing yet."""
        self.home = home
        self.servers = home / "mcp.toml"
        self.configuration = home / "configuration"
        self.configuration.mkdir()
        self.environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.environment |= {
            "CARTRITA_HOME": str(home),
            "CARTRITA_MCP_SERVERS": str(self.servers),
            "CARTRITA_CONFIGURATION_DIRECTORY": str(self.configuration),
        }

    def employ(self, server: str, command: list[str], read: list[Path], name: str) -> None:
        """Accept all of a server, and give the agent one of its tools."""
        self.servers.write_text(
            f"[servers.{server}]\ncommand = {json.dumps(command)}\n"
            f"read = {json.dumps(list(map(str, read)))}\n"
            'safety_level = "safe"\nidempotent = true\n',
            encoding="utf-8",
        )
        self.servers.chmod(0o600)
        (self.configuration / "agents.toml").write_text(AGENTS.format(name=name), encoding="utf-8")
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

    def traced(self, request: str, name: str) -> None:
        """Ask, and find the call of the tool in the rows and in the trace."""
        deployment = Deployment(self.home, self.environment, ports=Ports.free())
        try:
            asyncio.run(bring_up(deployment, 1, Silent()))
            answer = json.loads(self.run("send", "--follow", "--json", request).splitlines()[-1])
            session = answer["session_id"]
            dsn = deployment.settings()["CARTRITA_POSTGRES_DSN"]
            assert _row(dsn, session) == (name, True)
            assert name in self.run("trace", session)
        finally:
            deployment.stop(Silent())


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


def _row(dsn: str, session: str) -> tuple[str, bool] | None:
    deadline_s = time.monotonic() + 60
    while True:
        with psycopg.connect(dsn, autocommit=True) as connection:
            found = connection.execute(
                "SELECT tool_name, (output_json->>'success')::boolean FROM tool_invocations "
                "WHERE session_id = %s AND output_json IS NOT NULL",
                [session],
            ).fetchone()
        if found is not None or time.monotonic() > deadline_s:
            return None if found is None else (str(found[0]), bool(found[1]))
        time.sleep(0.2)


def test_a_session_calls_a_tool_of_a_confined_server_and_its_rows_and_trace_say_so(office: Office) -> None:
    control = office.home / "told"
    control.mkdir()
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    told = {"tools": [tool("echo", inputSchema=schema)], "effects": str(control / "effects")}
    (control / "control.json").write_text(json.dumps(told), encoding="utf-8")
    python = find_interpreter().executable
    command = [python, "-I", str(MISBEHAVING), str(control / "control.json")]

    office.employ("odd", command, [control], "odd__echo")

    office.traced("Use odd__echo to echo the words garden and budget.", "odd__echo")


@pytest.mark.slow
def test_a_tool_in_typescript_goes_from_nothing_to_a_traced_call(office: Office) -> None:
    template = office.home / "words"
    script = npm.built_template(template)

    office.employ("words", [npm.NODE, str(script)], [template], "words__count_words")

    office.traced("Use words__count_words to count the words of a text.", "words__count_words")
