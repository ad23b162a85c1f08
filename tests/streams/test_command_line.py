"""The command line where it needs no service: odd arguments, streams and locales."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from streams.cli.application import app

ROOT = Path(__file__).parents[2]
CARTRITA = [sys.executable, "-m", "streams.main"]
LOCALES: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C"},
    "C, as Python takes it literally": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii:strict"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1:strict"},
}
# Port 9 is that of a service which drops what comes, and which nobody runs.
AWAY = {
    "KAFKA_BOOTSTRAP": "127.0.0.1:9",
    "REGISTRY_URL": "http://127.0.0.1:9",
    "POSTGRES_DSN": "postgresql://127.0.0.1:9/cartrita",
}
NOT_TEXT = [b"caf\xe9", b"\xff\xfe", b"\x80[bold]"]


def run(
    arguments: Sequence[str | bytes],
    *,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        [*CARTRITA, *arguments],
        input=stdin,
        capture_output=True,
        timeout=120,
        env=given(home, environment),
        cwd=ROOT,
        check=False,
    )


def given(home: Path | None, environment: Mapping[str, str] | None) -> dict[str, str]:
    """Return an environment without settings, but for the deployment's folder and those given."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "CARTRITA_HOME": str(home or ROOT / "nowhere"), **(environment or {})}


@pytest.mark.parametrize(
    "arguments",
    [
        ["send"],
        ["cancel"],
        ["close"],
        ["approvals", "show"],
        ["sessions"],
        ["sessions", "--status"],
        ["trace"],
        ["replay"],
        ["tail", "--session"],
        ["tail", "--type"],
        ["tail", "--topic"],
        ["fork", "x", "--at"],
        ["dead-letters", "show"],
        ["dead-letters", "list", "--code"],
        ["schemas", "show"],
        ["ingest", "docs", "--name"],
        ["ingest", "docs", "--tenant"],
    ],
    ids=" ".join,
)
def test_an_argument_that_is_not_text_is_refused_in_a_sentence(arguments: list[str]) -> None:
    for argument in NOT_TEXT:
        ended = CliRunner().invoke(app, [*arguments, os.fsdecode(argument)])

        assert ended.exit_code == 2, ended.output
        assert "not text in your terminal's encoding" in " ".join(ended.output.split())


HOSTILE = "[bold]x[/] \x1b[31mred\x9b2J\x07 \u202eleft \u200b:smile: [/slug] \\"
ACTING = frozenset("\x1b\x9b\x07\u202e\u200b\r")


