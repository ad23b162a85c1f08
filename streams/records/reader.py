"""Resolves references to texts: fetches single records from the topics that keep everything."""

import asyncio
from collections import OrderedDict
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError, OffsetOutOfRangeError  # type: ignore[import-untyped]  # ships no types

from schemas.envelope import Envelope
from schemas.references import RecordReference
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import RegistryUnavailable
from streams.process.metrics import Metrics
from streams.records.delivery import Outgoing
from topics.clients import consumer_of

_log = structlog.get_logger()
_FETCH_MS: Final = 2_000
_FETCHES_MAX: Final = 15
"""Tries before a record counts as missing: about half a minute with Kafka away."""
_RETRY_S: Final = 0.25
_ENTRY_BYTES: Final = 512
"""What an entry takes beside its text."""


class RecordMissing(Exception):
    """A reference does not resolve: the record is not there, or is another one."""


class RecordReader:
    """Fetches records by their coordinates, and keeps the newest in memory."""

    def __init__(
        self, *, kafka_bootstrap: str, topic_prefix: str, codec: Codec, cache_bytes: int, metrics: Metrics
    ) -> None:
        """Take where to read; nothing connects yet.

        Args:
            kafka_bootstrap: host:port, several by commas.
            topic_prefix: before topic names.
            codec: reads values.
            cache_bytes: the most that remembered texts may take.
            metrics: counts.
        """
        self._bootstrap = kafka_bootstrap
        self._prefix = topic_prefix
        self._codec = codec
        self._cache_bytes = cache_bytes
        self._metrics = metrics
        self._cache: OrderedDict[tuple[str, int, int], tuple[Envelope, int]] = OrderedDict()
        self._cached_bytes = 0
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def stop(self) -> None:
        """Close the connection."""
        if self._consumer is not None:
            await self._consumer.stop()
            self._consumer = None

    def remember(self, record: Outgoing, partition: int, offset: int) -> None:
        """Take a record that this process has just published, so that nobody fetches it."""
        self._put((record.topic.name, partition, offset), record.event, len(record.value))

    async def event(self, reference: RecordReference) -> Envelope:
        """Return the event that a reference names.

        Raises:
            RecordMissing: it is not there, cannot be read, or is another one.
        """
        place = (reference.topic, reference.partition, reference.offset)
        cached = self._cache.get(place)
        if cached is None:
            self._metrics.reader_fetches.labels("fetched").inc()
            async with self._lock:
                event, size_bytes = await self._fetched(place)
            self._put(place, event, size_bytes)
        else:
            self._metrics.reader_fetches.labels("cached").inc()
            self._cache.move_to_end(place)
            event = cached[0]
        if event.event_id != reference.event_id:
            self._metrics.reader_fetches.labels("missing").inc()
            raise RecordMissing(f"{'/'.join(map(str, place))} is not the event {reference.event_id}")
        return event

    async def _fetched(self, place: tuple[str, int, int]) -> tuple[Envelope, int]:
        name, partition, offset = place
        for _ in range(_FETCHES_MAX):
            try:
                value, headers = await self._record(TopicPartition(self._prefix + name, partition), offset)
                return await self._codec.decode(value, headers), len(value)
            except UndecodableError as error:
                raise RecordMissing(f"{name}/{partition}/{offset} cannot be read: {error.reason}") from error
            except (KafkaError, TimeoutError, RegistryUnavailable) as error:
                if isinstance(error, OffsetOutOfRangeError):
                    raise RecordMissing(f"{name}/{partition}/{offset} is not there") from error
                _log.warning("reference_not_fetched", topic=name, offset=offset, reason=repr(error))
            await asyncio.sleep(_RETRY_S)
        raise RecordMissing(f"{name}/{partition}/{offset} could not be fetched")

    async def _record(
        self, tp: TopicPartition, offset: int
    ) -> tuple[bytes, tuple[tuple[str, bytes | None], ...]]:
        consumer = await self._started()
        consumer.assign([tp])
        consumer.seek(tp, offset)
        try:
            async with asyncio.timeout(_FETCH_MS / 1_000):
                record = await consumer.getone(tp)
        finally:
            # Otherwise it would go on to fetch what nobody asked for.
            consumer.pause(tp)
        if record.offset != offset or record.value is None:
            raise RecordMissing(f"{tp.topic}/{tp.partition}/{offset} is not there")
        return record.value, tuple(record.headers)

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = consumer_of(self._bootstrap, auto_offset_reset="none", fetch_max_wait_ms=100)
            await consumer.start()
            self._consumer = consumer
        return self._consumer

    def _put(self, place: tuple[str, int, int], event: Envelope, size_bytes: int) -> None:
        if size_bytes + _ENTRY_BYTES > self._cache_bytes or place in self._cache:
            return
        self._cache[place] = (event, size_bytes + _ENTRY_BYTES)
        self._cached_bytes += size_bytes + _ENTRY_BYTES
        while self._cached_bytes > self._cache_bytes:
            _, (_, dropped_bytes) = self._cache.popitem(last=False)
            self._cached_bytes -= dropped_bytes
