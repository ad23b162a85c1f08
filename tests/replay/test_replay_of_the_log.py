"""Sessions that real processes decided replay from Kafka, by the command line, and from a file."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # no types

from streams.history.recording import read_recording
from streams.history.replay import replay_recording
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from topics.catalog import SESSION_INPUTS
from topics.routing import partition_of

pytestmark = pytest.mark.stack


def run(environment: dict[str, str], *arguments: str, code: int = 0) -> str:
    """Run the command line, and return what it printed."""
    return ran(environment, *arguments, code=code).stdout


def errors(environment: dict[str, str], *arguments: str, code: int) -> str:
    """Run the command line, and return what it complained of."""
    return " ".join(ran(environment, *arguments, code=code).stderr.split())


def ran(environment: dict[str, str], *arguments: str, code: int) -> "subprocess.CompletedProcess[str]":
    """Run the command line to its end, which has this code."""
    ended = subprocess.run(
        [sys.executable, "-m", "streams.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended


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


@pytest.mark.slow
def test_a_session_of_which_the_log_was_cut_is_not_taken_for_diverged(
    session_id: str, command_environment: dict[str, str], settings: Settings
) -> None:
    partition = partition_of(session_id.encode(), settings.partitions)
    assert "whole" in run(command_environment, "topics", "watermark")

    asyncio.run(cut(settings, SESSION_INPUTS.name, partition))

    told = json.loads(run(command_environment, "topics", "watermark", "--json"))
    (one,) = [extent for extent in told["partitions"] if extent["first_offset"] > 0]
    assert (one["topic"], one["partition"]) == (SESSION_INPUTS.name, partition)
    assert f"{SESSION_INPUTS.name}/{partition} begins at offset" in errors(
        command_environment, "replay", session_id, code=4
    )
    assert SESSION_INPUTS.name in run(command_environment, "topics", "watermark")
    fresh = json.loads(
        run(command_environment, "send", "--follow", "--json", "Compare two more.").splitlines()[-1]
    )
    assert "decided as recorded" in run(command_environment, "replay", str(fresh["session_id"]))


async def cut(settings: Settings, topic: str, partition: int) -> None:
    """Delete all records of a partition."""
    place = TopicPartition(settings.topic_prefix + topic, partition)
    client = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await client.start()
    try:
        await client.delete_records({place: RecordsToDelete(before_offset=-1)})
    finally:
        await client.close()
