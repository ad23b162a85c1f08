"""What the log takes: its topics by bytes and records, since when, and how fast it grows.

Bytes are those that brokers tell of their log directories; records and times are the log's own. What the log
does not tell is None: nothing is guessed.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # as above

from topics.catalog import HOUR_MS, TOPICS
from topics.clients import admin_of, consumer_of, partitions_of
from topics.log_directories import LogDirectory, log_directories
from topics.tables import CLOCK_PROBE, FLOORS, TABLES, changelog_of

DAY_MS: Final = 24 * HOUR_MS
GROWTH_MS_MIN: Final = HOUR_MS
"""Of less than this no growth a day is told."""
_REQUEST_MS: Final = 10_000
_NEWEST_S: Final = 5.0
"""So long the newest records are waited for; of what has not come then, no time is told."""
_POLL_MS: Final = 500


class Kept(StrEnum):
    """For how long Kafka keeps what stands on a topic."""

    FOR_EVER = "for ever"
    """It is part of the truth."""
    NEWEST = "newest of each key"
    """It is compacted."""
    HOURS = "hours"
    """It has a retention, and stays about as large as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicUsage:
    """One topic."""

    name: str
    """Without the configured prefix."""
    kept: Kept
    partitions: int
    bytes: int
    """Of its segments, one copy: of each partition the largest replica."""
    bytes_of_replicas: int
    """Of all copies together."""
    records: int
    """Offsets from where it begins to where it ends; of a compacted topic more than it holds."""
    records_lately: int | None
    """Of these, written since `since_ms` of the whole; None where the log does not tell."""
    oldest_ms: int | None
    """Time of the first record that is there, in milliseconds since 1970."""
    newest_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogUsage:
    """The whole log."""

    topics: tuple[TopicUsage, ...]
    """The catalogue's, then the tables' changelogs and the clock probe, in their order."""
    directories: tuple[LogDirectory, ...]
    since_ms: int
    """Growth is measured from here on: from what was asked for, or the log's beginning if that is later."""
    at_ms: int

    @property
    def bytes(self) -> int:
        """Return what all topics take, one copy of each."""
        return sum(topic.bytes for topic in self.topics)

    @property
    def bytes_of_replicas(self) -> int:
        """Return what all copies take."""
        return sum(topic.bytes_of_replicas for topic in self.topics)

    @property
    def events_per_day(self) -> float | None:
        """Return how many records come a day on topics of the truth; None: the log is too young to tell."""
        lately = [one.records_lately for one in self.topics if one.kept is Kept.FOR_EVER]
        return None if None in lately else self._per_day(sum(one for one in lately if one is not None))

    def growth_of(self, topic: TopicUsage) -> float | None:
        """Return how many bytes a day a topic grows by, all copies together.

        None where the log does not tell: what is compacted or kept for a while stays about as it is or goes
        its own way, and a log of less than an hour says nothing of a day.
        """
        if topic.kept is not Kept.FOR_EVER or topic.records_lately is None:
            return None
        if topic.records == 0:
            return 0.0 if self._per_day(0) is not None else None
        per_day = self._per_day(topic.records_lately)
        return None if per_day is None else per_day * topic.bytes_of_replicas / topic.records

    @property
    def growth(self) -> float | None:
        """Return how many bytes a day the topics of the truth grow by, all copies together."""
        grown = [self.growth_of(one) for one in self.topics if one.kept is Kept.FOR_EVER]
        return None if None in grown else sum(one for one in grown if one is not None)

    def own_bytes_in(self, directory: LogDirectory, prefix: str) -> int:
        """Return what of a directory is this deployment's."""
        names = {prefix + topic.name for topic in self.topics}
        return sum(size for (name, _), size in directory.replicas.items() if name in names)

    def growth_in(self, directory: LogDirectory, prefix: str) -> float | None:
        """Return how many bytes a day a directory grows by, as far as it is this deployment's."""
        total = 0.0
        for topic in (one for one in self.topics if one.kept is Kept.FOR_EVER):
            grown = self.growth_of(topic)
            if grown is None:
                return None
            here = sum(size for (name, _), size in directory.replicas.items() if name == prefix + topic.name)
            total += grown * here / topic.bytes_of_replicas if topic.bytes_of_replicas else 0.0
        return total

    def _per_day(self, records: int) -> float | None:
        elapsed_ms = self.at_ms - self.since_ms
        return records * DAY_MS / elapsed_ms if elapsed_ms >= GROWTH_MS_MIN else None


