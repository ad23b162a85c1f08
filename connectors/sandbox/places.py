"""Who may run next: tenants in turn, so many at a time, and a queue that has an end.

A run takes a place while it works. One that sleeps gives its place to whoever waits, as long as the memory of
all sleepers stays within bounds: else a few of them would keep everybody out for as long as their timeouts
allow. It goes on when it wakes, so that for a moment more may work than there are places.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from connectors.sandbox.errors import SandboxBusy


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many runs go on, and how many wait."""

    working: int
    """Of one tenant, at a time."""
    reserve: int
    """Further ones, for other tenants."""
    asleep: int
    """Beside those that work; of one tenant at most three quarters of it."""
    asleep_bytes: int
    """Memory of all that sleep together; of one tenant at most three quarters of it."""
    waiting: int
    """Of one tenant; of all together four times as many."""
    wait_s: float
    """Who has waited so long is told that the sandbox is busy."""

    @property
    def runs(self) -> int:
        """All that may exist at one time."""
        return self.working + self.reserve + self.asleep


@dataclass(eq=False, slots=True)
class Place:
    """One run's place."""

    tenant: str
    granted: asyncio.Future[None]
    idle_bytes: int | None = None
    """The memory of a run that does nothing; None while it works."""
    is_asleep: bool = False
    """Whether it has given its place away."""


class Places:
    """Gives out places; used from one event loop."""

    def __init__(self, capacity: Capacity) -> None:
        """Begin with all places free."""
        self._capacity = capacity
        self._held: set[Place] = set()
        # In the order in which tenants are served; whoever was served goes to the end.
        self._waiting: OrderedDict[str, deque[Place]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def take(self, tenant: str) -> AsyncIterator[Place]:
        """Wait for a place and hold it.

        Raises:
            SandboxBusy: too many wait already, or it took too long.
        """
        place = Place(tenant, asyncio.get_running_loop().create_future())
        queue = self._waiting.get(tenant, deque())
        total = sum(map(len, self._waiting.values()))
        if len(queue) >= self._capacity.waiting or total >= 4 * self._capacity.waiting:
            raise SandboxBusy(
                f"the sandbox is busy: {total} runs are waiting, {len(queue)} of them of this tenant"
            )
        self._waiting.setdefault(tenant, queue).append(place)
        self._serve()
        try:
            async with asyncio.timeout(self._capacity.wait_s):
                await place.granted
        except TimeoutError as error:
            raise SandboxBusy(
                f"the sandbox is busy: no place was free for {self._capacity.wait_s:.0f} s"
            ) from error
        else:
            yield place
        finally:
            self._leave(place)

    def note_idle(self, place: Place, held_bytes: int | None) -> None:
        """Note how much memory the run of `place` holds while it does nothing; None if it works."""
        place.idle_bytes = held_bytes
        place.is_asleep = False
        self._serve()

    def _leave(self, place: Place) -> None:
        self._held.discard(place)
        queue = self._waiting.get(place.tenant, deque())
        if place in queue:
            queue.remove(place)
        if not queue:
            self._waiting.pop(place.tenant, None)
        self._serve()

    def _serve(self) -> None:
        """Let sleep who may, and give free places away, one to each tenant in turn."""
        idle = [place for place in self._held if place.idle_bytes is not None and not place.is_asleep]
        for place in sorted(idle, key=_idle_bytes):
            place.is_asleep = self._may_sleep(place)
        served = True
        while served:
            served = False
            for tenant in list(self._waiting):
                if self._waiting[tenant] and self._has_room(tenant):
                    place = self._waiting[tenant].popleft()
                    self._held.add(place)
                    self._waiting.move_to_end(tenant)
                    if not self._waiting[tenant]:
                        del self._waiting[tenant]
                    if not place.granted.done():
                        place.granted.set_result(None)
                    served = True

    def _may_sleep(self, place: Place) -> bool:
        asleep = [other for other in self._held if other.is_asleep]
        total = sum(map(_idle_bytes, (place, *asleep)))
        own = sum(map(_idle_bytes, (place, *(other for other in asleep if other.tenant == place.tenant))))
        return total <= self._capacity.asleep_bytes and own <= self._capacity.asleep_bytes * 3 // 4

    def _has_room(self, tenant: str) -> bool:
        capacity = self._capacity
        working = Counter(place.tenant for place in self._held if not place.is_asleep)
        own = sum(place.tenant == tenant for place in self._held)
        return (
            len(self._held) < capacity.runs
            and working.total() < capacity.working + capacity.reserve
            and working[tenant] < capacity.working
            and own < capacity.working + capacity.asleep * 3 // 4
        )


def _idle_bytes(place: Place) -> int:
    return place.idle_bytes or 0
