"""The real worker on the real stack: answers, bad input, servers that are away, and identities."""

import asyncio
import io
import json
import signal
from collections.abc import Mapping
from dataclasses import replace

import fastavro
import httpx
import pytest
from aiokafka.admin import NewPartitions  # type: ignore[import-untyped]  # it ships no types

from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.ids import derived_id
from schemas.plain import Dialect, to_plain
from schemas.wire.avro_schema import schema_text
from schemas.wire.registry import SchemaRegistry
from streams.process.ending import ExitCode
from tests.streams.real_scene import Scene, question
from tests.streams.twin import tool_failed
from tests.streams.world import PARTITIONS, SESSION_TIMEOUT_MS
from topics import admin
from topics.catalog import (
    CONFIGURATION,
    MODEL_RESULTS,
    SESSION_INPUTS,
    TOOL_RESULTS,
    USER_INPUTS,
)
from topics.clients import admin_of
from topics.routing import partition_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(150)]


async def test_a_message_becomes_an_answer_and_a_killed_worker_changes_nothing_of_it(scene: Scene) -> None:
    worker = scene.worker(CARTRITA_METRICS_PORT="0")
    await scene.ready(worker)
    await scene.send(question("one"))
    await scene.answers(1)

    await scene.send(question("two"), question("two"))
    for number in range(2):
        before = len(await scene.events(MODEL_RESULTS))
        # Whatever was asked before may be answered by now: there has to be work to be killed in.
        await scene.send(question(f"killed {number}"))

        async def has_moved(before: int = before) -> bool:
            return len(await scene.events(MODEL_RESULTS)) > before

        await scene.until(has_moved)
        await worker.killed()
        worker = scene.worker()
        await scene.ready(worker)

    answers = await scene.answers(4)
    assert len({answer.session_id for answer in answers}) == len(answers) == 4
    await scene.assert_sequences_sound()
    published = await scene.events(CONFIGURATION)
    assert {type(one.body).__name__ for one in published} == {"ConfigurationPublished"}
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == ExitCode.OK


async def test_bad_input_is_put_aside_with_a_reason_and_hurts_nothing_else(scene: Scene) -> None:
    worker = scene.worker()
    await scene.ready(worker)
    sound = scene.world.codec.encode(USER_INPUTS, question("sound"))
    key = derived_id("session", "x").encode()
    partition = partition_of(key, PARTITIONS)
    failed = replace(tool_failed(), session_id=key.decode())
    misplaced = scene.world.codec.encode(TOOL_RESULTS, failed)
    nameless = scene.world.codec.encode(TOOL_RESULTS, replace(failed, event_id="no-uuid"))
    await scene.put(USER_INPUTS, None, b"this is not Avro")
    await scene.put(USER_INPUTS, None, b"\x00\x7f\xff\xff\xff" + sound[5:])
    await scene.put(USER_INPUTS, b"any key", None)
    await scene.put(USER_INPUTS, None, sound[:-3])
    await scene.put(USER_INPUTS, None, sound.replace(b"Kafka", b"K\xff\xfeka"))
    await scene.send(replace(question("blank"), body=MessageReceived(text="  ")))
    await scene.send(replace(question("poor"), body=MessageReceived(text="a", budget_tokens=0)))
    await scene.send(replace(question("large"), body=MessageReceived(text="x" * 300_000)))
    await scene.put(TOOL_RESULTS, None, misplaced, partition)
    await scene.put(TOOL_RESULTS, b"another key", misplaced, partition)
    await scene.put(TOOL_RESULTS, key, nameless, partition)
    await scene.put(MODEL_RESULTS, key, misplaced, partition)
    await scene.put(SESSION_INPUTS, key, b"\x01", partition)

    await scene.send(question("sound"))

    answers = await scene.answers(1)
    assert [answer.session_id for answer in answers] == [derived_id("session", "sound")]
    letters = [one.body for one in await scene.world.letters(13) if isinstance(one.body, RecordRejected)]
    assert sorted(letter.code for letter in letters) == [
        "invalid_input",
        "invalid_input",
        "invalid_input",
        "invalid_input",
        "key_mismatch",
        "key_missing",
        "no_value",
        "not_avro",
        "not_avro",
        "not_avro",
        "not_avro",
        "unknown_schema",
        "wrong_topic",
    ]
    assert all(letter.reason and letter.topic.startswith(scene.world.prefix) for letter in letters)


async def test_records_of_an_older_and_of_a_newer_schema_are_read(scene: Scene) -> None:
    worker = scene.worker("ingress")
    await scene.ready(worker, 1)
    subject = f"{scene.world.prefix}{USER_INPUTS.name}-value"
    newer = json.loads(schema_text(USER_INPUTS))
    newer["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    older = json.loads(schema_text(USER_INPUTS))
    older["fields"] = [one for one in older["fields"] if one["name"] != "traceparent"]
    async with httpx.AsyncClient(trust_env=False) as client:
        # The program's own schema has been registered; an older one would have been there before it.
        await client.put(
            f"{scene.world.endpoints.registry_url}/config/{subject}", json={"compatibility": "NONE"}
        )
    registry = SchemaRegistry(scene.world.endpoints.registry_url)
    for name, schema in (("older", older), ("newer", newer)):
        schema_id = await registry.register(subject, json.dumps(schema))
        plain = to_plain(question(name), Dialect.AVRO)
        if name == "older":
            del plain["traceparent"]
        else:
            plain["mood"] = "good"
        await scene.put(USER_INPUTS, None, encoded(schema_id, schema, plain))
    await registry.close()

    async def are_taken() -> bool:
        return len(await scene.events(SESSION_INPUTS)) == 2

    await scene.until(are_taken)
    taken = await scene.events(SESSION_INPUTS)
    assert {one.session_id for one in taken} == {
        derived_id("session", "older"),
        derived_id("session", "newer"),
    }


def encoded(schema_id: int, schema: object, plain: Mapping[str, object]) -> bytes:
    buffer = io.BytesIO()
    buffer.write(b"\x00" + schema_id.to_bytes(4, "big"))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), plain)  # type: ignore[arg-type]  # JSON
    return buffer.getvalue()


