"""Publishes dead letters, waiting until they are durable."""

import time

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # it ships no types

from schemas.wire.codec import Codec
from sinks.intake import Delivery, Refusal, dead_letter
from topics.catalog import DEAD_LETTERS
from topics.clients import producer_of
from topics.routing import key_of


class DeadLetters:
    """A producer that connects when the first record is put aside."""

    def __init__(self, *, bootstrap: str, topic_prefix: str, codec: Codec) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._prefix = topic_prefix
        self._codec = codec
        self._producer: AIOKafkaProducer | None = None

    async def put(self, delivery: Delivery, refusal: Refusal) -> None:
        """Put a record aside.

        Raises:
            aiokafka.errors.KafkaError: the brokers are away; call again.
        """
        letter = dead_letter(
            delivery, refusal, topic_prefix=self._prefix, now_ms=lambda: int(time.time() * 1_000)
        )
        if self._producer is None:
            producer = producer_of(self._bootstrap)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        await self._producer.send_and_wait(
            self._prefix + DEAD_LETTERS.name,
            key=key_of(DEAD_LETTERS, letter) or None,
            value=self._codec.encode(DEAD_LETTERS, letter),
            headers=self._codec.headers(DEAD_LETTERS, letter),
        )

    async def stop(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
