"""The ticker: turns timers that sit in states into events, of sessions TimerFired, when they come due.

A timer stays in its state until the decider clears it, so it is durable; here is only the order in which
keys come due. One that fires is published at most once while the partition stays; after that its event id,
made from the timer's id, lets readers drop the repeat.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from processors.decider import Timer
from schemas.envelope import Envelope, Fact
from schemas.events.timers import TimerFired
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from streams.process import failpoints
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Log, Outgoing, OwnershipLost, outgoing

KEYS_MAX: Final = 500
"""Keys whose timers are published together."""
_POLL_S: Final = 1.0
"""The longest sleep; a timer that is set in the meantime wakes the ticker earlier."""


class Timed(Protocol):
    """The shell whose timers are watched."""

    def is_owner(self) -> bool:
        """Tell whether partitions are owned now."""
        ...

    async def timers_of(self, key: bytes) -> tuple[tuple[Timer, ...], str, str]:
        """Return a key's timers, its tenant and its user."""
        ...

    async def retire(self, keys: Sequence[bytes]) -> None:
        """Let those of the keys leave that ended long ago."""
        ...


def timer_fired(timer: Timer) -> Fact:
    """Return what a session is told when a timer of its comes due."""
    return TimerFired(timer_id=timer.timer_id, kind=timer.kind, due_at_ms=timer.due_at_ms)


class Ticker:
    """Watches the timers of one shell."""

    def __init__(
        self,
        shell: Timed,
        *,
        name: str,
        codec: Codec,
        log: Log,
        now_ms: Callable[[], int],
        metrics: ShellMetrics,
        told_as: Callable[[Timer], Fact] = timer_fired,
    ) -> None:
        """Take the shell and its surroundings; `told_as` makes the fact that tells of a timer."""
        self._shell = shell
        self._name = name
        self._codec = codec
        self._log = log
        self._now_ms = now_ms
        self._metrics = metrics
        self._told_as = told_as
        self._heap: list[tuple[int, bytes]] = []
        # By key, the earliest of its times in the heap; a later one is noted when that has come.
        self._noted: dict[bytes, int] = {}
        self._fired: dict[bytes, set[str]] = {}
        self._earlier = asyncio.Event()
        self._lock = asyncio.Lock()

    def begin(self, due: Iterable[tuple[int, bytes]]) -> None:
        """Begin anew with the keys that wait: when each is due, and the key."""
        self._heap = list(due)
        heapq.heapify(self._heap)
        self._noted = {key: due_at_ms for due_at_ms, key in self._heap}
        self._fired.clear()
        self._earlier.set()

    def note(self, due_at_ms: int, key: bytes) -> None:
        """Take a key's newest due time; one that is later than what is noted waits until that has come."""
        if self._noted.get(key, due_at_ms + 1) <= due_at_ms:
            return
        self._noted[key] = due_at_ms
        if not self._heap or due_at_ms < self._heap[0][0]:
            self._earlier.set()
        heapq.heappush(self._heap, (due_at_ms, key))

    async def settle(self) -> None:
        """Wait until no publishing is on its way."""
        async with self._lock:
            return

    async def run(self) -> None:
        """Fire for ever; ends by cancellation alone."""
        while True:
            wait_s = (self._heap[0][0] - self._now_ms()) / 1_000 if self._heap else _POLL_S
            if wait_s > 0 or not self._shell.is_owner():
                self._earlier.clear()
                try:
                    await asyncio.wait_for(self._earlier.wait(), min(max(wait_s, 0.05), _POLL_S))
                except TimeoutError:
                    continue
                continue
            try:
                await self.fire_due()
            except OwnershipLost:
                continue

    async def fire_due(self) -> None:
        """Publish the timers that are due now.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
        """
        async with self._lock:
            now_ms = self._now_ms()
            keys: dict[bytes, None] = {}
            while self._heap and self._heap[0][0] <= now_ms and len(keys) < KEYS_MAX:
                due_at_ms, key = heapq.heappop(self._heap)
                if self._noted.get(key) == due_at_ms:
                    del self._noted[key]
                    keys[key] = None
            records: list[Outgoing] = []
            without: list[bytes] = []
            for key in keys:
                timers, tenant_id, user_id = await self._shell.timers_of(key)
                if timers:
                    records += self._due_of(key, timers, tenant_id, user_id, now_ms)
                else:
                    self._fired.pop(key, None)
                    without.append(key)
            if without:
                await self._shell.retire(without)
            if records:
                await self._log.publish(records)
                failpoints.reach("timer_published")

    def _due_of(
        self, key: bytes, timers: Sequence[Timer], tenant_id: str, user_id: str, now_ms: int
    ) -> list[Outgoing]:
        waiting = {timer.timer_id for timer in timers}
        fired = self._fired.setdefault(key, set())
        fired &= waiting
        later = [timer.due_at_ms for timer in timers if timer.due_at_ms > now_ms]
        if later:
            self.note(min(later), key)
        records = []
        for timer in timers:
            if timer.due_at_ms <= now_ms and timer.timer_id not in fired:
                fired.add(timer.timer_id)
                self._metrics.timer_fired(timer.kind)
                event = self._event(key, timer, tenant_id, user_id, now_ms)
                records.append(outgoing(self._codec, event))
        return records

    def _event(self, key: bytes, timer: Timer, tenant_id: str, user_id: str, now_ms: int) -> Envelope:
        fact = self._told_as(timer)
        return Envelope(
            event_id=derived_id(timer.timer_id, "fired"),
            type=type(fact).__name__,
            session_id=key.decode(),
            tenant_id=tenant_id or "default",
            user_id=user_id or "anonymous",
            occurred_at_ms=now_ms,
            producer=self._name,
            body=fact,
        )
