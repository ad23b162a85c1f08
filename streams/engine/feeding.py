"""Whole fetched batches for a shell, and commits of what it says is done.

Faust hands records to streams one by one, through a task, a lock, a queue and a set of unacknowledged
messages for each of them, which cost more than decoding, deciding and writing together. Here one Faust event
carries all records that a fetch gave for one partition, and a partition's committed offset is the one number
that its shell gave. Records of changelogs go to the recovery of their table as they were fetched.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import structlog
from faust.events import Event
from faust.tables.manager import TableManager
from faust.transport.consumer import Consumer, Fetcher
from faust.types import TP
from faust.types.topics import TopicT

from streams.engine.recovery_fix import RepairedRecovery

_log = structlog.get_logger()


class Record(Protocol):
    """A record as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Return its offset."""
        ...

    @property
    def key(self) -> bytes | None:
        """Return its key."""
        ...

    @property
    def value(self) -> bytes | None:
        """Return its value."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Return its headers."""
        ...

    @property
    def timestamp(self) -> int:
        """Return when it was written, in milliseconds."""
        ...


class BatchFeeding(Consumer):
    """A consumer that feeds batches, and commits what `done` was told."""

    def __init__(self, *args: Any, **options: Any) -> None:  # Any: passed on to Faust
        """Begin with nothing done."""
        super().__init__(*args, **options)
        self._done: dict[TP, int] = {}
        # By partition, where it was sought to and at which offset records began all the same.
        self._holes: dict[TP, tuple[int, int]] = {}

    def done(self, tp: TP, next_offset: int) -> None:
        """Let everything before `next_offset` be committed; only of partitions that are owned."""
        self._done[tp] = next_offset

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done, and forget it: the next owner begins from what is committed."""
        await super().on_partitions_revoked(revoked)
        self._done.clear()
        self._holes.clear()

    async def _drain_messages(self, fetcher: object) -> None:
        fetching = cast("Fetcher", fetcher)
        try:
            while not (self.should_stop or fetching.should_stop):
                records, active = await self._wait_next_records(1.0)
                await asyncio.sleep(0)
                if records and not self.should_stop:
                    await self._feed(cast("Mapping[TP, Sequence[Record]]", records), active or set())
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise

    async def _feed(self, fetched: Mapping[TP, Sequence[Record]], active: set[TP]) -> None:
        """Feed what was fetched; what skips offsets is fetched again, unless Kafka shows the same hole again.

        A hole is either of our making, where records were fetched before a seek and told after it, or Kafka's
        own: marks of transactions, and what was aborted. The first closes when it is fetched again.
        """
        generation_id = self.app.consumer_generation_id
        if not self.flow_active:
            # What was fetched while the flow stopped is read again from where the group stands.
            await self.perform_seek()
            return
        for tp, records in fetched.items():
            if not self.flow_active or self.app.consumer_generation_id != generation_id:
                return
            read_offset = self._read_offset[tp]
            fresh = [one for one in records if read_offset is None or one.offset >= read_offset]
            if not fresh or (tp not in active and tp not in self._buffered_partitions):
                continue
            if self._is_changelog_tp(tp):
                await self._feed_changelog(tp, fresh)
            elif (
                read_offset is None
                or fresh[0].offset == read_offset
                or self._holes.get(tp) == (read_offset, fresh[0].offset)
                or await self._begins_at(tp, fresh[0])
            ):
                self._holes.pop(tp, None)
                await self._feed_stream(tp, fresh)
                self._read_offset[tp] = fresh[-1].offset + 1
            else:
                # What lies between would be committed unread.
                _log.info("fetch_skips_offsets", topic=tp.topic, partition=tp.partition, at=read_offset)
                self._holes[tp] = (read_offset, fresh[0].offset)
                await self.seek_wait({tp: read_offset})
                self._read_offset[tp] = read_offset

    async def _begins_at(self, tp: TP, record: Record) -> bool:
        """Tell whether nothing stands before the record, since retention has taken it."""
        earliest = (await self.earliest_offsets(tp)).get(tp)
        return earliest is not None and record.offset <= earliest

    async def _feed_stream(self, tp: TP, records: Sequence[Record]) -> None:
        message = self._to_message(tp, records[-1])
        # Else the stream counts it as unacknowledged, and a rebalance waits for that.
        message.tracked = True
        event = Event(self.app, None, records, None, message)
        topics = cast(
            "Mapping[TP, set[TopicT]]", cast("Any", self.app.topics)._tp_index
        )  # Any: Faust's type lacks it
        for channel in topics[tp]:
            await self.wait_first(channel.put(event), self.suspend_flow.wait())

    async def _feed_changelog(self, tp: TP, records: Sequence[Record]) -> None:
        recovery = cast("RepairedRecovery", cast("TableManager", self.app.tables).recovery)
        recovery.take(
            tp, [Event(self.app, one.key, one.value, None, self._to_message(tp, one)) for one in records]
        )
        self._read_offset[tp] = records[-1].offset
        await asyncio.sleep(0)

    def _filter_tps_with_pending_acks(self, topics: object = None) -> Iterator[TP]:
        return iter(tuple(self._done))

    def _new_offset(self, tp: TP) -> int | None:
        return self._done.get(tp)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        # The shell waited for all that it wrote, so there is nothing to flush.
        owned = self.assignment()
        committable = {tp: offset for tp, offset in offsets.items() if tp in owned}
        if not committable or not await self._commit(committable):
            return False
        self._committed_offset.update(committable)
        return True
