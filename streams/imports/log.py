"""Puts what came over from V1 onto the log, many events at once."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.errors import UnknownTopicOrPartitionError  # type: ignore[import-untyped]  # as above

from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from topics.catalog import SESSION_IMPORTS
from topics.clients import consumer_of, partitions_of, producer_of
from topics.routing import partition_of

_KNOWN_S: Final = 10.0
"""So long no broker may know of a topic that was just made."""
_ASKED_AGAIN_S: Final = 0.2


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
        self._name = topic_prefix + SESSION_IMPORTS.name
        self._partitions = partitions
        self._codec = codec
        self._producer = producer_of(bootstrap)
        self._looker = consumer_of(bootstrap)

    async def start(self) -> None:
        """Connect.

        Raises:
            aiokafka.errors.UnknownTopicOrPartitionError: the topic is not there, or has fewer partitions
                than are configured.
            aiokafka.errors.KafkaError: Kafka is away.
        """
        await self._looker.start()
        clock = asyncio.get_running_loop().time
        deadline_s = clock() + _KNOWN_S
        # A producer that is told of a topic that is not there has the broker make it, as it never should be.
        while len(await partitions_of(self._looker, [self._name])) < self._partitions:
            if clock() >= deadline_s:
                raise UnknownTopicOrPartitionError(
                    f"topic {self._name} is not there, or has fewer than {self._partitions} partitions; "
                    "see `cartrita topics apply`"
                )
            await asyncio.sleep(_ASKED_AGAIN_S)
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._producer.stop()
        await self._looker.stop()

    async def put(self, events: Sequence[Envelope]) -> None:
        """Put events there, in their order, and return when all are kept.

        Raises:
            aiokafka.errors.KafkaError: Kafka is away, or refuses a record.
        """
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
        places = [TopicPartition(self._name, number) for number in range(self._partitions)]
        return {place.partition: end for place, end in (await self._looker.end_offsets(places)).items()}
