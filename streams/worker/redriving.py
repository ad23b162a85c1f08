"""The worker's part in redrives: one worker at a time follows what is wanted, and carries it out.

It is a consumer group of its own, on a topic of one partition. What it had not ended when it died, the next
owner goes on with: what was tried again stands on the topic. An owner that was taken for dead may write a
record twice, which whoever reads it knows by its id.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import structlog
from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.errors import KafkaError, OffsetOutOfRangeError  # type: ignore[import-untyped]  # as above

from processors.inputs import Tokenizer
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.redrives import RedriveEnded, RedriveRequested
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import RegistryUnavailable
from streams.process.ending import end_process
from streams.process.settings import Settings
from streams.records.delivery import Delivery, outgoing
from streams.records.redriving import Again, Redriver
from topics.catalog import DEAD_LETTERS, REDRIVES, Keying, Topic
from topics.clients import calm, consumer_of, partitions_of, producer_of
from topics.routing import partition_of
from topics.shells import REDRIVE

_POLL_MS: Final = 500
_FETCH_S: Final = 5.0
_RETRY_S: Final = 1.0
_log = structlog.get_logger()


class Redriving:
    """Follows `redrives`, and carries out what stands there and has not ended."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        tokenizer: Tokenizer,
        limits: Limits,
        now_ms: Callable[[], int],
    ) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._codec = codec
        self._shelf = KafkaShelf(settings, codec)
        self._redriver = Redriver(
            self._shelf,
            codec,
            topic_prefix=settings.topic_prefix,
            tokenizer=tokenizer,
            limits=limits,
            now_ms=now_ms,
            now_s=time.monotonic,
        )
        self._open: dict[str, tuple[Envelope, int]] = {}
        """What is wanted and has not ended, in order, with its offset."""
        self._ended: set[str] = set()
        """What this process ended, as long as that has not come back from the log."""
        self._running: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to follow."""
        self._following = asyncio.create_task(self._follow())
        self._following.add_done_callback(_on_done)

    async def stop(self) -> None:
        """End, in the middle of a redrive too: its next owner goes on with it."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self._drop()
        await self._shelf.stop()

    async def _follow(self) -> None:
        while True:
            consumer = consumer_of(
                self._settings.kafka_bootstrap,
                group=f"{self._settings.topic_prefix}{self._settings.app_id}-{REDRIVE}",
                auto_offset_reset="earliest",
                session_timeout_ms=self._settings.session_timeout_ms,
                heartbeat_interval_ms=max(100, self._settings.session_timeout_ms // 5),
            )
            try:
                consumer.subscribe(
                    [self._settings.topic_prefix + REDRIVES.name], listener=_Listener(self._drop)
                )
                await consumer.start()
                calm(consumer)
                while True:
                    await self._turn(consumer)
            except (KafkaError, RegistryUnavailable) as error:
                _log.warning("redrives_interrupted", reason=repr(error), retry_s=_RETRY_S)
            finally:
                await self._drop()
                await consumer.stop()
            await asyncio.sleep(_RETRY_S)

    async def _turn(self, consumer: AIOKafkaConsumer) -> None:
        """Read on, begin what has its turn, and commit what has ended."""
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        for records in fetched.values():
            for record in records:
                await self._read(record.value, record.headers, record.offset)
        if fetched:
            # Until all is read, what stands there as wanted may have ended.
            place = TopicPartition(self._settings.topic_prefix + REDRIVES.name, 0)
            if place in consumer.assignment():
                oldest = min((offset for _, offset in self._open.values()), default=None)
                await consumer.commit({place: await consumer.position(place) if oldest is None else oldest})
            return
        if self._running is None or self._running.done():
            wanted = next((one for one, _ in self._open.values() if one.event_id not in self._ended), None)
            self._running = None if wanted is None else asyncio.create_task(self._carry_out(wanted))

    async def _read(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], offset: int
    ) -> None:
        try:
            event = await self._codec.decode(value, headers)
        except UndecodableError as error:
            _log.error("redrive_not_read", offset=offset, reason=error.reason)
            return
        fact = event.body
        if isinstance(fact, RedriveRequested):
            self._open.setdefault(event.event_id, (event, offset))
        elif isinstance(fact, RedriveEnded):
            self._open.pop(fact.redrive_id, None)
            self._ended.discard(fact.redrive_id)

    async def _carry_out(self, wanted: Envelope) -> None:
        try:
            await self._redriver.carry_out(wanted)
        except (KafkaError, RegistryUnavailable) as error:
            _log.warning("redrive_interrupted", redrive=wanted.event_id, reason=repr(error), retry_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)
            return
        except Exception as error:
            # It would fail again for ever, and hold up those behind it.
            _log.exception("redrive_failed", redrive=wanted.event_id)
            await self._redriver.give_up(wanted, f"this program failed on it: {error!r}"[:500])
        self._ended.add(wanted.event_id)

    async def _drop(self) -> None:
        """Give up what is under way: it is somebody else's, or begins anew."""
        self._open.clear()
        self._ended.clear()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


