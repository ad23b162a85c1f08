"""Clients that go away before they are answered: their places are for others."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from streams.gateway.problems import Problem

T = TypeVar("T")


async def unless_gone(request: Request, answer: Coroutine[Any, Any, T]) -> T:  # Any: as coroutines have them
    """Wait for an answer as long as its client does; what it waits for on the log goes on.

    Args:
        request: whose body was read.
        answer: what makes the answer.

    Raises:
        Problem: the client has gone away, so that nobody reads this.
    """
    answering = asyncio.ensure_future(answer)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise Problem(408, "the client has gone away", code="client_gone")
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
