"""How a deployment stands, as Kafka tells it: its topics, who reads them, and how far they are."""

import re
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # as above

from topics.catalog import REDRIVES, TOPICS, read_by
from topics.clients import admin_of, consumer_of, partitions_of
from topics.shells import REDRIVE, SHELLS

SINK: Final = "sink"
_STATES: Final[Mapping[str, str]] = {
    "Stable": "working",
    "Empty": "nobody",
    "Dead": "nobody",
    "PreparingRebalance": "changing",
    "CompletingRebalance": "changing",
}
_REQUEST_MS: Final = 5_000
_OF_MEMBER: Final = re.compile(r"-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicStanding:
    """One topic."""

    name: str
    """Without the prefix."""
    partitions: int
    records: int
    """Offsets from where it begins to where it ends; of a compacted topic more than it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One process in a group."""

    client: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStanding:
    """A part that reads topics: a shell or the sinks."""

    name: str
    state: str
    """working, changing (its partitions are being handed over) or nobody."""
    members: tuple[Member, ...]
    lags: Mapping[str, int]
    """By topic, records in Kafka that are not known to be dealt with."""

    @property
    def lag(self) -> int:
        """Return the lag of all its topics."""
        return sum(self.lags.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All of it."""

    topics: tuple[TopicStanding, ...]
    readers: tuple[ReaderStanding, ...]


async def standing_of(
    bootstrap: str, topic_prefix: str, app_id: str, sunk: Mapping[TopicPartition, int]
) -> Standing:
    """Ask Kafka how a deployment stands.

    Args:
        bootstrap: host:port, several by commas.
        topic_prefix: before topic names.
        app_id: of the deployment; groups are named by it.
        sunk: how far sinks are, by full topic name and partition, which they keep in Postgres.

    Raises:
        KafkaError: Kafka is away, or OSError.
    """
    async with AsyncExitStack() as held:
        consumer = consumer_of(bootstrap)
        held.push_async_callback(consumer.stop)
        await consumer.start()
        places = await partitions_of(consumer, [topic_prefix + topic.name for topic in TOPICS])
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        admin = admin_of(bootstrap, request_timeout_ms=_REQUEST_MS)
        held.push_async_callback(admin.close)
        await admin.start()
        groups = {name: f"{topic_prefix}{app_id}-{name}" for name in (*SHELLS, REDRIVE, SINK)}
        told = await _described(admin, groups.values())
        readers = []
        for name, group in groups.items():
            committed = (
                sunk
                if name == SINK
                else {
                    place: known.offset
                    for place, known in (await admin.list_consumer_group_offsets(group)).items()
                }
            )
            state, members = told.get(group, ("Dead", ()))
            lags: dict[str, int] = {}
            for place in _read(name, topic_prefix, places):
                left = ends[place] - max(committed.get(place, 0), begins[place])
                topic = place.topic.removeprefix(topic_prefix)
                lags[topic] = lags.get(topic, 0) + max(left, 0)
            readers.append(
                ReaderStanding(name=name, state=_STATES.get(state, "changing"), members=members, lags=lags)
            )
    return Standing(topics=tuple(_topics(topic_prefix, places, begins, ends)), readers=tuple(readers))


def _read(name: str, topic_prefix: str, places: Iterable[TopicPartition]) -> Iterable[TopicPartition]:
    """Return the partitions that a part reads."""
    truth = [topic for topic in TOPICS if topic.is_truth]
    topics = {SINK: truth, REDRIVE: [REDRIVES]}.get(name) or read_by(name)
    names = {topic_prefix + topic.name for topic in topics}
    return [place for place in places if place.topic in names]


def _topics(
    topic_prefix: str,
    places: Iterable[TopicPartition],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> Iterable[TopicStanding]:
    places = list(places)
    for topic in TOPICS:
        own = [place for place in places if place.topic == topic_prefix + topic.name]
        yield TopicStanding(
            name=topic.name,
            partitions=len(own),
            records=sum(ends[place] - begins[place] for place in own),
        )


async def _described(
    admin: AIOKafkaAdminClient, groups: Iterable[str]
) -> dict[str, tuple[str, tuple[Member, ...]]]:
    found = {}
    for response in await admin.describe_consumer_groups(list(groups)):
        for group in response.groups:
            # error, group, state, kind, protocol, members; newer brokers tell more behind them.
            _, name, state, _, _, members = group[:6]
            found[name] = (state, tuple(map(member_of, members)))
    return found


def member_of(told: tuple[object, ...]) -> Member:
    """Return a member of a group as Kafka describes it, in whichever version."""
    # Member id, from version 4 on the instance id, client id, host, metadata, assignment. Kafka makes a
    # member's id of its instance id, if it has one, or else its client id, and a UUID.
    member_id, host = str(told[0]), str(told[-3])
    return Member(client=_OF_MEMBER.sub("", member_id), host=host.lstrip("/"))
