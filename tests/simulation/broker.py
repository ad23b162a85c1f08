"""Kafka in memory for many shells: topics, changelogs, committed offsets, and the fence of each changelog."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.envelope import Envelope
from schemas.references import RecordReference
from streams.records.delivery import Delivery, Entry, Outgoing
from tests.streams.twin import CODEC
from topics.catalog import TOOL_RESTRAINTS, USER_INPUTS, Topic
from topics.routing import key_of, partition_of

PARTITIONS: Final = 2
Place = tuple[str, int]
Applied = tuple[Envelope, RecordReference]


@dataclass(slots=True, kw_only=True)
class Broker:
    """What survives every crash."""

    sources: Mapping[str, tuple[str, ...]]
    """By shell, the topics that it reads."""
    records: dict[Place, list[Delivery]] = field(default_factory=dict)
    """Of the topics that some shell reads."""
    published: list[Envelope] = field(default_factory=list)
    """Of all topics, in the order in which they were written."""
    restraints: list[Envelope] = field(default_factory=list)
    """Of `tool.restraints`, which every process reads for itself."""
    tables: dict[str, dict[bytes, bytes]] = field(default_factory=dict)
    """By shell, what its changelog holds."""
    committed: dict[tuple[str, Place], int] = field(default_factory=dict)
    owners: dict[str, object] = field(default_factory=dict)
    """By shell, the process that the group knows."""
    applied: dict[bytes, list[Applied]] = field(default_factory=dict)
    """By key of the session table, what its changelog says was applied, in order."""

    def __post_init__(self) -> None:
        for topics in self.sources.values():
            for topic in topics:
                for partition in range(PARTITIONS):
                    self.records[topic, partition] = []

    def places(self, shell: str) -> list[Place]:
        """Return the partitions that a shell reads."""
        return [(topic, partition) for topic in self.sources[shell] for partition in range(PARTITIONS)]

    def write(self, record: Outgoing, now_ms: int) -> None:
        """Take one record."""
        if record.topic is not USER_INPUTS:
            # What a schedule says enters as what anybody says; what is taken of it stands on session.inputs.
            self.published.append(record.event)
        if record.topic is TOOL_RESTRAINTS:
            self.restraints.append(record.event)
        place = (record.topic.name, partition_of(record.key, PARTITIONS) if record.key else 0)
        if place in self.records:
            self._append(place, record.key, record.value, tuple(record.headers), now_ms)

    def send(self, event: Envelope, topic: Topic, partition: int, now_ms: int) -> None:
        """Take an input from outside, on whatever partition its producer chose."""
        key = key_of(topic, event)
        headers = tuple(CODEC.headers(topic, event))
        self._append((topic.name, partition), key, CODEC.encode(topic, event), headers, now_ms)

    def repeat(self, place: Place, offset: int) -> None:
        """Write a record again, as a producer does that did not hear the answer."""
        records = self.records[place]
        records.append(records[offset]._replace(offset=len(records)))

    def change(self, shell: str, entry: Entry) -> None:
        """Take one record of a changelog."""
        table = self.tables.setdefault(shell, {})
        if entry.value is None:
            table.pop(entry.key, None)
        else:
            table[entry.key] = entry.value

    def ends(self) -> dict[Place, int]:
        """Return where each partition ends."""
        return {place: len(records) for place, records in self.records.items()}

    def _append(
        self,
        place: Place,
        key: bytes,
        value: bytes,
        headers: tuple[tuple[str, bytes | None], ...],
        now_ms: int,
    ) -> None:
        records = self.records[place]
        delivery = Delivery(
            topic=place[0],
            partition=place[1],
            offset=len(records),
            key=key,
            value=value,
            headers=headers,
            timestamp_ms=now_ms,
        )
        records.append(delivery)
