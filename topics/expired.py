"""Records that are past their topic's retention and still there, and how they go.

Kafka deletes whole segments, each when its newest record is past the retention. A segment ends with its size
or its time, by Kafka's own default a week; until then pieces of answers stand far longer than hours.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import (  # type: ignore[import-untyped]  # as above
    AIOKafkaAdminClient,
    RecordsToDelete,
)

from topics.admin import configs_of
from topics.catalog import TOPICS
from topics.clients import admin_of, consumer_of, partitions_of

_REQUEST_MS: Final = 30_000
PASSING: Final = tuple(topic.name for topic in TOPICS if not topic.is_truth)
"""Topics whose records have a retention: pieces of answers while they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """What of a partition is past its retention."""

    topic: str
    """Without the configured prefix."""
    partition: int
    first_offset: int
    before_offset: int
    """What stands before it may go."""
    retention_ms: int
    """As the topic has it now."""
    oldest_ms: int
    """Time of the first record, in milliseconds since 1970."""

    @property
    def records(self) -> int:
        """Return how many offsets may go."""
        return self.before_offset - self.first_offset


async def expired(bootstrap: str, prefix: str, *, at_ms: int) -> tuple[Expired, ...]:
    """Return what is past the retention that its topic has.

    Raises:
        KafkaError: Kafka is away.
    """
    consumer = consumer_of(bootstrap)
    admin = admin_of(bootstrap, request_timeout_ms=_REQUEST_MS)
    try:
        await consumer.start()
        await admin.start()
        return tuple([one async for one in _expired(consumer, admin, prefix, at_ms)])
    finally:
        await admin.close()
        await consumer.stop()


async def delete(bootstrap: str, prefix: str, before: Mapping[tuple[str, int], int]) -> None:
    """Delete records; what went meanwhile is no error.

    Their bytes are free when Kafka drops the segments in which nothing else stands.

    Args:
        bootstrap: host:port, several by commas.
        prefix: before topic names.
        before: by topic, without the prefix, and partition, the first offset that stays.

    Raises:
        KafkaError: Kafka is away, or refuses; some may have gone.
    """
    assert all(topic in PASSING for topic, _ in before), "nothing else may ever be deleted"
    admin = admin_of(bootstrap, request_timeout_ms=_REQUEST_MS)
    try:
        await admin.start()
        await admin.delete_records(
            {
                TopicPartition(prefix + topic, partition): RecordsToDelete(before_offset=offset)
                for (topic, partition), offset in before.items()
            }
        )
    finally:
        await admin.close()


async def _expired(
    consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, prefix: str, at_ms: int
) -> AsyncIterator[Expired]:
    for topic in PASSING:
        full = prefix + topic
        retention_ms = int((await configs_of(admin, [full])).get(full, {}).get("retention.ms", "-1"))
        if retention_ms < 0:
            continue
        places = await partitions_of(consumer, [full])
        firsts, nexts = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        filled = [place for place in places if firsts[place] < nexts[place]]
        if not filled:
            continue
        oldest = await consumer.offsets_for_times(dict.fromkeys(filled, 0))
        fresh = await consumer.offsets_for_times(dict.fromkeys(filled, max(0, at_ms - retention_ms)))
        for place in filled:
            first, kept = oldest[place], fresh[place]
            before = nexts[place] if kept is None else kept.offset
            if first is not None and before > firsts[place]:
                yield Expired(
                    topic=topic,
                    partition=place.partition,
                    first_offset=firsts[place],
                    before_offset=before,
                    retention_ms=retention_ms,
                    oldest_ms=first.timestamp,
                )
