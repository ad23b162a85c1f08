"""The log that is Kafka: fenced writes to a table's changelog, awaited publishing, acknowledgement."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol, cast

import faust
import structlog
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    InvalidTimestampError,
    KafkaError,
)

from streams import failpoints
from streams.app import ShellApp
from streams.delivery import Delivery, Entry, Outgoing, OwnershipLost
from streams.ending import ExitCode, ShellStopped
from topics.routing import partition_of
from topics.tables import Fence

_log = structlog.get_logger()
_FRESH_POLL_S: Final = 0.05


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

    async def partitions_for(self, topic: str) -> set[int]: ...


class Table(Protocol):
    """The table behind a changelog."""

    def put(self, entry: Entry, offset: int) -> None:
        """Hold what the changelog now holds at `offset`."""
        ...


class KafkaLog:
    """Writes for one shell."""

    def __init__(
        self,
        app: ShellApp,
        *,
        topic_prefix: str,
        fence: Fence,
        on_published: Callable[[Outgoing, int, int], None] | None = None,
    ) -> None:
        """Take the shell's app.

        Args:
            app: its producer is used, and its heartbeat stamps changelog records.
            topic_prefix: put before topic names.
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
        self._partitions: dict[str, int] = {}

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
        producer = self._producer()
        pending = []
        for number, entry in enumerate(entries):
            if number == len(entries) // 2:
                failpoints.reach("stored_in_part")
            pending.append(
                await _sent(
                    producer.send(self._changelog, entry.value, entry.key, entry.partition, stamp_ms, None)
                )
            )
        for entry, metadata in zip(entries, await _awaited(pending), strict=True):
            self._table.put(entry, metadata.offset)

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish records in order, each on the partition of its key, and wait.

        Raises:
            ShellStopped: Kafka refused one, or could not be reached for too long.
        """
        producer = self._producer()
        pending = []
        for number, record in enumerate(records):
            if number == len(records) // 2:
                failpoints.reach("published_in_part")
            topic = self._prefix + record.topic.name
            partition = partition_of(record.key, await self._partitions_of(topic)) if record.key else None
            pending.append(
                await _sent(
                    producer.send(topic, record.value, record.key or None, partition, None, record.headers)
                )
            )
        for record, metadata in zip(records, await _awaited(pending), strict=True):
            if self._on_published is not None:
                self._on_published(record, metadata.partition, metadata.offset)

    async def offer(self, record: Outgoing) -> asyncio.Future[object]:
        """Publish one record without waiting; its future tells how it went."""
        topic = self._prefix + record.topic.name
        partition = partition_of(record.key, await self._partitions_of(topic))
        return cast(
            "asyncio.Future[object]",
            await self._producer().send(topic, record.value, record.key, partition, None, record.headers),
        )

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Let the consumer commit past these deliveries."""
        for delivery in deliveries:
            cast("faust.Event", delivery.token).ack()

    def _producer(self) -> _Producer:
        # Faust's own send drops the future of what it wrote; its client's is awaited here.
        producer = getattr(self._app.producer, "_producer", None)
        if producer is None:
            raise ShellStopped(ExitCode.RESTART, "the producer is not running")
        return cast("_Producer", producer)

    async def _partitions_of(self, topic: str) -> int:
        if topic not in self._partitions:
            self._partitions[topic] = len(await self._producer().partitions_for(topic))
        return self._partitions[topic]

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


async def _sent(sending: "asyncio.Future[_Metadata] | object") -> "asyncio.Future[_Metadata]":
    try:
        return await cast("asyncio.Future[asyncio.Future[_Metadata]]", sending)
    except KafkaError as error:
        raise _stopped(error) from error


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
