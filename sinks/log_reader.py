"""Reads the log from given offsets to given ends, and nothing past them; it belongs to no consumer group."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # as above
    KafkaTimeoutError,
    OffsetOutOfRangeError,
)

from sinks.errors import RecordsMissing
from sinks.intake import Delivery
from sinks.reader import FETCH_BYTES_MAX, Located, deliveries
from sinks.topic_ids import topic_ids
from sinks.writer import Slot
from topics.clients import consumer_of, partitions_of

_POLL_MS: Final = 500
_AT_ONCE: Final = 1_000
_SILENCE_S: Final = 60.0
"""How long there may come nothing before the end."""


class LogReader:
    """Reads one topic prefix."""

    def __init__(self, *, bootstrap: str, topic_prefix: str, topics: Sequence[str]) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._topics = topics
        self._consumer = consumer_of(bootstrap, auto_offset_reset="none", fetch_max_bytes=FETCH_BYTES_MAX)
        self._ends: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Connect.

        Raises:
            aiokafka.errors.KafkaError: the brokers are away.
        """
        await self._consumer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._consumer.stop()

    async def locate(self) -> Located:
        """Return all partitions of the topics that exist, with the logs behind them.

        Raises:
            aiokafka.errors.KafkaError: no answer.
        """
        names = [self._prefix + topic for topic in self._topics]
        # Another one than that which reads: it has no partitions, and so knows all topics.
        consumer = consumer_of(self._bootstrap)
        try:
            await consumer.start()
            partitions = await partitions_of(consumer, names)
            ids = await topic_ids(consumer._client, names)
            partitions = [place for place in partitions if place.topic in ids]
            first = await consumer.beginning_offsets(partitions)
            following = await consumer.end_offsets(partitions)
        finally:
            await consumer.stop()
        return Located(
            assignment=0,
            topic_ids={self._slot(tp): ids[tp.topic] for tp in partitions},
            bounds={self._slot(tp): (first[tp], following[tp]) for tp in partitions},
        )

    def seek(self, starts: Mapping[Slot, int], ends: Mapping[Slot, int]) -> None:
        """Read from `starts` on, to before `ends`; partitions that are not named are left alone."""
        places = {
            TopicPartition(self._prefix + slot[0], slot[1]): (start, ends[slot])
            for slot, start in starts.items()
            if start < ends[slot]
        }
        self._ends = {tp: end for tp, (_, end) in places.items()}
        if places:
            self._consumer.assign(list(places))
        for tp, (start, _) in places.items():
            self._consumer.seek(tp, start)

    async def fetch(self, records_max: int) -> list[Delivery]:
        """Return the next records, at least one; none when all ends are reached.

        Raises:
            RecordsMissing: the log lost what is to be read next.
            aiokafka.errors.KafkaError: no answer.
        """
        silent_until_s = time.monotonic() + _SILENCE_S
        while self._ends and time.monotonic() < silent_until_s:
            try:
                fetched = await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=records_max)
            except OffsetOutOfRangeError as error:
                raise RecordsMissing(
                    f"records were deleted from the log while it was read: {error}"
                ) from error
            wanted = {
                tp: [record for record in records if record.offset < self._ends[tp]]
                for tp, records in fetched.items()
                if tp in self._ends
            }
            # The position passes what compaction left out; the last record's offset does not.
            for tp in list(self._ends):
                if await self._consumer.position(tp) >= self._ends[tp]:
                    del self._ends[tp]
                    self._consumer.pause(tp)
            found = deliveries(wanted, self._prefix)
            if found:
                return found
        if self._ends:
            raise KafkaTimeoutError(
                f"Kafka gave no record of {sorted(self._ends)[0].topic} for {_SILENCE_S:.0f} s"
            )
        return []

    def _slot(self, tp: TopicPartition) -> Slot:
        return (tp.topic.removeprefix(self._prefix), tp.partition)


async def whole(
    bootstrap: str, topic_prefix: str, topic: str, partition: int | None = None
) -> AsyncGenerator[Sequence[Delivery], None]:
    """Give a topic as it is now, some records at once, each partition in order.

    Args:
        bootstrap: host:port, several by commas.
        topic_prefix: before the topic's name.
        topic: its name without that; one that is not there gives nothing.
        partition: of it; None: all of them.

    Raises:
        aiokafka.errors.KafkaError: Kafka is away.
        RecordsMissing: records went while it was read.
    """
    reader = LogReader(bootstrap=bootstrap, topic_prefix=topic_prefix, topics=[topic])
    await reader.start()
    try:
        bounds = (await reader.locate()).bounds
        wanted = {slot: one for slot, one in bounds.items() if partition in (None, slot[1])}
        reader.seek(
            {slot: first for slot, (first, _) in wanted.items()},
            {slot: end for slot, (_, end) in wanted.items()},
        )
        while fetched := await reader.fetch(_AT_ONCE):
            yield fetched
    finally:
        await reader.stop()
