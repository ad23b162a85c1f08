"""Reads topics through Kafka's consumer group, from where Postgres says and not the group."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from aiokafka import (  # type: ignore[import-untyped]  # it ships no types
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # as above
from aiokafka.coordinator.assignors.range import (  # type: ignore[import-untyped]  # as above
    RangePartitionAssignor,
)
from aiokafka.errors import (  # type: ignore[import-untyped]  # as above
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord  # type: ignore[import-untyped]  # as above

from processors.projections.rows import Place
from sinks.errors import RecordsMissing, TopicRecreated
from sinks.intake import Delivery
from sinks.pace import LITTLE, Pacing
from sinks.topic_ids import topic_ids
from sinks.writer import Position, Slot
from topics.clients import calm, client_of, consumer_of

METADATA_AGE_MS_MAX: Final = 10_000
"""So old may be what is known of topics and partitions; one that is new is read after so long."""
FETCH_BYTES_MAX: Final = 16 * 1024 * 1024
QUIET_S: Final = 1.0
"""So long the first record is waited for at a time."""
IDS_INTERVAL_S: Final = 10.0
"""How often it is asked whether the topics are still the same ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """The partitions that were ours at one moment, and the logs behind them."""

    assignment: int
    topic_ids: Mapping[Slot, UUID]
    bounds: Mapping[Slot, tuple[int, int]]
    """The first offset that the log has, and the one that comes next."""


