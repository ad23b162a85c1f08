"""One Kafka producer for all shells of a process, so that what they write at once goes in one request."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types


class SharedProducer:
    """A producer that runs while at least one shell holds it.

    A producer has one request under way. While it waits for that, what all shells write gathers for the next;
    producers of their own would each send it at once, and the price of a write is by request, not by record.
    """

    def __init__(self) -> None:
        """Begin without a connection."""
        self._producer: AIOKafkaProducer | None = None
        self._holders = 0
        self._changing = asyncio.Lock()

    async def take(self, make: Callable[[], AIOKafkaProducer]) -> AIOKafkaProducer:
        """Return the producer, which the first holder makes and starts.

        Raises:
            aiokafka.errors.KafkaError: the brokers are away.
        """
        async with self._changing:
            if self._producer is None:
                producer = make()
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            self._holders += 1
            return self._producer

    async def give_back(self) -> None:
        """Let go of it; the last holder sends what is left and disconnects."""
        async with self._changing:
            self._holders -= 1
            if self._holders == 0:
                producer, self._producer = self._producer, None
                assert producer is not None, "it was taken before it is given back"
                await producer.stop()