class KafkaShelf:
    """Letters, their records and `redrives` on Kafka."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._codec = codec
        self._producer: AIOKafkaProducer | None = None
        self._looker: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}

    async def stop(self) -> None:
        """Close the connections."""
        producer, looker = self._producer, self._looker
        self._producer = self._looker = None
        for client in (producer, looker):
            if client is not None:
                await client.stop()

    def letters(self) -> AsyncIterator[Envelope]:
        """Tell all dead letters that there are now."""
        return self._whole(DEAD_LETTERS)

    def redriven(self) -> AsyncIterator[Envelope]:
        """Tell all that redrives have told up to now."""
        return self._whole(REDRIVES)

    async def original(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        """Return the record at a place; None: it is not there any more."""
        if self._looker is None:
            looker = consumer_of(self._settings.kafka_bootstrap, auto_offset_reset="none")
            await looker.start()
            self._looker = looker
        place = TopicPartition(self._settings.topic_prefix + topic.name, partition)
        # Where a partition ends is asked once for the many letters of it: it never ends earlier again.
        if offset >= self._ends.get(place, 0):
            if place not in await partitions_of(self._looker, [place.topic]):
                return None
            self._ends |= await self._looker.end_offsets([place])
            if offset >= self._ends[place]:
                return None
        self._looker.assign([place])
        self._looker.seek(place, offset)
        try:
            async with asyncio.timeout(_FETCH_S):
                record = await self._looker.getone(place)
        except (TimeoutError, OffsetOutOfRangeError):
            return None
        finally:
            self._looker.pause(place)
        if record.offset != offset:
            return None
        return Delivery(
            topic=topic.name,
            partition=partition,
            offset=offset,
            key=record.key,
            value=record.value,
            headers=tuple(record.headers),
            timestamp_ms=record.timestamp,
        )

    async def append(self, records: Sequence[Again]) -> Sequence[tuple[int, int]]:
        """Write records in this order, and return partition and offset of each when they are durable."""
        producer = await self._started()
        sent = [
            await producer.send(
                self._settings.topic_prefix + one.topic.name,
                one.value,
                one.key,
                partition=self._partition(one),
                headers=list(one.headers),
            )
            for one in records
        ]
        return [(placed.partition, placed.offset) for placed in await asyncio.gather(*sent)]

    async def tell(self, events: Sequence[Envelope]) -> None:
        """Write events to `redrives`, and wait until they are durable."""
        producer = await self._started()
        sent = []
        for event in events:
            record = outgoing(self._codec, event, REDRIVES)
            sent.append(
                await producer.send(
                    self._settings.topic_prefix + REDRIVES.name,
                    record.value,
                    record.key,
                    partition=0,
                    headers=record.headers,
                )
            )
        await asyncio.gather(*sent)

    def _partition(self, record: Again) -> int | None:
        if record.key is None or record.topic.keying is Keying.ANY:
            return None
        return partition_of(record.key, record.topic.partitions or self._settings.partitions)

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = producer_of(self._settings.kafka_bootstrap)
            await producer.start()
            self._producer = producer
        return self._producer

    async def _whole(self, topic: Topic) -> AsyncIterator[Envelope]:
        consumer = consumer_of(self._settings.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            places = await partitions_of(consumer, [self._settings.topic_prefix + topic.name])
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.assign([place])
                await consumer.seek_to_beginning(place)
                while await consumer.position(place) < ends[place]:
                    fetched = await consumer.getmany(place, timeout_ms=_POLL_MS)
                    for record in fetched.get(place, ()):
                        if (event := await self._decoded(record.value, record.headers)) is not None:
                            yield event
        finally:
            await consumer.stop()

    async def _decoded(
        self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
    ) -> Envelope | None:
        try:
            return await self._codec.decode(value, headers)
        except UndecodableError as error:
            _log.warning("redrive_passes_over", reason=error.reason)
            return None


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    def __init__(self, drop: Callable[[], Awaitable[None]]) -> None:
        self._drop = drop

    async def on_partitions_revoked(self, revoked: object) -> None:
        await self._drop()

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Reading begins at what is committed: all that has not ended."""


def _on_done(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        # Without it nobody would carry redrives out.
        end_process(error, REDRIVE)