def days_left(left_bytes: float, growth: float | None) -> float | None:
    """Return in how many days so many bytes are taken; 0.0: they are already.

    Args:
        left_bytes: until the bound; negative: it is passed.
        growth: bytes a day; None: nobody knows.

    Returns:
        None where nobody knows, or where nothing grows.
    """
    if left_bytes <= 0:
        return 0.0
    return left_bytes / growth if growth else None


async def log_usage(bootstrap: str, prefix: str, *, over_ms: int, at_ms: int) -> LogUsage:
    """Ask Kafka what the log takes.

    Args:
        bootstrap: host:port, several by commas.
        prefix: before topic names.
        over_ms: growth is measured over so long, at most.
        at_ms: now, in milliseconds since 1970.

    Raises:
        KafkaError: Kafka is away, or a broker does not tell.
    """
    consumer = consumer_of(bootstrap, auto_offset_reset="earliest")
    admin = admin_of(bootstrap, request_timeout_ms=_REQUEST_MS)
    try:
        await consumer.start()
        await admin.start()
        return await _measured(consumer, admin, prefix, at_ms - over_ms, at_ms)
    finally:
        await admin.close()
        await consumer.stop()


async def _measured(
    consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, prefix: str, asked_ms: int, at_ms: int
) -> LogUsage:
    directories = await log_directories(admin)
    places = await partitions_of(consumer, [prefix + name for name in _KEPT])
    firsts, nexts = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
    filled = [place for place in places if firsts[place] < nexts[place]]
    # The first record of a time of 1970 or later is the first one that is there.
    oldest = await _times(consumer, dict.fromkeys(filled, 0))
    begins_ms = min(
        (ms for place, (_, ms) in oldest.items() if _KEPT[place.topic.removeprefix(prefix)] is Kept.FOR_EVER),
        default=at_ms,
    )
    since_ms = max(asked_ms, begins_ms)
    since = await _times(consumer, dict.fromkeys(filled, since_ms))
    newest = await _newest(consumer, {place: nexts[place] for place in filled})
    topics = []
    for name, kept in _KEPT.items():
        own = [place for place in places if place.topic == prefix + name]
        sizes = [_sizes(directories, place) for place in own]
        # What is on no record of since then lies behind the end: none of it is of lately.
        lately = [nexts[place] - (since[place][0] if place in since else nexts[place]) for place in own]
        topics.append(
            TopicUsage(
                name=name,
                kept=kept,
                partitions=len(own),
                bytes=sum(max(one, default=0) for one in sizes),
                bytes_of_replicas=sum(map(sum, sizes)),
                records=sum(nexts[place] - firsts[place] for place in own),
                records_lately=None if kept is Kept.NEWEST else sum(lately),
                oldest_ms=min((oldest[place][1] for place in own if place in oldest), default=None),
                newest_ms=max((newest[place] for place in own if place in newest), default=None),
            )
        )
    return LogUsage(topics=tuple(topics), directories=directories, since_ms=since_ms, at_ms=at_ms)


def _sizes(directories: Iterable[LogDirectory], place: TopicPartition) -> list[int]:
    key = (place.topic, place.partition)
    return [one.replicas[key] for one in directories if key in one.replicas]


async def _times(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Return the first offset from a time on, and that record's time; nothing where there is none."""
    found = await consumer.offsets_for_times(dict(wanted)) if wanted else {}
    return {place: (told.offset, told.timestamp) for place, told in found.items() if told is not None}


async def _newest(
    consumer: AIOKafkaConsumer, nexts: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Return the time of the last record of each partition that still has it."""
    found: dict[TopicPartition, int] = {}
    if not nexts:
        return found
    consumer.assign(list(nexts))
    for place, following in nexts.items():
        consumer.seek(place, following - 1)
    deadline_s = time.monotonic() + _NEWEST_S
    while len(found) < len(nexts) and time.monotonic() < deadline_s:
        await asyncio.sleep(0)
        for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
            found[place] = records[-1].timestamp
            consumer.pause(place)
    consumer.unsubscribe()
    return found


def _kept(cleanup: str, retention_ms: int) -> Kept:
    if cleanup != "delete":
        return Kept.NEWEST
    return Kept.FOR_EVER if retention_ms == -1 else Kept.HOURS


_KEPT: Final[Mapping[str, Kept]] = {
    **{topic.name: _kept(topic.cleanup, topic.retention_ms) for topic in TOPICS},
    **{changelog_of("", table): Kept.NEWEST for table in (*TABLES, FLOORS)},
    CLOCK_PROBE: Kept.HOURS,
}
