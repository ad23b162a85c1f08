"""`cartrita tools`: a person looks at a server, accepts what it offers, and tries a tool."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from streams.cli.application import app
from tests.mcp.worlds import MISBEHAVING, tool


class Desk:
    """A person's desk: a file of servers, and the command line."""

    def __init__(self, folder: Path) -> None:
        """Write the file; the server offers two tools."""
        self.control = folder / "control.json"
        self.path = folder / "mcp.toml"
        self.accepted = folder / "mcp.accepted.json"
        self.program = folder / "server.py"
        self.program.write_text(MISBEHAVING.read_text(encoding="utf-8"), encoding="utf-8")
        self.tell(tool("echo"), tool("effect", description="writes\u202e something"))
        command = json.dumps([sys.executable, "-I", str(self.program), str(self.control)])
        self.path.write_text(f'[servers.odd]\ncommand = {command}\nconfinement = "none"\n', encoding="utf-8")
        self.path.chmod(0o600)

    def tell(self, *tools: Any) -> None:
        """Tell the server its tools."""
        told = {"tools": tools, "effects": str(self.control.with_name("effects"))}
        self.control.write_text(json.dumps(told), encoding="utf-8")

    def run(self, *arguments: str, answer: str = "") -> Result:
        """Run `cartrita tools …`."""
        with capture_logs():  # which the command line itself sends to standard error
            return CliRunner().invoke(app, ["tools", *arguments], input=answer)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk where nothing was accepted yet."""
    made = Desk(tmp_path)
    monkeypatch.setenv("CARTRITA_MCP_SERVERS", str(made.path))
    monkeypatch.setenv("CARTRITA_HOME", str(tmp_path / "nowhere"))
    return made


def test_a_person_sees_the_whole_list_and_accepts_it(desk: Desk) -> None:
    before = desk.run("try", "odd__echo")
    seen = desk.run("show", "odd")
    accepted = desk.run("accept", "odd", answer="y\n")
    listed = json.loads(desk.run("list", "--json").stdout)

    assert before.exit_code == 4
    assert seen.exit_code == 1
    assert "odd__effect new" in seen.stdout
    assert "writes something" in seen.stdout
    assert "\u202e" not in seen.stdout
    assert accepted.exit_code == 0, accepted.output
    foreign = [one for one in listed["tools"] if one["source"] == "mcp odd"]
    assert [(one["tool"], one["safety_level"]) for one in foreign] == [
        ("odd__echo", "restricted"),
        ("odd__effect", "restricted"),
    ]
    assert {(one["trust"], one["outside"]) for one in foreign} == {("document", "yes")}
    assert "acts outside, trusted as a document" in " ".join(seen.stdout.split())
    assert desk.run("show", "odd").exit_code == 0


def test_whoever_says_no_accepts_nothing(desk: Desk) -> None:
    assert desk.run("accept", "odd", answer="n\n").exit_code == 1
    assert not desk.accepted.exists()


def test_an_accepted_tool_can_be_tried(desk: Desk) -> None:
    desk.run("accept", "odd", answer="y\n")

    tried = desk.run("try", "odd__echo", '{"a": 1}')

    assert tried.exit_code == 0, tried.output
    assert json.loads(tried.stdout)["text"] == '{"tool": "echo", "arguments": {"a": 1}}'


def test_single_tools_can_be_accepted_and_the_others_are_no_news(desk: Desk) -> None:
    desk.run("accept", "odd", "echo", answer="y\n")

    assert desk.run("show", "odd").exit_code == 0
    assert desk.run("try", "odd__effect").exit_code == 4


def test_the_digest_that_was_seen_accepts_without_a_question(desk: Desk) -> None:
    digest = json.loads(desk.run("show", "odd", "--json").stdout)["digest"]
    wrong = desk.run("accept", "odd", "--digest", "0" * 16)
    right = desk.run("accept", "odd", "--digest", digest)

    assert (wrong.exit_code, right.exit_code) == (1, 0)


def test_a_list_that_changed_since_it_was_seen_is_not_accepted(desk: Desk) -> None:
    digest = json.loads(desk.run("show", "odd", "--json").stdout)["digest"]
    desk.tell(tool("echo"), tool("effect", description="writes everything"))

    assert desk.run("accept", "odd", "--digest", digest).exit_code == 1


def test_a_change_is_shown_and_withheld_until_it_is_accepted(desk: Desk) -> None:
    desk.run("accept", "odd", answer="y\n")
    desk.tell(tool("echo", description="other"), tool("effect2", description="writes\u202e something"))

    seen = desk.run("show", "odd")
    tried = desk.run("try", "odd__echo")
    desk.run("accept", "odd", answer="y\n")

    assert "odd__echo changed" in seen.stdout
    assert "renamed effect → effect2" in seen.stdout
    assert tried.exit_code == 1
    assert "withheld" in tried.stderr
    assert desk.run("try", "odd__echo").exit_code == 0


def test_a_program_that_changed_since_it_was_accepted_is_not_started(desk: Desk) -> None:
    desk.run("accept", "odd", answer="y\n")
    with desk.program.open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")

    tried = desk.run("try", "odd__echo")

    assert tried.exit_code == 1
    assert "its program is not the one that was accepted" in tried.stderr


def test_one_malformed_tool_is_shown_as_put_aside(desk: Desk) -> None:
    desk.tell(tool("echo"), {"name": "bad"})

    assert "put aside bad: its inputSchema is no JSON object" in desk.run("show", "odd").stdout


def test_a_server_that_is_away_is_told(desk: Desk) -> None:
    desk.control.unlink()

    seen = desk.run("show", "odd")

    assert seen.exit_code == 3
    assert "ended with exit code 1" in seen.stderr


def test_a_server_that_is_not_configured_is_not_found(desk: Desk) -> None:
    assert desk.run("show", "even").exit_code == 4


def test_without_a_file_the_setting_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CARTRITA_MCP_SERVERS")

    shown = desk.run("show", "odd")

    assert shown.exit_code == 2
    assert "CARTRITA_MCP_SERVERS" in shown.stderr
