"""Names, messages and answers from outside, through every command that shows them, in every locale."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.credentials import ALNUM, Maker
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

HOSTILE = "[bold]Write[/] a \x1b[31mgreeting\x1b]0;title\x07 [/] :smile: \u202ebackwards \x9b2J in [slug] \\"
ACTING = frozenset("\x1b\x07\x9b\u202e\r\x00")
LITERAL_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def run(deployment: object, command_environment: dict[str, str]) -> Run:
    """Run a command, and check that nothing in what it printed acts on a terminal."""

    def run(*arguments: str | bytes, code: int = 0, **environment: str) -> subprocess.CompletedProcess[bytes]:
        ended = subprocess.run(
            [sys.executable, "-m", "streams.main", *arguments],
            capture_output=True,
            timeout=120,
            env={**command_environment, **environment},
            check=False,
        )
        printed = (ended.stdout + ended.stderr).decode()
        assert ended.returncode == code, printed
        assert "Traceback" not in printed
        assert not ACTING & set(printed), printed
        return ended

    return run


def test_odd_names_are_ingested_and_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "odd [b]names"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "[slug].md").write_text("Slugs live in gardens.\n")
    (folder / "a\nb\x1b[31m.md").write_text("Escapes are shown.\n")
    (folder / os.fsdecode(b"caf\xe9.txt")).write_bytes("Café crème.\n".encode("latin-1"))
    (folder / "loop.md").symlink_to("loop.md")
    (folder / "bin\x07ary.md").write_bytes(b"a\x00b")

    told = run("ingest", str(folder)).stdout.decode()

    assert "3 added" in told
    assert "odd %5Bb%5Dnames/loop.md: cannot be read: a loop of links" in told
    assert "odd %5Bb%5Dnames/bin%07ary.md: binary" in told
    report = json.loads(run("ingest", str(folder), "--json", **LITERAL_C).stdout)
    assert report["unchanged"] == [
        "odd %5Bb%5Dnames/a%0Ab%1B%5B31m.md",
        "odd %5Bb%5Dnames/caf%E9.txt",
        "odd %5Bb%5Dnames/docs/%5Bslug%5D.md",
    ]


def test_a_folder_without_texts_and_one_of_the_same_name_are_refused(run: Run, tmp_path: Path) -> None:
    for place in ("p1", "p2"):
        (tmp_path / place / "handbook").mkdir(parents=True)
        (tmp_path / place / "handbook" / f"{place}.md").write_text(f"Of {place}.\n")
    (tmp_path / "empty").mkdir()
    run("ingest", str(tmp_path / "p1" / "handbook"))

    refused = run("ingest", str(tmp_path / "p2" / "handbook"), code=2).stderr.decode()
    empty = run("ingest", str(tmp_path / "empty"), code=1).stderr.decode()
    unsuitable = run("ingest", str(tmp_path / "empty"), "--name", "a/b", code=2).stderr.decode()

    assert "p1/handbook" in refused
    assert "--name" in refused
    assert "no text file" in empty
    assert "slashes" in unsuitable


def test_the_commands_of_the_guide_run_and_do_what_it_says(
    deployment: object, command_environment: dict[str, str], tmp_path: Path
) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```\n(.*?)```", guide, re.DOTALL)
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    for folder in ("docs", "notes"):
        (tmp_path / folder / "guide").mkdir(parents=True)
        (tmp_path / folder / "guide" / "start.md").write_text(f"Of {folder}.\n")
    collections: list[str] = []

    for name, *arguments in commands:
        assert name == "cartrita"
        for first in (True, False):
            ended = subprocess.run(
                [sys.executable, "-m", "streams.main", *arguments, "--json"],
                cwd=tmp_path,
                capture_output=True,
                timeout=120,
                env={**command_environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                check=False,
            )
            assert ended.returncode == 0, ended.stderr
            report = json.loads(ended.stdout)
            assert len(report["added" if first else "unchanged"]) == 1
        collections.append(report["collection"])

    assert collections == ["docs", "team notes", "docs"]


def test_a_hostile_message_acts_nowhere(run: Run, tmp_path: Path) -> None:
    attachment = tmp_path / "[b]\x1b[2J.txt"
    attachment.write_text("Greetings are short. " * 3)

    followed = run("send", "--follow", "-f", str(attachment), HOSTILE)
    told = [json.loads(line) for line in run("send", "--follow", "--json", HOSTILE).stdout.splitlines()]

    session = told[-1]["session_id"]
    assert b"answer" in followed.stdout
    for environment in ({}, LITERAL_C):
        everything = [
            run("tail", "--from-beginning", "--session", session, "--limit", "8", **environment),
            run("tail", "--from-beginning", "--session", session, "--limit", "8", "--json", **environment),
            run("replay", session, **environment),
            run("record", session, str(tmp_path / "a [b]\x07.recording"), **environment),
            run("sessions", **environment),
        ]
        assert all(ended.stdout for ended in everything)
    # Another producer's record on user.inputs is as it was sent; what the session was given follows it.
    lines = run(
        "tail",
        "--from-beginning",
        "--topic",
        "session.inputs",
        "--session",
        session,
        "--type",
        "MessageReceived",
        "--limit",
        "1",
        "--json",
    ).stdout
    message = json.loads(lines)
    # What would turn the line round is taken out before it is on the log; all else is what was said.
    assert message["event"]["body"]["text"] == HOSTILE.replace("\u202e", "")
    assert (
        b"[bold]Write[/]"
        in run(
            "tail", "--from-beginning", "--session", session, "--type", "MessageReceived", "--limit", "1"
        ).stdout
    )


def test_a_credential_that_is_said_is_in_no_file_of_kafka_postgres_or_the_logs(
    run: Run, home: Path, tmp_path: Path
) -> None:
    made = Maker(1)
    token, key = "ghp_" + made.some(ALNUM, 36), "sk-proj-" + made.some(ALNUM, 100)
    secrets = [token, key, made.some(ALNUM, 20) + "!7a"]
    mark = f"mark {made.some(ALNUM, 20)}"
    attachment = tmp_path / "notes.txt"
    attachment.write_text(f"{mark} DB_PASSWORD={secrets[2]}\n")

    run("send", "--follow", "-f", str(attachment), f"{mark} Write a greeting to {token} and {key}")

    # Every event of the turn is on the log by now; the mark shows when the sink has written what was said.
    for _ in tries():
        if _holding(home / "stack" / "postgres", [mark.encode()]):
            break
    assert _holding(home / "stack" / "kafka", [mark.encode()])
    assert _holding(home / "stack" / "postgres", [mark.encode()])
    assert not _holding(home, [secret.encode() for secret in secrets])


def _holding(folder: Path, texts: Sequence[bytes]) -> list[Path]:
    """Return the files that hold one of these texts; what goes away meanwhile holds none."""
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file() and not path.is_symlink() and any(text in path.read_bytes() for text in texts):
                found.append(path)
    return found


def test_a_reader_that_has_gone_ends_a_command_quietly(
    deployment: object, command_environment: dict[str, str]
) -> None:
    for command in (
        "sessions --json",
        "doctor",
        "tail --from-beginning --topic configuration --limit 4 --json",
        "status",
    ):
        ended = subprocess.run(
            [
                "/bin/bash",
                "-c",
                f"{sys.executable} -m streams.main {command} | head -1; exit ${{PIPESTATUS[0]}}",
            ],
            capture_output=True,
            timeout=120,
            env=command_environment,
            check=False,
        )

        assert ended.stderr == b"", command
        assert ended.returncode in (0, 141), command
