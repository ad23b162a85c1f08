"""Reads a session's recording from Kafka, up to where its partition ends at the start."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # it ships no types

from processors.transition import PRODUCER
from schemas.envelope import Versions
from schemas.events.configurations import ConfigurationPublished
from schemas.events.dead_letters import RecordRejected
from schemas.wire.codec import Codec, UndecodableError
from streams.history.configuration import has_hash
from streams.history.recording import Recorded, Recording
from topics.catalog import CONFIGURATION, DEAD_LETTERS, ENTRANCES, TOPICS, Keying, Topic, read_by
from topics.clients import consumer_of, partitions_of
from topics.routing import key_of, partition_of
from topics.shells import SESSION

_POLL_MS: Final = 500
_SOURCES: Final = frozenset(topic.name for topic in read_by(SESSION))


class SessionMissing(Exception):
    """The log has nothing of a session."""


class SessionCut(Exception):
    """The log begins after the session's beginning, so that it cannot be decided again."""


class RecordingReader:
    """Reads recordings from one Kafka; each call connects for itself."""

    def __init__(self, *, kafka_bootstrap: str, topic_prefix: str, partitions: int, codec: Codec) -> None:
        """Take where to read.

        Args:
            kafka_bootstrap: host:port, several by commas.
            topic_prefix: before topic names.
            partitions: the configured count, by which sessions have their partitions.
            codec: reads values.
        """
        self._bootstrap = kafka_bootstrap
        self._prefix = topic_prefix
        self._codec = codec
        self._count = partitions
        self._partitions: dict[str, list[int]] = {}
        self._cuts: dict[tuple[str, int], int] = {}
        """By topic and partition of the session, the first offset left, where records were deleted."""

    async def recording(self, session_id: str) -> Recording:
        """Return what the log has of a session; only its partition is read, and only its records are kept.

        Records that the session's shell put aside are no inputs: it never applied them.

        Raises:
            SessionMissing: nothing.
            SessionCut: not all of it, because the log was cut.
            KafkaError: Kafka is away.
        """
        key = session_id.encode()
        self._cuts.clear()
        consumer = consumer_of(
            self._bootstrap,
            # A seek after the assignment would race with the reset to the end that the default begins.
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            # Of all topics at once: after the first assignment the client asks for that topic's alone.
            self._partitions = {self._prefix + topic.name: [] for topic in TOPICS}
            for topic_partition in await partitions_of(consumer, self._partitions):
                self._partitions[topic_partition.topic].append(topic_partition.partition)
            # Topics are read one after the other, so of a session in progress the last steps may be partial.
            refused = await self._refused(consumer)
            inputs: list[Recorded] = []
            outputs: list[Recorded] = []
            for topic in TOPICS:
                if not topic.is_truth or topic in (*ENTRANCES, CONFIGURATION, DEAD_LETTERS):
                    continue
                async for one in self._records(
                    consumer, topic, key if topic.keying is Keying.SESSION else None
                ):
                    if one.event.session_id != session_id:
                        continue
                    if topic.name in _SOURCES:
                        if one.place not in refused and _is_accepted(topic, one, key):
                            inputs.append(one)
                    elif one.event.producer == PRODUCER and one.event.sequence > 0:
                        outputs.append(one)
            configuration = [one async for one in self._records(consumer, CONFIGURATION, None)]
        finally:
            await consumer.stop()
        if not inputs and not outputs:
            raise SessionMissing(f"the log has nothing of the session {session_id}{self._told_of_cuts()}")
        self._demand_all(session_id, inputs, outputs)
        return Recording(
            session_id=session_id,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            configuration=tuple(_named(configuration, {one.event.versions for one in outputs})),
        )

    def _demand_all(self, session_id: str, inputs: list[Recorded], outputs: list[Recorded]) -> None:
        """Refuse a session of which a cut has taken something that is known to have been there."""
        if not self._cuts:
            return
        there = {one.place for one in inputs}
        begins = min((one.event.sequence for one in outputs), default=1)
        lost = [one.event.source for one in outputs if one.event.source and one.event.source not in there]
        if begins > 1 or any(self._is_cut_off(place) for place in lost):
            raise SessionCut(f"session {session_id} began before the log does{self._told_of_cuts()}")

    def _is_cut_off(self, place: str) -> bool:
        topic, partition, offset = place.rsplit("/", 2)
        return int(offset) < self._cuts.get((topic, int(partition)), 0)

    def _told_of_cuts(self) -> str:
        told = [f"{topic}/{number} begins at offset {first}" for (topic, number), first in self._cuts.items()]
        return f": {'; '.join(told)}" if told else ""

    async def _refused(self, consumer: AIOKafkaConsumer) -> set[str]:
        found = set()
        async for one in self._records(consumer, DEAD_LETTERS, None):
            body = one.event.body
            if isinstance(body, RecordRejected) and body.shell == SESSION:
                found.add(f"{body.topic.removeprefix(self._prefix)}/{body.partition}/{body.offset}")
        return found

    async def _records(
        self, consumer: AIOKafkaConsumer, topic: Topic, key: bytes | None
    ) -> AsyncIterator[Recorded]:
        name = self._prefix + topic.name
        numbers = self._partitions.get(name, [])
        if key is not None and numbers:
            numbers = [partition_of(key, self._count)]
        places = [TopicPartition(name, number) for number in numbers]
        if not places:
            return
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        if topic.cleanup == "delete":
            for place, first in (await consumer.beginning_offsets(places)).items():
                if first > 0 and key is not None:
                    self._cuts[topic.name, place.partition] = first
        # The position passes what compaction and transactions left out; the last record's offset does not.
        while [place for place in places if await consumer.position(place) < ends[place]]:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
            for place, records in fetched.items():
                for record in records:
                    if record.offset >= ends[place] or (key is not None and record.key != key):
                        continue
                    try:
                        event = await self._codec.decode(record.value, record.headers)
                    except UndecodableError:
                        # The shell could not apply it either; sinks and dead letters tell of it.
                        continue
                    yield Recorded(
                        topic=topic.name, partition=record.partition, offset=record.offset, event=event
                    )


def _is_accepted(topic: Topic, one: Recorded, key: bytes) -> bool:
    return isinstance(one.event.body, topic.facts) and key_of(topic, one.event) == key


def _named(parts: Iterable[Recorded], used: Iterable[Versions]) -> list[Recorded]:
    wanted = list(used)
    named: dict[tuple[str, str], Recorded] = {}
    for one in parts:
        body = one.event.body
        if isinstance(body, ConfigurationPublished) and any(
            has_hash(body, getattr(versions, body.kind, None)) for versions in wanted
        ):
            named[body.kind, body.content_hash] = one
    return list(named.values())
