"""Producers in other languages, as docs/producers.md shows them, each with the libraries that it pins.

A tool that is not on the machine skips its test, and says so. What they download goes to folders of the test.
"""

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from streams.process.settings import Settings

PRODUCERS = Path(__file__).parent / "producers"
BUILD_S = 1_500
POST_S = 240
ANSWER_S = 240
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "GOPROXY", "GOFLAGS", "GOCACHE", "GOMODCACHE", "JAVA_HOME")

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(BUILD_S + POST_S + ANSWER_S + 120)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """A program that posts one message."""

    folder: str
    tools: Sequence[str]
    build: Sequence[str]
    """Downloads what it needs, once."""
    run: Sequence[str]
    """Takes the broker, the registry, an event id, a session id and a text behind it."""


NODE = Producer(
    folder="kafkajs",
    tools=("node", "npm"),
    build=("npm", "ci", "--no-audit", "--no-fund"),
    run=("node", "post.mjs"),
)
GO = Producer(folder="go", tools=("go",), build=("go", "build", "-o", "post", "."), run=("./post",))
JAVA = Producer(
    folder="java",
    tools=("java", "mvn"),
    build=("mvn", "-q", "-B", "compile", "dependency:copy-dependencies"),
    run=("java", "-cp", "target/classes:target/dependency/*", "Post"),
)


@pytest.mark.parametrize("producer", [NODE, GO, JAVA], ids=lambda producer: producer.folder)
def test_a_message_is_answered(producer: Producer, settings: Settings, tmp_path: Path) -> None:
    for tool in producer.tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on this machine: the producer {producer.folder} was not tried")
    folder = tmp_path / producer.folder
    shutil.copytree(PRODUCERS / producer.folder, folder)
    run(producer.build, folder, BUILD_S)
    event_id, session_id = str(uuid.uuid4()), str(uuid.uuid4())
    given = (settings.kafka_bootstrap, settings.registry_url, event_id, session_id, "Say yes.")

    run((*producer.run, *given), folder, POST_S)
    run((*producer.run, *given), folder, POST_S)

    assert answers_to(settings, event_id, session_id) == 1


def run(command: Sequence[str], folder: Path, timeout_s: float) -> None:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]


def answers_to(settings: Settings, event_id: str, session_id: str) -> int:
    """Wait for the answer, and for all that was posted; count the answers."""
    deadline_s = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline_s:
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            posted = connection.execute(
                "SELECT count(*) FROM event_log WHERE topic = 'user.inputs' AND session_id = %s",
                [uuid.UUID(session_id)],
            ).fetchone()
            answered = connection.execute(
                "SELECT count(*) FROM event_log WHERE type = 'AnswerGiven' AND body ->> 'input_id' = %s",
                [event_id],
            ).fetchone()
        assert posted is not None
        assert answered is not None
        if posted[0] >= 2 and answered[0]:
            return int(answered[0])
        time.sleep(0.2)
    pytest.fail("there is no answer")
