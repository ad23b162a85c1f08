"""The log that is Kafka: fenced writes to a table's changelog, awaited publishing, acknowledgement."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

import structlog
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    InvalidTimestampError,
    KafkaError,
)
from faust.types import TP

from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.feeding import BatchFeeding
from streams.process import failpoints
from streams.process.ending import ExitCode, ShellStopped
from streams.records.delivery import Delivery, Entry, Outgoing, OwnershipLost
from topics.routing import partition_of
from topics.tables import Fence

_log = structlog.get_logger()
_FRESH_POLL_S: Final = 0.05
_BATCHED_MIN: Final = 4
"""From so many records for one partition on, a batch of their own costs less than a future for each."""
_Place = tuple[str, int | None]
"""Topic and partition; None: whichever the client chooses."""


class _Builder(Protocol):
    def append(
        self,
        *,
        timestamp: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
    ) -> object | None: ...

    def record_count(self) -> int: ...

    def close(self) -> None: ...


class _Metadata(Protocol):
    partition: int
    offset: int


class _Producer(Protocol):
    async def send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int | None,
        timestamp_ms: int | None,
        headers: Sequence[tuple[str, bytes]] | None,
    ) -> asyncio.Future[_Metadata]: ...

    def create_batch(self) -> _Builder: ...

    async def send_batch(
        self, batch: _Builder, topic: str, *, partition: int
    ) -> asyncio.Future[_Metadata]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """One record for one partition, with what is done once Kafka has it."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    subject: Entry | Outgoing


class Table(Protocol):
    """The table behind a changelog."""

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold what the changelog holds, each record with its offset there."""
        ...


class KafkaLog:
    """Writes for one shell."""

    def __init__(
        self,
        app: ShellApp,
        *,
        topic_prefix: str,
        partitions: int,
        fence: Fence,
        on_published: Callable[[Outgoing, int, int], None] | None = None,
    ) -> None:
        """Take the shell's app.

        Args:
            app: its producer is used, and its heartbeat stamps changelog records.
            topic_prefix: put before topic names.
            partitions: the configured count: no record goes beyond, should a topic have more.
            fence: of the changelog.
            on_published: told of each published record with its partition and offset.
        """
        self._app = app
        self._prefix = topic_prefix
        self._fence = fence
        self._is_owner: Callable[[], bool] = lambda: True
        self._on_published = on_published
        self._changelog = ""
        self._table: Table | None = None
        self._partitions = partitions

    def keep(self, changelog: str, table: Table) -> None:
        """Take the table's changelog topic (full name) and the table."""
        self._changelog = changelog
        self._table = table

    def owned_by(self, is_owner: Callable[[], bool]) -> None:
        """Take what tells whether partitions are owned; False ends the wait for a fresh heartbeat."""
        self._is_owner = is_owner

    async def store(self, entries: Sequence[Entry]) -> None:
        """Write to the changelog, wait, and put the entries into the table.

        Raises:
            ShellStopped: Kafka refused it, or could not be reached for too long.
            OwnershipLost: the partitions were revoked before anything was written.
        """
        assert self._table is not None
        stamp_ms = await self._fresh_stamp_ms()
        places: dict[_Place, list[_Written]] = {}
        for entry in entries:
            one = _Written(key=entry.key, value=entry.value, headers=(), subject=entry)
            places.setdefault((self._changelog, entry.partition), []).append(one)
        written = await self._write(places, stamp_ms, lambda: failpoints.reach("stored_in_part"))
        self._table.put([(cast("Entry", one.subject), offset) for one, _, offset in written])

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish records, each on the partition of its key and there in order, and wait.

        Raises:
            ShellStopped: Kafka refused one, or could not be reached for too long.
        """
        places: dict[_Place, list[_Written]] = {}
        for record in records:
            topic = self._prefix + record.topic.name
            partition = self._partition_of(record) if record.key else None
            one = _Written(key=record.key or None, value=record.value, headers=record.headers, subject=record)
            places.setdefault((topic, partition), []).append(one)
        for written, partition, offset in await self._write(
            places, None, lambda: failpoints.reach("published_in_part")
        ):
            if self._on_published is not None:
                self._on_published(cast("Outgoing", written.subject), partition, offset)

    async def _write(
        self, places: Mapping[_Place, Sequence[_Written]], stamp_ms: int | None, half_way: Callable[[], None]
    ) -> list[tuple[_Written, int, int]]:
        """Write, wait, and return each record with its partition and offset."""
        producer = self._producer()
        pending: list[tuple[Sequence[_Written], asyncio.Future[_Metadata]]] = []
        for number, (place, records) in enumerate(places.items()):
            if number == len(places) // 2:
                half_way()
            pending += await _sent(producer, place, records, stamp_ms)
        answers = await _awaited([answer for _, answer in pending])
        return [
            (one, metadata.partition, metadata.offset + number)
            for (records, _), metadata in zip(pending, answers, strict=True)
            for number, one in enumerate(records)
        ]

    async def offer(self, record: Outgoing) -> asyncio.Future[object]:
        """Publish one record without waiting; its future tells how it went."""
        topic = self._prefix + record.topic.name
        partition = self._partition_of(record)
        return cast(
            "asyncio.Future[object]",
            await self._producer().send(topic, record.value, record.key, partition, None, record.headers),
        )

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let the consumer commit past these deliveries."""
        consumer = cast("BatchFeeding", self._app.consumer)
        # A shell ends its batches in order, so a partition's last delivery is its highest.
        ends = {(one.topic, one.partition): one.offset + 1 for one in deliveries}
        for (topic, partition), next_offset in ends.items():
            consumer.done(TP(self._prefix + topic, partition), next_offset)

    def _producer(self) -> _Producer:
        # Faust's own send drops the future of what it wrote; its client's is awaited here.
        producer = getattr(self._app.producer, "_producer", None)
        if producer is None:
            raise ShellStopped(ExitCode.RESTART, "the producer is not running")
        return cast("_Producer", producer)

    def _partition_of(self, record: Outgoing) -> int:
        return partition_of(record.key, record.topic.partitions or self._partitions)

    async def _fresh_stamp_ms(self) -> int:
        # Not the fence, which is the broker's: only so that an answer that is late does not end the process.
        waited = False
        while self._app.heartbeat.age_ms > self._fence.before_max_ms * 4 // 5:
            if not waited:
                waited = True
                _log.warning("heartbeat_late", group=self._app.conf.id, age_ms=self._app.heartbeat.age_ms)
            await asyncio.sleep(_FRESH_POLL_S)
            if not self._is_owner():
                raise OwnershipLost
        return self._app.heartbeat.stamp_ms


