"""Who may run next: tenants in turn, so many at a time, and a queue that has an end.

A run takes a place while it works. One that sleeps and holds little memory gives its place to whoever waits:
else a few sleepers would keep everybody out for as long as their timeouts allow. It goes on when it wakes, so
that for a moment more may work than there are places.
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
    is_asleep: bool = False


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

    def sleeps(self, place: Place, is_asleep: bool) -> None:
        """Note whether the run of `place` does nothing at the moment."""
        place.is_asleep = is_asleep
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
        """Give free places away, one to each tenant in turn."""
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