def leaves(group: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands, each with the names by which it is called (Any: the library's types are not public)."""
    for name, found in group.commands.items():
        if hasattr(found, "commands"):
            yield from leaves(found, (*names, name))
        else:
            yield (*names, name), found


COMMANDS = dict(leaves(typer.main.get_command(app)))
# These start servers, and no text is given to them; all that they print is printed by the others too.
STARTING = {("up",), ("demo",), ("doctor", "sandbox")}


@pytest.mark.parametrize("names", sorted(COMMANDS), ids=" ".join)
def test_no_text_acts_whichever_command_gets_it_and_wherever(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARTRITA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CARTRITA_STARTUP_TIMEOUT_MS", "0")
    monkeypatch.setenv("CARTRITA_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for service in ("KAFKA_BOOTSTRAP", "REGISTRY_URL", "POSTGRES_DSN"):
        monkeypatch.setenv(f"CARTRITA_{service}", AWAY[service])
    given: list[list[str]] = [[HOSTILE], [f"--{HOSTILE}"], [HOSTILE, HOSTILE, HOSTILE, HOSTILE]]
    given += [[option, HOSTILE] for option in options(COMMANDS[names])]
    if names in STARTING:
        given = given[:2]

    for arguments in given:
        ended = CliRunner().invoke(app, [*names, *arguments], input=HOSTILE)

        shown = ended.output + (ended.stderr or "")
        assert not ACTING & set(shown), (arguments, shown)
        assert ended.exit_code in range(6), (arguments, ended.exit_code, ended.exception, shown)
        assert isinstance(ended.exception, SystemExit | None), (arguments, ended.exception)


def options(found: Any) -> list[str]:
    """The options of a command that take a value."""
    return [one.opts[0] for one in found.params if one.opts[0].startswith("-") and not one.is_flag]


def test_the_bytes_of_a_refused_argument_are_written_out() -> None:
    ended = run(["send", b"\x80[bold]\x1b[31m"])

    assert ended.returncode == 2
    assert b"\\x80[bold]\\x1b[31m" in ended.stderr
    assert b"\x1b" not in ended.stderr


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("arguments", [["--help"], ["topics", "list", "--json"]], ids=" ".join)
def test_every_locale_can_be_written_to(arguments: list[str], locale: str) -> None:
    ended = run(arguments, environment=LOCALES[locale])

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
    if "--json" in arguments:
        assert json.loads(ended.stdout)


@pytest.mark.parametrize(
    "stdin", [b"", b" \n", b"\x00\x01\x02", bytes(range(256)), b"\xff\xfe\x00", b"x" * 5_000_000]
)
def test_standard_input_that_is_no_message_is_refused_in_a_sentence(stdin: bytes) -> None:
    ended = run(["send", "-"], stdin=stdin)

    assert ended.returncode == 2
    assert b"error:" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_closed_streams_are_no_reason_for_a_traceback() -> None:
    for command in ("send - <&-", "topics list >&-", "topics list --json >&-", "send '' 2>&-"):
        ended = subprocess.run(
            ["/bin/sh", "-c", f"{sys.executable} -m streams.main {command}"],
            capture_output=True,
            timeout=120,
            env=given(None, None),
            cwd=ROOT,
            check=False,
        )

        assert b"Traceback" not in ended.stderr + ended.stdout, command
        assert ended.returncode in (0, 1, 2), command


@pytest.mark.parametrize(
    "arguments", [["topics", "list"], ["topics", "list", "--json"], ["schemas", "show", "plans"]]
)
def test_a_reader_that_has_gone_ends_a_command_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*CARTRITA, *arguments],
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=120,
            env=given(None, None),
            cwd=ROOT,
            check=False,
        )
    finally:
        os.close(writing)

    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_is_told_in_a_sentence() -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*CARTRITA, "topics", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=120,
            env=given(None, None),
            cwd=ROOT,
            check=False,
        )

    assert ended.returncode == 1
    assert b"No space left" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_an_interrupt_while_the_program_is_loading_is_no_traceback(tmp_path: Path) -> None:
    # A pipe that nobody writes to holds the command where it reads standard input.
    process = subprocess.Popen(
        [*CARTRITA, "send", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=given(tmp_path, None),
        cwd=ROOT,
        # Whoever runs the tests in the background has interrupts ignored, and so have its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
        _, told = process.communicate()
    finally:
        process.kill()
        process.wait()

    # The interpreter's own start is interrupted by the signal itself, before any line of the program runs.
    assert process.returncode in (130, -signal.SIGINT)
    assert process.returncode != 130 or b"Traceback" not in told


def test_a_report_about_a_hostile_page_acts_on_nothing(tmp_path: Path) -> None:
    page = tmp_path / "a\x1b[31m\u202e.html"
    page.write_text("<html><body><img src='\x1b]0;x\x07\u202e'><button>\x9b31m</button></body></html>")

    for form in ("text", "json", "sarif"):
        ended = run(["analyze-ui", str(tmp_path), "--format", form])

        text = (ended.stdout + ended.stderr).decode()
        assert ended.returncode == 0, text
        assert not [character for character in text if character in "\x1b\x07\x9b\u202e"]
        if form != "text":
            assert json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("streams.cli.application", ("openai", "mcp", "starlette", "uvicorn", "wasmtime")),
        ("streams.worker.worker", ("mcp", "starlette", "uvicorn", "wasmtime")),
    ],
)
def test_nobody_loads_at_the_start_what_few_need(module: str, absent: tuple[str, ...]) -> None:
    told = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=True,
    )

    assert not set(absent) & set(told.stdout.split())