def log_of(context: ShellContext, app: ShellApp) -> KafkaLog:
    """Return what a shell of this process writes to."""
    return KafkaLog(
        app,
        topic_prefix=context.topic_prefix,
        partitions=context.partitions,
        fence=context.fence,
        on_published=context.on_published,
    )


async def _sent(
    producer: _Producer, place: _Place, records: Sequence[_Written], stamp_ms: int | None
) -> list[tuple[Sequence[_Written], "asyncio.Future[_Metadata]"]]:
    topic, partition = place
    try:
        if partition is None or len(records) < _BATCHED_MIN:
            # Sent alone, a record shares its batch with those of other tasks.
            return [
                (
                    (one,),
                    await producer.send(topic, one.value, one.key, partition, stamp_ms, list(one.headers)),
                )
                for one in records
            ]
        pending = []
        begun = 0
        while begun < len(records):
            batch = _filled(producer.create_batch(), records[begun:], stamp_ms)
            taken = records[begun : begun + batch.record_count()]
            assert taken, "a batch takes at least one record, whatever its size"
            pending.append((taken, await producer.send_batch(batch, topic, partition=partition)))
            begun += len(taken)
        return pending
    except KafkaError as error:
        raise _stopped(error) from error


def _filled(batch: _Builder, records: Sequence[_Written], stamp_ms: int | None) -> _Builder:
    for one in records:
        if not batch.append(timestamp=stamp_ms, key=one.key, value=one.value, headers=list(one.headers)):
            break
    batch.close()
    return batch


async def _awaited(pending: "Sequence[asyncio.Future[_Metadata]]") -> list[_Metadata]:
    try:
        return await asyncio.gather(*pending)
    except KafkaError as error:
        raise _stopped(error) from error


def _stopped(error: KafkaError) -> ShellStopped:
    if isinstance(error, InvalidTimestampError):
        return ShellStopped(
            ExitCode.REFUSED, "Kafka refused a table's record: this process was away, and may be replaced"
        )
    return ShellStopped(ExitCode.RESTART, f"Kafka did not take a record: {error!r}")
