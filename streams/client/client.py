"""A client of the pipeline: posts inputs, and reads what any topic carries."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from aiokafka import (  # type: ignore[import-untyped]  # it ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)
from aiokafka.errors import UnknownTopicOrPartitionError  # type: ignore[import-untyped]  # as above

from processors.inputs import cleaned
from processors.redaction.redactor import PATTERNS_ALONE
from schemas.envelope import Envelope
from schemas.events.inputs import SentFact
from schemas.frozen import replace
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import RegistryError, SchemaRegistry
from streams.client.standing import Standing, standing_of
from streams.process.settings import Settings
from topics.catalog import BY_NAME, TOPICS, USER_INPUTS, Keying, Topic
from topics.clients import consumer_of, partitions_of, producer_of
from topics.routing import key_of, partition_of
from topics.usage import LogUsage, log_usage

_POLL_MS: Final = 200
_KNOWN_S: Final = 5.0
"""So long is a topic waited for that no broker knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One record of a topic; exactly one of `event` and `fault` is there."""

    topic: Topic
    partition: int
    offset: int
    key: bytes | None
    event: Envelope | None
    fault: str
    """Why the record cannot be read; empty when it can."""


class Client:
    """Connected while it is entered; `async with Client(settings) as client`."""

    def __init__(self, settings: Settings) -> None:
        """Connect nothing yet."""
        self._settings = settings
        self._registry = SchemaRegistry(settings.registry_url)
        self._producer: AIOKafkaProducer | None = None
        self._looker: AIOKafkaConsumer | None = None
        """Asks where partitions end; one consumer a question would cost more than the answer."""
        self._looking = asyncio.Lock()
        self._codec: Codec | None = None

    async def __aenter__(self) -> Self:
        """Connect to the registry; Kafka is connected by the first use.

        Raises:
            RegistryError: the registry is away, or refuses our schemas.
        """
        try:
            self._codec = await Codec.connect(TOPICS, self._registry, self._settings.topic_prefix)
        except RegistryError:
            await self._registry.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        if self._producer is not None:
            await self._producer.stop()
        if self._looker is not None:
            await self._looker.stop()
        await self._registry.close()

    @property
    def codec(self) -> Codec:
        """The codec; only while the client is entered."""
        assert self._codec is not None
        return self._codec

    async def post(self, envelope: Envelope, topic: Topic = USER_INPUTS) -> tuple[int, int]:
        """Append an input to a topic that leads in, and return its partition and offset when Kafka has it.

        Credentials in what is said are replaced by what kind they are of, as ingress does.

        Raises:
            InputInvalid: there is one in what is signed.
            KafkaError: Kafka is away, or refuses the record.
        """
        body = envelope.body
        envelope = replace(
            envelope,
            body=cleaned(body) if isinstance(body, SentFact) else PATTERNS_ALONE.fact(body),
            type=type(envelope.body).__name__,
            occurred_at_ms=envelope.occurred_at_ms or time.time_ns() // 1_000_000,
        )
        return await self.append(
            topic,
            self.codec.encode(topic, envelope),
            key=envelope.session_id.encode() or None,
            headers=self.codec.headers(topic, envelope),
            at_ms=envelope.occurred_at_ms,
        )

    async def write(self, topic: Topic, event: Envelope) -> tuple[int, int]:
        """Append an event under its key, and return its partition and offset when Kafka has it.

        Raises:
            KafkaError: Kafka is away, or refuses the record.
        """
        return await self.append(
            topic,
            self.codec.encode(topic, event),
            key=key_of(topic, event),
            headers=self.codec.headers(topic, event),
        )

    async def append(
        self,
        topic: Topic,
        value: bytes | None,
        *,
        key: bytes | None,
        headers: list[tuple[str, bytes]],
        at_ms: int | None = None,
    ) -> tuple[int, int]:
        """Append a record as it is, and return its partition and offset when Kafka has it.

        `at_ms` is the record's time, in milliseconds since 1970; None: now.
        """
        if self._producer is None:
            self._producer = producer_of(self._settings.kafka_bootstrap)
            await self._producer.start()
        name = self._settings.topic_prefix + topic.name
        partition = None
        if key is not None and topic.keying is not Keying.ANY:
            partition = partition_of(key, topic.partitions or self._settings.partitions)
        placed = await self._producer.send_and_wait(
            name, value, key=key, partition=partition, headers=headers, timestamp_ms=at_ms
        )
        return placed.partition, placed.offset

    async def read(
        self,
        topics: Iterable[Topic],
        *,
        from_beginning: bool = False,
        ready: asyncio.Event | None = None,
        wanted: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncGenerator[Received, None]:
        """Read topics without end: from now on, or from their beginnings.

        Args:
            ready: set as soon as nothing that is appended from then on can be missed.
            wanted: tells by a record's key whether it is to be decoded and told; None: each is.
        """
        async with self.listening(topics, from_beginning=from_beginning, wanted=wanted) as records:
            if ready is not None:
                ready.set()
            async for received in records:
                yield received

    @asynccontextmanager
    async def listening(
        self,
        topics: Iterable[Topic],
        *,
        from_beginning: bool = False,
        wanted: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncIterator[AsyncIterator[Received]]:
        """Read topics without end, as `read` does: nothing that is appended within can be missed."""
        consumer = consumer_of(
            self._settings.kafka_bootstrap,
            # A reset that the client does by itself after the assignment must not race with our seek.
            auto_offset_reset="earliest" if from_beginning else "latest",
        )
        await consumer.start()
        try:
            await self._assign(consumer, topics, from_beginning=from_beginning)
            async with aclosing(self._records(consumer, wanted)) as records:
                yield records
        finally:
            await consumer.stop()

    async def _records(
        self, consumer: AIOKafkaConsumer, wanted: Callable[[bytes | None], bool] | None
    ) -> AsyncGenerator[Received, None]:
        while True:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS)
            for place, records in fetched.items():
                topic = BY_NAME[place.topic.removeprefix(self._settings.topic_prefix)]
                for record in records:
                    if wanted is None or wanted(record.key):
                        yield await self._received(topic, record)

    async def read_since(self, topic: Topic, key: bytes, since_ms: int) -> AsyncGenerator[Received, None]:
        """Read what a topic holds of a key since a time, up to where it ends now.

        Args:
            since_ms: milliseconds since 1970, by the time of the records.
        """
        consumer = consumer_of(self._settings.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            place = await self._place_of(consumer, topic, key)
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            found = (await consumer.offsets_for_times({place: since_ms}))[place]
            consumer.seek(place, end if found is None else found.offset)
            while await consumer.position(place) < end:
                fetched = await consumer.getmany(place, timeout_ms=_POLL_MS)
                for record in fetched.get(place, ()):
                    if record.key == key and record.offset < end:
                        yield await self._received(topic, record)
        finally:
            await consumer.stop()

    async def whole(self, topic: Topic) -> list[Envelope]:
        """Return all events of a topic with one partition that can be read, up to where it ends now.

        Raises:
            KafkaError: Kafka is away.
        """
        events: list[Envelope] = []
        _, end = await self.end_of(topic, b"")
        if end == 0:
            return events
        async with aclosing(self.read((topic,), from_beginning=True)) as records:
            async for received in records:
                if received.event is not None:
                    events.append(received.event)
                if received.offset + 1 >= end:
                    break
        return events

    async def log_usage(self, *, over_ms: int, at_ms: int) -> LogUsage:
        """Return what the log takes; arguments and errors are those of `topics.usage.log_usage`."""
        given = self._settings
        return await log_usage(given.kafka_bootstrap, given.topic_prefix, over_ms=over_ms, at_ms=at_ms)

    async def standing(self, sunk: Mapping[TopicPartition, int]) -> Standing:
        """Return how the deployment stands; `sunk` is as in `standing_of`.

        Raises:
            KafkaError: Kafka is away.
        """
        given = self._settings
        return await standing_of(given.kafka_bootstrap, given.topic_prefix, given.app_id, sunk)

    async def end_of(self, topic: Topic, key: bytes) -> tuple[int, int]:
        """Return the partition of a key, and the offset that its next record gets.

        Raises:
            KafkaError: Kafka is away.
        """
        async with self._looking:
            if self._looker is None:
                looker = consumer_of(self._settings.kafka_bootstrap)
                await looker.start()
                self._looker = looker
            place = await self._place_of(self._looker, topic, key)
            return place.partition, (await self._looker.end_offsets([place]))[place]

    def _partitions(self, topic: Topic) -> int:
        """Return how many partitions of a topic are used; whatever somebody added is not."""
        return topic.partitions or self._settings.partitions

    async def _place_of(self, consumer: AIOKafkaConsumer, topic: Topic, key: bytes) -> TopicPartition:
        places = await self._places_of(consumer, [topic])
        number = partition_of(key, self._partitions(topic))
        if number >= len(places):
            raise UnknownTopicOrPartitionError(
                f"topic {topic.name} is not there; see `cartrita topics apply`"
            )
        return places[number]

    async def _places_of(self, consumer: AIOKafkaConsumer, topics: Collection[Topic]) -> list[TopicPartition]:
        """Return the partitions of topics; of one that was made a moment ago, no broker may know yet."""
        names = [self._settings.topic_prefix + topic.name for topic in topics]
        deadline_s = time.monotonic() + _KNOWN_S
        while True:
            places = await partitions_of(consumer, names)
            if len({place.topic for place in places}) == len(names) or time.monotonic() >= deadline_s:
                return places
            await asyncio.sleep(_POLL_MS / 1_000)

    async def _assign(
        self, consumer: AIOKafkaConsumer, topics: Iterable[Topic], *, from_beginning: bool
    ) -> None:
        places = await self._places_of(consumer, list(topics))
        consumer.assign(places)
        if from_beginning:
            await consumer.seek_to_beginning(*places)
        else:
            for place, end in (await consumer.end_offsets(places)).items():
                consumer.seek(place, end)

    async def _received(self, topic: Topic, record: object) -> Received:
        value: bytes | None = record.value  # type: ignore[attr-defined]  # aiokafka's record has no types
        headers = record.headers  # type: ignore[attr-defined]  # likewise
        event: Envelope | None = None
        fault = ""
        try:
            event = await self.codec.decode(value, headers)
        except UndecodableError as error:
            fault = error.reason
        return Received(
            topic=topic,
            partition=record.partition,  # type: ignore[attr-defined]  # likewise
            offset=record.offset,  # type: ignore[attr-defined]  # likewise
            key=record.key,  # type: ignore[attr-defined]  # likewise
            event=event,
            fault=fault,
        )
