"""One reader for all who follow sessions at this gateway.

A consumer for each client would cost Kafka more than the clients do. So one reader without a group reads what
all sessions tell, looks at the keys alone, and gives what is wanted to whoever wants it, each with a queue of
its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Final

import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from streams.client.client import Client, Received
from streams.gateway.access import TokenBook
from topics.catalog import ACCESS_TOKENS, CLIENT_ANSWERS, DEAD_LETTERS, SESSION_DELTAS, SESSION_OUTPUTS

_log = structlog.get_logger()
QUEUE_MAX: Final = 2_000
"""Records that wait for one client; who falls behind further is too slow."""
_RETRY_S: Final = 1.0


class FollowerTooSlow(Exception):
    """A client takes less than its session tells."""


class FeedInterrupted(Exception):
    """Kafka was away, and records may have been missed: what was told since has to be looked up."""


class Subscription:
    """What is told of one session from now on."""

    def __init__(self, about: str | None = None) -> None:
        """Hold nothing yet; with `about`, only what belongs to that input is of interest."""
        self._about = about
        self._queue: asyncio.Queue[Received | Exception] = asyncio.Queue()

    def put(self, received: Received) -> None:
        """Add a record; beyond the bound the follower is told that it is too slow, and gets no more."""
        if self._about is not None and (
            received.event is None or received.event.correlation_id != self._about
        ):
            return
        if self._queue.qsize() < QUEUE_MAX:
            self._queue.put_nowait(received)
        elif self._queue.qsize() == QUEUE_MAX:
            self._queue.put_nowait(FollowerTooSlow())

    def interrupt(self) -> None:
        """Tell that records may have been missed."""
        self._queue.put_nowait(FeedInterrupted())

    async def next(self) -> Received:
        """Wait for the next record.

        Raises:
            FollowerTooSlow: more waited than may.
            FeedInterrupted: what comes next may not be what follows.
        """
        told = await self._queue.get()
        if isinstance(told, Exception):
            raise told
        return told


class Feed:
    """What sessions tell, from the time at which it runs."""

    def __init__(self, client: Client) -> None:
        """Follow nothing yet."""
        self._client = client
        self._followers: dict[bytes, set[Subscription]] = defaultdict(set)
        self.ready = asyncio.Event()
        """Set as long as nothing that is written can be missed."""

    @contextmanager
    def subscribed(self, session_id: str, *, about: str | None = None) -> Iterator[Subscription]:
        """Follow a session within the block, or of all that it tells what an input causes."""
        key = session_id.encode()
        subscription = Subscription(about)
        self._followers[key].add(subscription)
        try:
            yield subscription
        finally:
            self._followers[key].discard(subscription)
            if not self._followers[key]:
                del self._followers[key]

    @property
    def followers(self) -> int:
        """Return how many follow."""
        return sum(map(len, self._followers.values()))

    def follows(self, session_id: str) -> bool:
        """Tell whether anybody follows a session here."""
        return session_id.encode() in self._followers

    async def run(self) -> None:
        """Read without end; where Kafka is away, try again."""
        while True:
            try:
                await self._read()
            except (KafkaError, OSError) as error:
                _log.warning("feed_interrupted", reason=repr(error), retry_s=_RETRY_S)
            self.ready.clear()
            for followers in self._followers.values():
                for subscription in followers:
                    subscription.interrupt()
            await asyncio.sleep(_RETRY_S)

    async def _read(self) -> None:
        topics = (SESSION_OUTPUTS, CLIENT_ANSWERS, SESSION_DELTAS, DEAD_LETTERS)
        wanted = self._followers.__contains__
        async with aclosing(self._client.read(topics, ready=self.ready, wanted=wanted)) as records:
            async for received in records:
                for subscription in self._followers.get(received.key or b"", ()):
                    subscription.put(received)


async def keep_tokens(client: Client, book: TokenBook, known: asyncio.Event) -> None:
    """Read all tokens, and every one that is made or revoked from then on, without end.

    Args:
        known: set once all that were there are in the book.
    """
    while True:
        try:
            async with aclosing(tokens_read(client, book)) as reading:
                async for all_there in reading:
                    if all_there:
                        known.set()
        except (KafkaError, OSError) as error:
            _log.warning("tokens_interrupted", reason=repr(error), retry_s=_RETRY_S)
        await asyncio.sleep(_RETRY_S)


async def tokens_read(client: Client, book: TokenBook) -> AsyncGenerator[bool, None]:
    """Read tokens into a book, without end; tells at each step whether all that were there are in it."""
    _, end = await client.end_of(ACCESS_TOKENS, b"")
    if end == 0:
        yield True
    async with aclosing(client.read((ACCESS_TOKENS,), from_beginning=True)) as records:
        async for received in records:
            if received.event is not None:
                book.apply(received.event)
            yield received.offset + 1 >= end