class Reader:
    """One member of the group; reads one topic prefix."""

    def __init__(
        self, *, bootstrap: str, group: str, topic_prefix: str, topics: Sequence[str], session_timeout_ms: int
    ) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._group = group
        self._prefix = topic_prefix
        self._topics = topics
        self._session_timeout_ms = session_timeout_ms
        self._client: AIOKafkaClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._assignments = 0
        self._sought = 0
        self._pacing = Pacing(time.monotonic())
        self._stirred = asyncio.Event()
        self._ids: Mapping[Slot, UUID] = {}
        self._ids_asked_s = 0.0

    @property
    def moved(self) -> bool:
        """Tell whether partitions came or went since `seek`: what was fetched then is not to be used."""
        return self._assignments != self._sought

    async def start(self) -> None:
        """Connect and join the group.

        Raises:
            aiokafka.errors.KafkaError: the brokers are away; call again.
        """
        await self.stop()
        self._client = client_of(self._bootstrap, metadata_max_age_ms=METADATA_AGE_MS_MAX)
        self._consumer = consumer_of(
            self._bootstrap,
            group=self._group,
            # An offset that the log does not have is an error, never a reason to begin elsewhere.
            auto_offset_reset="none",
            # All of a session's topics have one partition count: its partitions then go to one sink.
            partition_assignment_strategy=(RangePartitionAssignor,),
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=max(100, self._session_timeout_ms // 5),
            metadata_max_age_ms=METADATA_AGE_MS_MAX,
            fetch_max_bytes=FETCH_BYTES_MAX,
            fetch_min_bytes=LITTLE.min_bytes,
            fetch_max_wait_ms=LITTLE.wait_ms,
        )
        await self._client.bootstrap()
        self._consumer.subscribe(
            [self._prefix + topic for topic in self._topics], listener=_Listener(self.relocate)
        )
        await self._consumer.start()
        calm(self._consumer)

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        consumer, client = self._consumer, self._client
        self._consumer = self._client = None
        if consumer is not None:
            await consumer.stop()
        if client is not None:
            await client.close()

    def relocate(self) -> None:
        """Make `moved` true."""
        self._assignments += 1
        self._stirred.set()

    def stir(self) -> None:
        """Let a fetch that waits for the first record return."""
        self._stirred.set()

    async def locate(self) -> Located:
        """Return what is ours now; `seek` follows.

        Raises:
            aiokafka.errors.KafkaError: no answer.
        """
        assert self._consumer is not None
        assignment = self._assignments
        partitions = sorted(self._consumer.assignment())
        if not partitions:
            return Located(assignment=assignment, topic_ids={}, bounds={})
        ids = await topic_ids(self._client, sorted({tp.topic for tp in partitions}))
        first = await self._consumer.beginning_offsets(partitions)
        following = await self._consumer.end_offsets(partitions)
        known = [tp for tp in partitions if tp.topic in ids]
        return Located(
            assignment=assignment,
            topic_ids={self._slot(tp): ids[tp.topic] for tp in known},
            bounds={self._slot(tp): (first[tp], following[tp]) for tp in known},
        )

    def seek(self, located: Located, positions: Mapping[Slot, Position]) -> None:
        """Go on reading where `positions` say.

        Raises:
            TopicRecreated: a topic is another than the one that was read before.
            RecordsMissing: the log no longer has what is to be read next.
        """
        assert self._consumer is not None
        for slot, position in positions.items():
            _demand_same_log(slot, position, located)
        try:
            for (topic, partition), position in positions.items():
                self._consumer.seek(TopicPartition(self._prefix + topic, partition), position.next_offset)
        except IllegalStateError:
            # Revoked in the meantime: `moved` stays true, and the next round locates again.
            return
        self._sought = located.assignment
        self._ids = located.topic_ids
        self._ids_asked_s = time.monotonic()

    async def fetch(self, *, records_max: int, wait_ms: int) -> list[Delivery]:
        """Return the next records, per partition in order; none when nothing comes for a while.

        Args:
            records_max: the most that are returned, at least 1.
            wait_ms: how long what comes may wait for more.

        Raises:
            TopicRecreated: a topic was deleted and made anew while it was read.
            aiokafka.errors.KafkaError: no answer.
        """
        await self._demand_same_ids()
        deadline_s = time.monotonic() + wait_ms / 1_000
        found: list[Delivery] = []
        while True:
            left_s = max(0.0, deadline_s - time.monotonic())
            try:
                fetched = await self._fetched(records_max - len(found), left_s if found else QUIET_S)
            except (OffsetOutOfRangeError, NoOffsetForPartitionError):
                # The first: locating again tells why, such as a topic that was made anew.
                # The second: partitions came, and nobody has said yet where to begin.
                self.relocate()
                return []
            found += deliveries(fetched, self._prefix)
            if len(found) >= records_max or left_s == 0 or not fetched or self.moved:
                self._keep_pace(len(found))
                return found

    async def _fetched(
        self, records_max: int, wait_s: float
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """Return what is there, or the first that comes in time, or nothing as soon as this is stirred."""
        assert self._consumer is not None
        getting = asyncio.create_task(
            self._consumer.getmany(timeout_ms=int(wait_s * 1_000), max_records=records_max)
        )
        stirring = asyncio.create_task(self._stirred.wait())
        try:
            await asyncio.wait({getting, stirring}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # What it has not returned yet stays with the consumer.
            for task in (getting, stirring):
                task.cancel()
            await asyncio.gather(getting, stirring, return_exceptions=True)
        self._stirred.clear()
        return {} if getting.cancelled() else getting.result()

    def _keep_pace(self, records: int) -> None:
        # The client has no public way to change them; the next fetch takes them.
        assert self._consumer is not None
        pace = self._pacing.after(records, time.monotonic())
        fetcher = self._consumer._fetcher
        fetcher._fetch_min_bytes, fetcher._fetch_max_wait_ms = pace.min_bytes, pace.wait_ms

    def ends(self) -> dict[Slot, int]:
        """Return by partition the offset that comes next on the log, as far as it is known."""
        assert self._consumer is not None
        ends = {tp: self._consumer.highwater(tp) for tp in self._consumer.assignment()}
        return {self._slot(tp): end for tp, end in ends.items() if end is not None}

    async def _demand_same_ids(self) -> None:
        # Without this a topic that is made anew while it is read, and quickly grows past the offset at which
        # we are, would go on as if nothing had happened.
        if time.monotonic() - self._ids_asked_s < IDS_INTERVAL_S or not self._ids:
            return
        self._ids_asked_s = time.monotonic()
        wanted = {self._prefix + topic: identity for (topic, _), identity in self._ids.items()}
        ids = await topic_ids(self._client, sorted(wanted))
        for topic, identity in wanted.items():
            if ids.get(topic, identity) != identity:
                raise TopicRecreated(_recreated(topic, identity, ids[topic]))

    def _slot(self, tp: TopicPartition) -> Slot:
        return (tp.topic.removeprefix(self._prefix), tp.partition)


def deliveries(fetched: Mapping[TopicPartition, Sequence[ConsumerRecord]], prefix: str) -> list[Delivery]:
    """Return what was fetched, per partition in order, with topics named as the catalogue does."""
    found = []
    for tp, records in fetched.items():
        topic, partition = tp.topic.removeprefix(prefix), tp.partition
        found += [
            Delivery(
                Place(topic, partition, record.offset, record.timestamp),
                record.key,
                record.value,
                tuple(record.headers),
            )
            for record in records
        ]
    return found


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Notes that partitions came or went."""

    def __init__(self, note: Callable[[], None]) -> None:
        self._note = note

    def on_partitions_revoked(self, revoked: object) -> None:
        self._note()

    def on_partitions_assigned(self, assigned: object) -> None:
        self._note()


def _demand_same_log(slot: Slot, position: Position, located: Located) -> None:
    topic, partition = slot
    first, following = located.bounds[slot]
    if position.topic_id != located.topic_ids[slot]:
        raise TopicRecreated(_recreated(topic, position.topic_id, located.topic_ids[slot]))
    if position.next_offset > following:
        raise RecordsMissing(
            f"{topic}/{partition}: Postgres has records up to offset {position.next_offset - 1}, but the log "
            f"ends at {following - 1}: it lost records; restore them, or run `cartrita rebuild --swap`"
        )
    if position.next_offset < first:
        raise RecordsMissing(
            f"{topic}/{partition}: record {position.next_offset} is to be read next, but the log begins at "
            f"{first}: records that are part of the truth were deleted before they were in Postgres"
        )


def _recreated(topic: str, before: UUID, now: UUID) -> str:
    return (
        f"topic {topic} was deleted and made anew (id {before} became {now}): what Postgres holds is of "
        "another log; run `cartrita rebuild --swap`, or use another database"
    )
