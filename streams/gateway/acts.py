"""Operators' acts that are about no session, as requests ask for them."""

import asyncio

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from streams.gateway.door import POST_S
from streams.gateway.front import Front
from streams.gateway.problems import unconfirmed
from topics.catalog import OPERATOR_INPUTS
from topics.routing import key_of


async def post_act(front: Front, event: Envelope) -> None:
    """Write an act to the topic by which acts enter, and wait until Kafka has it.

    Raises:
        Problem: Kafka has not confirmed it in time.
    """
    client = front.door.client
    try:
        async with asyncio.timeout(POST_S):
            await client.append(
                OPERATOR_INPUTS,
                client.codec.encode(OPERATOR_INPUTS, event),
                key=key_of(OPERATOR_INPUTS, event),
                headers=client.codec.headers(OPERATOR_INPUTS, event),
            )
    except (KafkaError, OSError, TimeoutError) as error:
        raise unconfirmed() from error
