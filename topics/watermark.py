"""The watermark: from where on the log is complete, by topic and partition.

The topics of the truth keep everything, unless somebody cuts them: by a retention that differs from the
catalogue's, or by deleting records. Whatever is rebuilt or replayed from the log can only begin there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from topics.admin import TopicsUnavailable
from topics.catalog import TOPICS
from topics.clients import consumer_of, partitions_of

_WAIT_MS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """What of a partition is there."""

    topic: str
    """Name in the catalogue."""
    partition: int
    first_offset: int
    """0 when nothing was ever deleted."""
    next_offset: int
    begins_at_ms: int | None
    """When the first record that is left was written, if records were deleted and one is left."""

    @property
    def is_whole(self) -> bool:
        """Tell whether every record is there that ever was."""
        return self.first_offset == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """All partitions of the topics that are the truth."""

    extents: tuple[Extent, ...]

    @property
    def cut(self) -> tuple[Extent, ...]:
        """Return the partitions that have lost records."""
        return tuple(extent for extent in self.extents if not extent.is_whole)

    @property
    def complete_since_ms(self) -> int | None:
        """Return since when every partition is complete; None: since ever, or that cannot be told."""
        return max((one.begins_at_ms for one in self.cut if one.begins_at_ms is not None), default=None)


async def watermark(bootstrap: str, prefix: str) -> Watermark:
    """Return from where on the log is complete.

    Compacted topics are left out: they keep the newest record of each key and no history.

    Raises:
        TopicsUnavailable: Kafka does not answer.
    """
    names = {
        prefix + topic.name: topic.name for topic in TOPICS if topic.is_truth and topic.cleanup == "delete"
    }
    consumer = consumer_of(bootstrap, auto_offset_reset="earliest")
    try:
        await consumer.start()
        try:
            places = await partitions_of(consumer, names)
            firsts = await consumer.beginning_offsets(places)
            nexts = await consumer.end_offsets(places)
            cut = [place for place in places if 0 < firsts[place] < nexts[place]]
            begun = await _begun_ms(consumer, cut)
        finally:
            await consumer.stop()
    except KafkaError as error:
        raise TopicsUnavailable(f"Kafka at {bootstrap} does not answer: {error!r}") from error
    return Watermark(
        extents=tuple(
            Extent(
                topic=names[place.topic],
                partition=place.partition,
                first_offset=firsts[place],
                next_offset=nexts[place],
                begins_at_ms=begun.get(place),
            )
            for place in places
        )
    )


async def _begun_ms(consumer: AIOKafkaConsumer, places: list[TopicPartition]) -> Mapping[TopicPartition, int]:
    """Return the time of the first record of each place."""
    begun: dict[TopicPartition, int] = {}
    for place in places:
        consumer.assign([place])
        found = await consumer.getmany(place, timeout_ms=_WAIT_MS, max_records=1)
        for record in found.get(place, []):
            begun[place] = record.timestamp
    return begun
