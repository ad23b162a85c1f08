"""Operators' acts, as commands write them to the topic by which they enter."""

from schemas.envelope import Envelope
from streams.client.client import Client
from topics.catalog import OPERATOR_INPUTS
from topics.routing import key_of


async def write_act(client: Client, event: Envelope) -> None:
    """Append an act that names what it is about itself, and wait until Kafka has it."""
    await client.append(
        OPERATOR_INPUTS,
        client.codec.encode(OPERATOR_INPUTS, event),
        key=key_of(OPERATOR_INPUTS, event),
        headers=client.codec.headers(OPERATOR_INPUTS, event),
    )
