"""Puts what came over from V1 onto the log, many events at once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from topics.catalog import SESSION_IMPORTS
from topics.clients import consumer_of, partitions_of, producer_of
from topics.routing import partition_of


class Log(Protocol):
    """Where the events go."""

    async def put(self, events: Sequence[Envelope]) -> None:
        """Put events there, in their order, and return when all are kept."""
        ...

    async def ends(self) -> Mapping[int, int]:
        """Return by partition where the topic ends."""
        ...


class KafkaLog:
    """The topic of the imports."""

    def __init__(self, bootstrap: str, topic_prefix: str, partitions: int, codec: Codec) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._name = topic_prefix + SESSION_IMPORTS.name
        self._partitions = partitions
        self._codec = codec
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            aiokafka.errors.KafkaError: Kafka is away.
        """
        self._producer = producer_of(self._bootstrap)
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def put(self, events: Sequence[Envelope]) -> None:
        """Put events there, in their order, and return when all are kept.

        Raises:
            aiokafka.errors.KafkaError: Kafka is away, or refuses a record.
        """
        assert self._producer is not None
        sent = []
        for event in events:
            key = event.session_id.encode()
            sent.append(
                await self._producer.send(
                    self._name,
                    self._codec.encode(SESSION_IMPORTS, event),
                    key=key or None,
                    partition=partition_of(key, self._partitions),
                    headers=self._codec.headers(SESSION_IMPORTS, event),
                )
            )
        await asyncio.gather(*sent)

    async def ends(self) -> Mapping[int, int]:
        """Return by partition where the topic ends.

        Raises:
            aiokafka.errors.KafkaError: Kafka is away.
        """
        consumer = consumer_of(self._bootstrap)
        await consumer.start()
        try:
            places = await partitions_of(consumer, [self._name])
            return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
        finally:
            await consumer.stop()