@pytest.mark.slow
async def test_a_worker_waits_for_servers_that_are_away_at_its_start(scene: Scene) -> None:
    for service in ("registry", "kafka"):
        await asyncio.to_thread(scene.stack.stop_service, service, hard=True)
        worker = scene.worker("ingress")
        await worker.logged("waiting")
        await asyncio.to_thread(scene.stack.start_service, service)
        await scene.ready(worker, 1)
        worker.signal(signal.SIGTERM)
        assert await worker.ended() == ExitCode.OK


@pytest.mark.slow  # The short campaign kills both too, in every run.
async def test_kafka_and_registry_may_go_and_come_back_in_the_middle_of_a_run(scene: Scene) -> None:
    worker = scene.worker()
    await scene.ready(worker)
    await scene.send(question("one"), question("two"))
    await asyncio.to_thread(scene.stack.stop_service, "registry", hard=True)
    await asyncio.to_thread(scene.stack.stop_service, "kafka", hard=True)
    await asyncio.sleep(1)  # the fault itself: so long is Kafka away
    await asyncio.to_thread(scene.stack.start_service, "kafka")
    await asyncio.to_thread(scene.stack.start_service, "registry")

    await scene.send(question("three"))
    # Records that were on their way may be refused as late, which ends the process; its owner restarts it.
    answered = asyncio.create_task(scene.answers(3, 100))
    while not answered.done():
        if worker.process.poll() is not None:
            assert worker.process.returncode in (ExitCode.RESTART, ExitCode.REFUSED), worker.log[-3_000:]
            worker = scene.worker()
        await asyncio.sleep(0.3)

    assert len(answered.result()) == 3
    await scene.assert_sequences_sound()


async def test_a_record_with_an_unseen_schema_waits_for_the_registry(scene: Scene) -> None:
    worker = scene.worker("ingress")
    await scene.ready(worker, 1)
    await asyncio.to_thread(scene.stack.stop_service, "registry", hard=True)
    await scene.put(USER_INPUTS, None, b"\x00\x7f\xff\xff\xff" + b"anything")
    await worker.logged("registry_unavailable")

    await asyncio.to_thread(scene.stack.start_service, "registry")

    (letter,) = await scene.world.letters(1)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.code == "unknown_schema"


async def test_two_processes_never_have_one_identity(scene: Scene) -> None:
    first = scene.worker("ingress")
    await scene.ready(first, 1)

    second = scene.worker("ingress", CARTRITA_STARTUP_TIMEOUT_MS="500")

    assert await second.ended() == ExitCode.FAILED
    assert "runs with this identity" in second.log
    third = scene.worker("ingress")
    await first.killed()
    await scene.ready(third, 1)


async def test_a_worker_without_its_topics_says_which_command_makes_them(scene: Scene) -> None:
    worker = scene.worker("ingress", CARTRITA_TOPIC_PREFIX="nothing-here.")

    assert await worker.ended() == ExitCode.TOPICS
    assert "cartrita topics apply" in worker.log


async def test_topics_that_differ_are_reported_and_left_alone(scene: Scene) -> None:
    bootstrap, prefix = scene.world.endpoints.kafka_bootstrap, scene.world.prefix

    again = await admin.apply(bootstrap, prefix, PARTITIONS, 1, SESSION_TIMEOUT_MS)
    report = await admin.apply(bootstrap, prefix, PARTITIONS + 1, 1, SESSION_TIMEOUT_MS + 8_000)
    after = await admin.verify(bootstrap, prefix, PARTITIONS, 1, SESSION_TIMEOUT_MS)

    assert (again.ok, again.created) == (True, ())
    settings = {(one.topic.removeprefix(prefix), one.setting) for one in report.differences}
    assert ("plans", "partitions") in settings
    assert ("session-states-changelog", "message.timestamp.before.max.ms") in settings
    assert all(one.repair for one in report.differences)
    assert ("configuration", "partitions") not in settings
    assert after.ok


async def test_partitions_that_somebody_added_are_taken_up_or_left_empty(scene: Scene) -> None:
    bootstrap, prefix = scene.world.endpoints.kafka_bootstrap, scene.world.prefix
    added = ("user.inputs", "session.inputs", "model.calls", "plans", "session-states-changelog")
    client = admin_of(bootstrap)
    await client.start()
    try:
        await client.create_partitions({prefix + name: NewPartitions(PARTITIONS + 1) for name in added})

        async def has_all() -> bool:
            counts = {one["topic"]: len(one["partitions"]) for one in await client.describe_topics()}
            return {counts[prefix + name] for name in added} == {PARTITIONS + 1}

        # Kafka takes the order before it tells of them to whoever asks next.
        await scene.until(has_all)
    finally:
        await client.close()

    report = await admin.apply(bootstrap, prefix, PARTITIONS, 1, SESSION_TIMEOUT_MS)
    worker = scene.worker()
    await scene.ready(worker)
    await scene.put(USER_INPUTS, None, scene.world.codec.encode(USER_INPUTS, question("new")), PARTITIONS)
    await scene.send(*(question(str(number)) for number in range(6)))

    assert report.ok
    assert {one.setting for one in report.differences} == {"partitions"}
    assert len(await scene.answers(7)) == 7
    await scene.assert_sequences_sound()
    assert "topic_differs" in worker.log
