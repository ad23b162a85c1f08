"""Sessions from outside: messages to `user.inputs`, answers from `session.outputs`."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven
from streams.client.client import Client
from streams.process.settings import Settings
from tests.benchmarks.peers.agents import QUESTION
from topics.catalog import SESSION_OUTPUTS

ANSWER_S: Final = 120.0


class Driver:
    """Asks questions, and waits for each to be answered."""

    def __init__(self, client: Client) -> None:
        """Take the connection; `driver` makes it."""
        self._client = client
        self._waiting: dict[str, asyncio.Future[None]] = {}

    async def run(self, sessions: int, concurrency: int) -> list[float]:
        """Hold so many sessions of one message each; returns how long each took, in ms."""
        places = asyncio.Semaphore(concurrency)

        async def one() -> float:
            async with places:
                return await self._session()

        return await asyncio.gather(*[one() for _ in range(sessions)])

    async def listen(self, ready: asyncio.Event) -> None:
        """Take answers as they come; ends by cancellation alone."""
        async with aclosing(self._client.read([SESSION_OUTPUTS], ready=ready)) as records:
            async for received in records:
                body = received.event.body if received.event else None
                if isinstance(body, AnswerGiven):
                    assert body.complete, f"an answer is not complete: {body.reason}"
                    waiting = self._waiting.pop(body.input_id, None)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(None)

    async def _session(self) -> float:
        message = Envelope(
            event_id=str(uuid.uuid4()), session_id=str(uuid.uuid4()), body=MessageReceived(text=QUESTION)
        )
        answered = asyncio.get_running_loop().create_future()
        self._waiting[message.event_id] = answered
        began = time.perf_counter()
        await self._client.post(message)
        async with asyncio.timeout(ANSWER_S):
            await answered
        return (time.perf_counter() - began) * 1_000


@asynccontextmanager
async def driver(settings: Settings) -> AsyncIterator[Driver]:
    """Connect, and listen as long as it is entered."""
    async with Client(settings) as client:
        one = Driver(client)
        ready = asyncio.Event()
        listening = asyncio.create_task(one.listen(ready))
        try:
            await asyncio.wait_for(ready.wait(), ANSWER_S)
            yield one
            assert not listening.done(), "the listener has ended"
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
