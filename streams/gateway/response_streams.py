"""The streams of responses, and how long somebody waits for them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from sse_starlette import ServerSentEvent

from schemas.frozen import replace
from streams.gateway.problems import Problem
from streams.gateway.response_calls import CallAnswering
from streams.gateway.response_events import DELTA, ENDS, Event, answer_restarted
from streams.gateway.response_turns import TurnAnswering

CANCEL_S: Final = 10.0
Answering = CallAnswering | TurnAnswering


async def until_end(answering: Answering) -> None:
    """Wait until a response has ended, or waits for a person."""
    async with aclosing(answering.events()) as events:
        async for event in events:
            if event.name in ENDS:
                return


async def until_cancelled(answering: Answering) -> None:
    """Wait until a response has ended, but not for long: a call that was sent may take a while to stop."""
    try:
        async with asyncio.timeout(CANCEL_S), aclosing(answering.events()) as events:
            async for event in events:
                if event.name in ENDS and not answering.telling.is_waiting:
                    return
    except TimeoutError:
        return
    finally:
        answering.close()


async def sent(
    answering: Answering, events: AsyncGenerator[Event, None], after: int
) -> AsyncGenerator[ServerSentEvent, None]:
    """Send the events behind a number, up to the first that ends the response.

    Text of an attempt that failed, which may have been told up to the number, is not gone on with by that of
    another one.
    """
    try:
        restarted = after >= 0 and await answering.was_restarted()
        is_text = False
        async with aclosing(events):
            async for event in events:
                if event.number > after:
                    if restarted and is_text and event.name == DELTA:
                        raise answer_restarted()
                    yield event.sent()
                    if event.name in ENDS:
                        return
                    continue
                is_text = is_text or event.name == DELTA
                if event.name == "response.failed":
                    # What was told of the text before it failed is not told again, and counts fewer events.
                    yield replace(event, number=after + 1).sent()
                    return
    except Problem as problem:
        yield answering.telling.fault(problem).sent()
    finally:
        answering.close()
