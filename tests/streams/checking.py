"""Reads a topic to its end and tells what is wrong with it."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from schemas.envelope import Envelope
from schemas.wire.codec import Codec


@dataclass(slots=True, kw_only=True)
class Outputs:
    """All events of a topic, by event id and by session."""

    records: int = 0
    events: dict[str, Envelope] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)
    """Event ids, and places in a session's sequence, that two different events claim."""
    causes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sequences: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, event: Envelope) -> None:
        """Take one event."""
        self.records += 1
        known = self.events.get(event.event_id)
        if known is not None:
            if known != event:
                self.conflicts.append(event.event_id)
            return
        self.events[event.event_id] = event
        self.causes[event.causation_id or ""].append(event.event_id)
        place = self.sequences[event.session_id].setdefault(event.sequence, event.event_id)
        if place != event.event_id:
            self.conflicts.append(f"{event.session_id}#{event.sequence}")

    @property
    def gaps(self) -> list[str]:
        """Return sessions whose sequence is not 1, 2, 3 …"""
        return [key for key, one in self.sequences.items() if sorted(one) != list(range(1, len(one) + 1))]


async def read_topic(bootstrap: str, topic: str, codec: Codec) -> list[Envelope]:
    """Read a topic from its beginning to its present end."""
    # With "latest", a reset that is on its way when the position is set would move it to the end.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        left = {tp for tp, end in ends.items() if end > 0}
        events = []
        async with asyncio.timeout(60):
            while left:
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    for record in records:
                        events.append(await codec.decode(record.value, record.headers))
                    if records[-1].offset >= ends[tp] - 1:
                        left.discard(tp)
        return events
    finally:
        await consumer.stop()


async def read_outputs(bootstrap: str, topic: str, codec: Codec) -> Outputs:
    """Read a topic and sort its events."""
    outputs = Outputs()
    for event in await read_topic(bootstrap, topic, codec):
        outputs.add(event)
    return outputs


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> list[int]:
    async with asyncio.timeout(30):
        while True:
            await consumer._client.force_metadata_update()
            found = consumer.partitions_for_topic(topic) or set()
            await consumer.topics()
            found = consumer.partitions_for_topic(topic) or found
            if found:
                return sorted(found)
            await asyncio.sleep(0.1)
