"""Watches what schedules began: once Postgres knows of its end, the schedule is told.

What is told stands on the log, so that a schedule is decided without Postgres; while that is away nothing
ends, and what may not overlap is skipped. Each process with the shell looks; a repeat changes nothing.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from schemas.envelope import Envelope
from schemas.events.schedules import FiringOutcome, FiringSeen
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from sinks.schedules import SeenEnd, ended_firings
from streams.records.delivery import Log, outgoing
from topics.shells import SCHEDULE

LOOK_S: Final = 2.0
AGAIN_S: Final = 60.0
"""A schedule is told again if Postgres does not say so long that it knows."""
WAIT_S: Final = 5.0
ENDS_MAX: Final = 200
DETAIL_CHARACTERS_MAX: Final = 500
_TOLD_MAX: Final = 10_000

_log = structlog.get_logger()


class Owned(Protocol):
    """The shell to which what is seen is told."""

    def is_owner(self) -> bool:
        """Tell whether partitions are owned now."""
        ...


class FiringWatch:
    """Looks for one process."""

    def __init__(
        self,
        shell: Owned,
        log: Log,
        codec: Codec,
        pool: AsyncConnectionPool[AsyncConnection],
        now_ms: Callable[[], int],
    ) -> None:
        """Take the shell, what is written to, and the pool, which its owner opens and closes."""
        self._shell = shell
        self._log = log
        self._codec = codec
        self._pool = pool
        self._now_ms = now_ms
        self._told_at_ms: OrderedDict[str, int] = OrderedDict()

    async def run(self) -> None:
        """Look for ever; ends by cancellation alone."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._shell.is_owner():
                await self.look()

    async def look(self) -> int:
        """Tell schedules of what has ended; returns how many were told something."""
        try:
            async with asyncio.timeout(WAIT_S), self._pool.connection(WAIT_S) as connection:
                ends = await ended_firings(connection, ENDS_MAX)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            _log.warning("firings_not_watched", reason=repr(error)[:300])
            return 0
        events = [seen(one, self._now_ms()) for one in ends]
        new = [one for one in events if self._is_new(one)]
        if new and self._shell.is_owner():
            await self._log.publish([outgoing(self._codec, one) for one in new])
        return len(new)

    def _is_new(self, event: Envelope) -> bool:
        now_ms = self._now_ms()
        if now_ms - self._told_at_ms.get(event.event_id, 0) < AGAIN_S * 1_000:
            return False
        self._told_at_ms[event.event_id] = now_ms
        self._told_at_ms.move_to_end(event.event_id)
        while len(self._told_at_ms) > _TOLD_MAX:
            self._told_at_ms.popitem(last=False)
        return True


def seen(end: SeenEnd, now_ms: int) -> Envelope:
    """Return what a schedule is told of an end; the same end has the same id."""
    match end.type:
        case "AnswerGiven":
            outcome = FiringOutcome.ANSWERED if end.complete else FiringOutcome.INCOMPLETE
        case "ErrorReported":
            outcome = FiringOutcome.FAILED
        case "RecordRejected":
            outcome = FiringOutcome.REFUSED
        case _:
            outcome = FiringOutcome.ENDED
    detail = end.session_status if end.type is None else end.detail
    if outcome is FiringOutcome.ANSWERED:
        detail = ""
    fact = FiringSeen(
        firing_id=str(end.firing_id), outcome=outcome, detail=(detail or "")[:DETAIL_CHARACTERS_MAX]
    )
    return Envelope(
        event_id=derived_id(str(end.firing_id), "seen", str(end.event_id), outcome),
        type=FiringSeen.__name__,
        session_id=str(end.schedule_id),
        tenant_id=end.tenant_id,
        user_id=end.user_id,
        causation_id=None if end.event_id is None else str(end.event_id),
        occurred_at_ms=now_ms,
        producer=SCHEDULE,
        body=fact,
    )
