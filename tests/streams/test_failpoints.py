"""Failpoints: read from a setting, and passed without a trace when they are off."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.process import failpoints
from streams.process.failpoints import Action

ROOT = Path(__file__).parents[2]


def test_a_failpoint_is_a_name_a_number_and_an_action() -> None:
    read = failpoints.parse("stored:3:stop")

    assert (read.name, read.hits_left, read.action) == ("stored", 3, Action.STOP)
    assert failpoints.parse("published:1").action is Action.KILL


@pytest.mark.parametrize(
    "text", ["", "stored", "nowhere:1", "stored:0", "stored:x", "stored:1:laugh", "a:1:b:c"]
)
def test_anything_else_is_a_fault(text: str) -> None:
    with pytest.raises(ValueError, match="a failpoint is"):
        failpoints.parse(text)


def test_an_armed_failpoint_kills_at_the_hit_that_was_asked_for() -> None:
    program = (
        "from streams.process import failpoints as f; f.arm(f.parse('stored:2'));"
        "f.reach('published'); f.reach('stored'); print('once', flush=True);"
        "f.reach('stored'); print('twice')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={"PATH": os.defpath},
    )

    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, "once\n")


def test_every_failpoint_stands_somewhere_in_the_code() -> None:
    sources = [path for folder in ("streams", "sinks") for path in (ROOT / folder).rglob("*.py")]
    reached = {
        name for path in sources for name in re.findall(r'reach\("(\w+)"\)', path.read_text(encoding="utf-8"))
    }

    assert reached == failpoints.NAMES


def test_the_documentation_shows_every_failpoint() -> None:
    documented = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")

    assert failpoints.table() in documented, (
        "put what `streams.process.failpoints.table()` returns into docs/faults.md"
    )
