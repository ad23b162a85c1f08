"""Sessions that real processes decided replay from Kafka, by the command line, and from a file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from streams.deployment import Deployment
from streams.recording import read_recording
from streams.replay import replay_recording


def run(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    """Run the command line, and return what it printed."""
    ended = subprocess.run(
        [sys.executable, "-m", "streams.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture
def session_id(deployment: Deployment, command_environment: dict[str, str]) -> str:
    """A session that has been answered."""
    told = run(command_environment, "send", "--follow", "--json", "Compare two small databases.")
    last = json.loads(told.splitlines()[-1])
    assert last["body"]["complete"]
    return str(last["session_id"])


def test_a_real_session_replays_from_the_log_and_from_its_file(
    session_id: str, command_environment: dict[str, str], tmp_path: Path
) -> None:
    from_log = json.loads(run(command_environment, "replay", session_id, "--json"))
    file = tmp_path / "session.avro"
    run(command_environment, "record", session_id, str(file))
    from_file = replay_recording(file)

    assert from_log["divergence"] is None
    assert from_log["steps"] == from_file.steps >= 3
    assert from_log["events"] == len({one.event.event_id for one in read_recording(file).outputs})
    assert "decided as recorded" in run(command_environment, "replay", str(file))


def test_what_is_not_there_is_said(command_environment: dict[str, str], deployment: Deployment) -> None:
    run(command_environment, "replay", "nonsense", code=2)
    run(command_environment, "replay", "00000000-0000-4000-8000-000000000000", code=4)
