"""Retirement: when a key that ended leaves its shell's table, and what becomes of inputs that come later."""

from collections.abc import Callable, Container, Sequence
from typing import Final, Generic, TypeVar

import structlog

from processors.decider import Decider
from schemas.envelope import Envelope
from schemas.events.client_calls import ClientCallReceived
from schemas.events.inputs import InputFact
from streams.process import failpoints
from streams.records.delivery import Delivery, Entry, Log
from streams.records.intake import RecordRefused
from streams.stateful.departures import Departures
from streams.stateful.loaded import Loaded
from streams.stateful.stored_record import DUE_AT_MS_MAX, NEVER

State = TypeVar("State")
_log = structlog.get_logger()

TOGETHER_MS: Final = 60_000
"""Keys leave together at whole multiples of this, and so share a record's writing."""
RETRY_MS: Final = 5_000
"""When a key that may not leave yet is looked at again."""


class Retirement(Generic[State]):
    """Of one shell's keys."""

    def __init__(
        self,
        decider: Decider[State],
        log: Log,
        *,
        name: str,
        retention_ms: int | None,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the decider, what is written to, how long ended keys stay (None: for ever), and the clock."""
        self._name = name
        self.departures = Departures()
        self._decider = decider
        self._out = log
        self._retention_ms = retention_ms
        self._now_ms = now_ms

    def due_at_ms(self, state: State) -> int:
        """Return when a key in this state leaves, a little late so that many leave together, or NEVER."""
        ended_at_ms = self._decider.ended_at_ms(state)
        if ended_at_ms is None or self._retention_ms is None:
            return NEVER
        together_ms = max(1, min(TOGETHER_MS, self._retention_ms // 10))
        return -(-(ended_at_ms + self._retention_ms) // together_ms) * together_ms

    def next_at_ms(self, state: State) -> int:
        """Return when something of a key in this state comes due: its earliest timer, else that it leaves."""
        timers = self._decider.timers(state)
        if not timers:
            return self.due_at_ms(state)
        return min(max(min(timer.due_at_ms for timer in timers), 0), DUE_AT_MS_MAX)

    def leaves_at_ms(self, loaded: Loaded[State]) -> int:
        """Return when a key leaves as things stand, at the earliest; NEVER: not unless something happens."""
        due_at_ms = NEVER if loaded.stored.parked else self.due_at_ms(loaded.state)
        if due_at_ms == NEVER or due_at_ms > self._now_ms():
            return due_at_ms
        if self.departures.may_leave(loaded.stored.positions, loaded.partition):
            return due_at_ms
        # Inputs that came before this key's last ones are still on their way to other keys.
        return self._now_ms() + RETRY_MS

    async def write(self, leaving: Sequence[Loaded[State]], check: Callable[[], None]) -> None:
        """Take keys out of the table, once it is durable that they were there.

        Raises:
            OwnershipLost: `check` says that the partitions were revoked in the meantime.
        """
        known = self.departures.leave([(one.key, one.partition, one.stored.positions) for one in leaving])
        await self._out.store(known)
        check()
        failpoints.reach("departures_stored")
        await self._out.store([Entry(key=one.key, value=None, partition=one.partition) for one in leaving])
        check()
        _log.info("keys_left", shell=self._name, keys=len(leaving))

    def fate_of(self, delivery: Delivery, event: Envelope, table: Container[bytes]) -> str | None:
        """Tell what becomes of an input for a key that may have left the table.

        Returns:
            `replayed`: applied before the key left. `dropped`: a timer or an outcome that is told again;
            the key left when its last bill was known. None: the key is there, or new.

        Raises:
            RecordRefused: somebody asks for something of a key that has left.
        """
        key = delivery.key
        is_past = self.departures.is_past(delivery)
        # The table is asked last: it may be on disk.
        if key is None or not (is_past or self.departures.has_left(key)) or key in table:
            return None
        if is_past:
            return "replayed"
        if isinstance(event.body, InputFact | ClientCallReceived):
            raise RecordRefused("ended", "the session ended long ago; begin another", event)
        return "dropped"
