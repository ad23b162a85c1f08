"""Whatever Avro can read ends no shell and no sink: it is applied, or it is put aside with its reason.

Records of other types by every field, and of the right types with values that nobody would send.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

import pytest

from processors.accounts import AccountDecider
from processors.capabilities import CapabilityDecider
from processors.decider import Decider
from processors.projections.rows import Place as RecordPlace
from processors.schedules.decider import ScheduleDecider
from processors.session import SessionDecider
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import SessionForked
from schemas.ids import derived_id
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.conformity import demand_fit
from sinks import intake as sink_intake
from streams.effects.shell import EffectShell
from streams.history.fork import ForkImpossible, no_session_of
from streams.records.delivery import Delivery
from streams.shells.fork import ForkShell
from streams.shells.ingress import CALENDAR, IngressShell
from streams.stateful.shell import StatefulShell
from tests.aliens import ID, Alien, codec_and_aliens, envelope_of
from tests.streams.scene import Scene
from tests.streams.twin import CODEC, PARTITIONS, Kafka, TwinLog, TwinLogOfCalls, metrics
from topics.catalog import (
    ACCOUNT_REQUESTS,
    DEAD_LETTERS,
    FORK_REQUESTS,
    MODEL_CALLS,
    SCHEDULE_INPUTS,
    TOOL_CALLS,
    TOOL_OUTCOMES,
    TOPICS,
    Keying,
    Topic,
)
from topics.routing import key_of, partition_of
from topics.shells import INGRESS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

READ_BY_SHELLS = [topic for topic in TOPICS if topic.readers]
ALIKE = {"null": "null", "boolean": "true or false", "bytes": "bytes", "double": "a number", "string": "text"}
NOW_MS = 5_000
Record = TypeVar("Record", bound="DataclassInstance")


class Shell(Protocol):
    """What drives any shell."""

    async def own(self, positions: Mapping[tuple[str, int], int]) -> object: ...

    async def process(self, deliveries: Sequence[Delivery]) -> None: ...


def key(topic: Topic) -> bytes:
    return key_of(topic, envelope_of(topic.facts[0]))


def shell_of(topic: Topic, codec: Codec, log: TwinLog, errors: list[BaseException]) -> Shell:
    """Build the shell that reads a topic, over a log in memory."""
    scene = Scene()
    if INGRESS in topic.readers:
        return IngressShell(
            codec=codec,
            log=log,
            floors=log.floors,
            tokenizer=len,
            limits=scene.configuration.limits,
            policy=scene.configuration.policy,
            topic_prefix="",
            metrics=metrics("ingress"),
            now_ms=lambda: NOW_MS,
        )
    if topic is FORK_REQUESTS:

        async def fold(wanted: Envelope) -> SessionForked:
            raise ForkImpossible(no_session_of(wanted, "any"))

        return ForkShell(
            fold,
            codec=codec,
            log=log,
            floors=log.floors,
            topic_prefix="",
            metrics=metrics("fork"),
            now_ms=lambda: NOW_MS,
        )
    if topic in (MODEL_CALLS, TOOL_CALLS):
        return EffectShell(
            scene.models if topic is MODEL_CALLS else scene.toolbox,
            name="model",
            source=topic.name,
            codec=codec,
            log=log,
            table=log.table,
            changelog="changelog",
            topic_prefix="",
            metrics=metrics("model"),
            now_ms=lambda: NOW_MS,
            owner="me",
            places=1_000,
            calls=TwinLogOfCalls(Kafka(), topic),
            fatal=lambda error, _: errors.append(error),
        )
    deciders: dict[Topic, object] = {
        ACCOUNT_REQUESTS: AccountDecider(scene.configuration),
        TOOL_OUTCOMES: CapabilityDecider(),
        SCHEDULE_INPUTS: ScheduleDecider(CALENDAR),
    }
    return StatefulShell(
        # Each decider meets only states of its own making.
        cast("Decider[object]", deciders.get(topic) or SessionDecider(scene.configuration)),
        name="session",
        codec=codec,
        log=log,
        table=log.table,
        changelog="changelog",
        partitions=PARTITIONS,
        topic_prefix="",
        metrics=metrics(),
        now_ms=lambda: NOW_MS,
    )


def deliver(kafka: Kafka, topic: Topic, value: bytes, key: bytes) -> None:
    """Write a record as anybody may."""
    partition = partition_of(key, PARTITIONS)
    records = kafka.sources.setdefault((topic.name, partition), [])
    records.append(
        Delivery(
            topic=topic.name,
            partition=partition,
            offset=len(records),
            key=key,
            value=value,
            headers=(),
            timestamp_ms=1_000,
        )
    )


async def fed(topic: Topic, kafka: Kafka, codec: Codec) -> list[RecordRejected]:
    """Feed a shell with all that waits, and return what it put aside."""
    errors: list[BaseException] = []
    shell = shell_of(topic, codec, TwinLog(kafka), errors)
    await shell.own(kafka.ends())
    waiting = kafka.waiting()
    for start in range(0, len(waiting), 100):
        await shell.process(waiting[start : start + 100])
    while isinstance(shell, EffectShell) and shell._tasks:
        await asyncio.wait(set(shell._tasks))
    assert errors == []
    assert kafka.waiting() == []
    # What it has written, it can begin from.
    await shell_of(topic, codec, TwinLog(kafka), errors).own(kafka.ends())
    return [one.body for one in kafka.events(DEAD_LETTERS) if isinstance(one.body, RecordRejected)]


async def read_or_refused(codec: Codec, alien: Alien) -> tuple[Envelope | None, str]:
    try:
        return await codec.decode(alien.value), ""
    except UndecodableError as error:
        return None, error.reason


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
async def test_what_is_read_is_of_the_types_that_are_promised(topic: Topic) -> None:
    codec, aliens = codec_and_aliens(topic, key(topic))
    read = 0

    for alien in aliens:
        event, refusal = await read_or_refused(codec, alien)
        if event is not None:
            demand_fit(event)
            assert await codec.decode(codec.encode(topic, event)) == event
            read += 1
        elif alien.kind in ALIKE:
            assert f"{alien.path[-1]} is {ALIKE[alien.kind]}; it must be" in refusal, str(alien)

    assert 0 < read < len(aliens)


@pytest.mark.parametrize("topic", READ_BY_SHELLS, ids=lambda topic: topic.name)
async def test_no_record_of_any_type_ends_a_shell(topic: Topic) -> None:
    codec, aliens = codec_and_aliens(topic, key(topic))
    kafka = Kafka()
    for alien in aliens:
        deliver(kafka, topic, alien.value, alien.key)

    letters = await fed(topic, kafka, codec)

    assert letters
    assert all(one.reason for one in letters)


@pytest.mark.parametrize("topic", READ_BY_SHELLS, ids=lambda topic: topic.name)
async def test_no_key_ends_a_shell(topic: Topic) -> None:
    kafka = Kafka()
    sound = key(topic)
    for fact in topic.facts:
        for strange in (b"", b"\xff\xfe", b"\0departed/0/0", b"\0", sound + b"\0", b"k" * 900_000):
            value = CODEC.encode(topic, envelope_of(fact))
            deliver(kafka, topic, value, strange)

    letters = await fed(topic, kafka, CODEC)

    assert topic.keying is Keying.ANY or len(letters) == 6 * len(topic.facts)


@pytest.mark.parametrize("topic", READ_BY_SHELLS, ids=lambda topic: topic.name)
async def test_no_value_of_the_right_type_ends_a_shell(topic: Topic) -> None:
    kafka = Kafka()
    for fact in topic.facts:
        for number, changed in enumerate(extreme(envelope_of(fact))):
            # Each a session of its own, or the first that is quarantined would spare the others.
            session_id = derived_id(fact.__name__, str(number))
            event = changed if changed.session_id != ID else replace(changed, session_id=session_id)
            deliver(kafka, topic, CODEC.encode(topic, event), key_of(topic, event))

    for letter in await fed(topic, kafka, CODEC):
        assert letter.reason


def extreme(record: Record) -> Iterator[Record]:
    """Change one field at a time, nested ones too, to what no program of ours would write."""
    for field in fields(record):
        value = getattr(record, field.name)
        for changed in _extremes(value):
            yield replace(record, **{field.name: changed})


def _extremes(value: object) -> Iterator[object]:
    if is_dataclass(value) and not isinstance(value, type):
        yield from extreme(value)
    elif isinstance(value, tuple):
        yield ()
        yield value * 300
        yield from ((changed,) for changed in _extremes(value[0]))
    elif isinstance(value, StrEnum):
        yield type(value)("newer")
    elif isinstance(value, str):
        yield from ("", "\0departed/0/0", "position/x/y", "\ufeff\u202e\0", "x" * 70_000, "[" * 5_000)
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (-(2**63), -1, 0, 2**31, 2**53, 2**63 - 1)
    elif isinstance(value, float):
        yield from (-1.0, 1e308, float("inf"), float("nan"))
    elif isinstance(value, bytes):
        yield from (b"", b"\0" * 70_000)


@pytest.mark.parametrize("topic", [one for one in TOPICS if one.is_truth], ids=lambda topic: topic.name)
async def test_no_record_of_any_type_ends_a_sink(topic: Topic) -> None:
    codec, aliens = codec_and_aliens(topic, key(topic))

    for number, alien in enumerate(aliens):
        place = RecordPlace(topic=topic.name, partition=0, offset=number, timestamp_ms=1_000)
        taken = await sink_intake.take(sink_intake.Delivery(place, alien.key, alien.value, ()), codec)
        if taken.refusal is None:
            assert taken.projected.log is not None
        else:
            letter = sink_intake.dead_letter(
                taken.delivery, taken.refusal, topic_prefix="", now_ms=lambda: NOW_MS
            )
            assert codec.encode(DEAD_LETTERS, letter)


def test_a_sound_event_is_of_the_types_that_are_promised() -> None:
    for topic in TOPICS:
        for fact in topic.facts:
            event: Envelope = envelope_of(fact)
            demand_fit(event)
