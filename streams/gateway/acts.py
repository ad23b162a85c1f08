"""Operators' acts that are about no session, as requests ask for them."""

from collections.abc import Callable

from processors.inputs import InputInvalid
from schemas.envelope import Envelope
from streams.gateway.front import Front
from streams.gateway.posting import confirmed
from streams.gateway.problems import Problem
from topics.catalog import OPERATOR_INPUTS

Check = Callable[..., Envelope]
"""Takes the event and `taken_at_ms`; raises InputInvalid, as whoever lets the act in would."""


async def post_act(front: Front, event: Envelope, check: Check) -> None:
    """Write an act to the topic by which acts enter, and wait until Kafka has it.

    Raises:
        Problem: it would not be taken in, or Kafka has not confirmed it in time.
    """
    try:
        check(event, taken_at_ms=0)
    except InputInvalid as error:
        raise Problem(422, str(error), code="invalid_input") from error
    async with confirmed():
        await front.door.client.write(OPERATOR_INPUTS, event)
