"""What tests of the sink do to Kafka."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # no types
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from tests.sinks.records import CODEC
from topics.catalog import TOPICS, Topic, topic_of
from topics.routing import key_of, partition_of

PARTITIONS = 2
WAIT_S = 90.0


@asynccontextmanager
async def administered(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give a connected admin client."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def create_topics(bootstrap: str, prefix: str, topics: Sequence[Topic] = TOPICS) -> None:
    """Create topics, with two partitions where their count is not fixed."""
    new = [
        NewTopic(prefix + topic.name, num_partitions=topic.partitions or PARTITIONS, replication_factor=1)
        for topic in topics
    ]
    async with administered(bootstrap) as admin:
        await admin.create_topics(new)


async def delete_topic(bootstrap: str, name: str) -> None:
    """Delete a topic and wait until it is gone."""
    async with administered(bootstrap) as admin:
        await admin.delete_topics([name])
        async with asyncio.timeout(WAIT_S):
            while name in await admin.list_topics():  # noqa: ASYNC110  # Kafka offers nothing to wait for
                await asyncio.sleep(0.05)


class Producer:
    """Writes events as the system does, and bytes as it would not."""

    def __init__(self, producer: AIOKafkaProducer, prefix: str) -> None:
        """Take a started producer."""
        self._producer = producer
        self._prefix = prefix

    async def put(self, events: Sequence[Envelope]) -> None:
        """Write events to their topics, each in its turn, and wait until all are there."""
        sent = []
        for envelope in events:
            topic = topic_of(envelope.body)
            key = key_of(topic, envelope)
            sent.append(
                await self._producer.send(
                    self._prefix + topic.name,
                    key=key or None,
                    value=CODEC.encode(topic, envelope),
                    headers=CODEC.headers(topic, envelope),
                    partition=partition_of(key, topic.partitions or PARTITIONS),
                )
            )
        await asyncio.wait_for(asyncio.gather(*sent), WAIT_S)

    async def put_bytes(self, topic: str, value: bytes | None, key: bytes = b"key") -> None:
        """Write a value to partition 0 of a topic."""
        await self._producer.send_and_wait(self._prefix + topic, key=key, value=value, partition=0)


@asynccontextmanager
async def producing(bootstrap: str, prefix: str) -> AsyncIterator[Producer]:
    """Give a producer for the topics with a prefix."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=2)
    await producer.start()
    try:
        yield Producer(producer, prefix)
    finally:
        await producer.stop()


async def values_of(bootstrap: str, topic: str) -> list[bytes]:
    """Return all values of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        count = sum((await consumer.end_offsets(partitions)).values())
        found = [await asyncio.wait_for(consumer.getone(), WAIT_S) for _ in range(count)]
    finally:
        await consumer.stop()
    return [record.value for record in found]
