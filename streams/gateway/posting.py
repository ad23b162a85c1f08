"""What the gateway writes to Kafka, and when it is known to be there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from streams.gateway.problems import unconfirmed

POST_S: Final = 10.0
"""How long Kafka may take to have an input, before whoever sent it is told to try again."""


@asynccontextmanager
async def confirmed() -> AsyncIterator[None]:
    """Hold a write for as long as whoever asked for it can wait.

    Raises:
        Problem: Kafka has not confirmed it in time.
    """
    try:
        async with asyncio.timeout(POST_S):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise unconfirmed() from error
