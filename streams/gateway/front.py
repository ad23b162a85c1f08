"""What all routes of a gateway share."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final

from streams.configuration.approvers import ApproverKey
from streams.gateway.access import Principal, Purpose, TokenBook
from streams.gateway.bounds import Bounds
from streams.gateway.door import Door, Owner
from streams.gateway.feed import Feed
from streams.gateway.following import Following
from streams.gateway.frames import Cursor, Frame
from streams.gateway.models import ModelBook
from streams.gateway.problems import Problem
from streams.records.reader import RecordReader

GOOD_EVERY_S: Final = 1.0
"""How often a connection that lasts looks whether its token is still good."""


class NoLongerGood(Exception):
    """The token was revoked, or expired, while its connection was open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The parts of one gateway."""

    door: Door
    feed: Feed
    book: TokenBook
    bounds: Bounds
    prefix: str
    """Of the topics."""
    version: str
    count_tokens: Callable[[str], int]
    """Of an answer, for OpenAI's clients."""
    models: ModelBook
    agents: tuple[str, ...]
    """Names of those that can be asked by themselves."""
    reader: RecordReader
    """Of single records that answers name."""
    approver_key: ApproverKey | None
    """Signs what tokens with the scope approve decide; None: this gateway takes no decisions."""

    def ticket(self, bearer: Principal, session_id: str) -> str:
        """Return a ticket to a session's WebSocket.

        Raises:
            Problem: the token was revoked meanwhile.
        """
        try:
            return self.book.issue(Purpose.TICKET, bearer.token_id, session_id)
        except KeyError as error:
            raise Problem(401, "this token was revoked", code="invalid_api_key") from error

    def calls_session(self, bearer: Principal, day: int) -> str:
        """Return the session that holds the bearer's single model calls of a day since 1970.

        Raises:
            Problem: the token was revoked meanwhile.
        """
        try:
            return self.book.calls_session(bearer.token_id, day)
        except KeyError as error:
            raise Problem(401, "this token was revoked", code="invalid_api_key") from error

    def following(self, owner: Owner, session_id: str) -> Following:
        """Return a new follower of a session."""
        return Following(self.door, self.feed, owner, session_id)

    async def frames(
        self, bearer: Principal, owner: Owner, session_id: str, cursor: Cursor | None
    ) -> AsyncGenerator[Frame, None]:
        """Tell of a session as long as the bearer's token is good.

        Raises:
            NoLongerGood: it is not any more.
            FollowerTooSlow: the follower takes less than is told.
            Problem: Kafka or Postgres is away.
        """
        told = self.following(owner, session_id).frames(cursor)
        try:
            while True:
                waiting = asyncio.ensure_future(anext(told))
                try:
                    while not waiting.done():
                        await asyncio.wait({waiting}, timeout=GOOD_EVERY_S)
                        if self.book.holder(bearer.token_id) is None:
                            raise NoLongerGood
                    frame = waiting.result()
                finally:
                    if not waiting.done():
                        waiting.cancel()
                        await asyncio.gather(waiting, return_exceptions=True)
                yield frame
        finally:
            await told.aclose()
