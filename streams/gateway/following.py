"""Following a session: what was told since a cursor, then what is told from now on; each once, in order.

What was told stands in Postgres; what the sink has not read yet comes by the feed, which is joined first: the
sink is awaited up to where the session's topic ended then, so that nothing lies between. Pieces of an answer
that is being written are read again from their topic; those of answers that were given are not, since the
answer has it all.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.deltas import ModelDeltaReceived
from schemas.frozen import replace
from sinks import conversations
from streams.client.client import Received
from streams.gateway import frames
from streams.gateway.door import Door, Owner
from streams.gateway.feed import Feed, FeedInterrupted, Subscription
from streams.gateway.frames import Cursor, Frame
from streams.gateway.problems import away
from topics.catalog import SESSION_DELTAS, SESSION_OUTPUTS

SINK_S: Final = 30.0
"""How long the sink may be behind before a follower is told to come again."""
_PAGE: Final = 500
_CLOCKS: Final = timedelta(seconds=2)
"""Workers' clocks differ by less than this."""


class Following:
    """One follower of one session."""

    def __init__(self, door: Door, feed: Feed, owner: Owner, session_id: str) -> None:
        """Note whom and what it follows."""
        self._door = door
        self._feed = feed
        self._owner = owner
        self._session_id = session_id
        self._cursor = Cursor()
        self._turn: tuple[str, datetime] | None = None
        """Root task and beginning of the turn that is under way."""

    async def frames(self, cursor: Cursor | None) -> AsyncGenerator[Frame, None]:
        """Tell all after a cursor, without end.

        Args:
            cursor: of the last frame that the follower has; None: all from the beginning.

        Raises:
            FollowerTooSlow: it takes less than is told.
            Problem: Kafka or Postgres is away, or the sink is far behind.
        """
        self._cursor = cursor or Cursor()
        while True:
            with self._feed.subscribed(self._session_id) as told:
                try:
                    await self._ready()
                    async for frame in self._caught_up():
                        yield frame
                    async for frame in self.live(told):
                        yield frame
                except FeedInterrupted:
                    continue

    async def live(self, told: Subscription) -> AsyncGenerator[Frame, None]:
        """Tell what a subscription brings, without end.

        Raises:
            FollowerTooSlow: the follower takes less than is told.
            FeedInterrupted: records may have been missed.
        """
        while True:
            frame = self._next(await told.next())
            if frame is not None:
                yield frame

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(SINK_S):
                await self._feed.ready.wait()
        except TimeoutError as error:
            raise away("Kafka") from error

    async def _caught_up(self) -> AsyncIterator[Frame]:
        await self._await_sink()
        session_id = UUID(self._session_id)
        async with self._door.database(self._owner) as connection:
            turn = await conversations.turn_at(connection, session_id, self._cursor.sequence)
        self._turn = turn
        more = True
        while more:
            async with self._door.database(self._owner) as connection:
                page = await conversations.outputs_after(connection, session_id, self._cursor.sequence, _PAGE)
            for event in page:
                task_id = str(event.body.get("task_id", ""))
                frame = frames.of_output(
                    self._session_id, event.type, event.sequence, event.body, event.occurred_at
                )
                self._pass(event.type, event.sequence, task_id, event.occurred_at)
                if frame is not None:
                    yield replace(frame, cursor=self._cursor)
            more = len(page) == _PAGE
        if self._turn is not None:
            async for frame in self._pieces(self._turn[1] - _CLOCKS):
                yield frame

    async def _await_sink(self) -> None:
        try:
            async with asyncio.timeout(SINK_S):
                await self._door.read_up(SESSION_OUTPUTS, self._session_id)
        except TimeoutError as error:
            raise away("the log's copy in Postgres") from error
        except (KafkaError, OSError) as error:
            raise away("Kafka") from error

    async def _pieces(self, since: datetime) -> AsyncIterator[Frame]:
        """Tell what there is of the answer that is being written."""
        since_ms = round(since.timestamp() * 1_000)
        key = self._session_id.encode()
        try:
            async with aclosing(self._door.client.read_since(SESSION_DELTAS, key, since_ms)) as pieces:
                async for received in pieces:
                    frame = self._next(received)
                    if frame is not None:
                        yield frame
        except (KafkaError, OSError) as error:
            raise away("Kafka") from error

    def _next(self, received: Received) -> Frame | None:
        """Return what a record tells the follower; None: nothing, or nothing new, or it is another's."""
        event = received.event
        if event is None or event.session_id != self._session_id:
            return None
        body = event.body
        if isinstance(body, RecordRejected):
            mine = (event.tenant_id, event.user_id) == (self._owner.tenant, self._owner.user)
            return frames.of_rejection(event, body, self._cursor) if mine else None
        if isinstance(body, ModelDeltaReceived):
            return self._piece(event, body)
        if received.topic is not SESSION_OUTPUTS or event.sequence <= self._cursor.sequence:
            return None
        frame = frames.of_event(event)
        task_id = str(getattr(body, "task_id", ""))
        self._pass(event.type, event.sequence, task_id, frames.moment_of(event))
        return None if frame is None else replace(frame, cursor=self._cursor)

    def _piece(self, event: Envelope, delta: ModelDeltaReceived) -> Frame | None:
        # Pieces may come behind the answer that has them all, for they are on a topic of their own.
        if self._turn is None or self._turn[0] != delta.task_id or self._cursor.has_passed(delta):
            return None
        frame = frames.of_delta(event, delta, self._cursor.sequence)
        if frame is not None:
            self._cursor = frame.cursor
        return frame

    def _pass(self, kind: str, sequence: int, task_id: str, at: datetime) -> None:
        """Move behind an output."""
        if kind in conversations.TURN_ENDS or kind == conversations.TURN_BEGINS:
            self._turn = (task_id, at) if kind == conversations.TURN_BEGINS else None
            self._cursor = Cursor(sequence=sequence)
        else:
            # The last piece stays known: after an interruption its topic is read again from before it.
            self._cursor = replace(self._cursor, sequence=sequence)
