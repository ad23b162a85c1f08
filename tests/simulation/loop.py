"""An event loop without an outside: virtual time, no waiting, and it returns when nothing more can run."""

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import TypeVar, cast

T = TypeVar("T")


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs what is ready, in order; time passes only when it is told to."""

    def __init__(self, now_ms: int) -> None:
        """Begin at a time, in milliseconds."""
        self.now_ms = now_ms
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0

    def drain(self) -> None:
        """Run until everything waits for something outside."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            self._wake()
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            events._set_running_loop(before)

    def next_timer_ms(self) -> int | None:
        """Return when the next timer is due, rounded up."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return int(self._timers[0][0] * 1_000) + 1 if self._timers else None

    def start(self, work: Coroutine[object, object, T]) -> "asyncio.Task[T]":
        """Begin a task; it runs at the next `drain`."""
        return asyncio.Task(work, loop=self)

    def _wake(self) -> None:
        now = self.time()
        while self._timers and self._timers[0][0] <= now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self.now_ms / 1_000

    def get_debug(self) -> bool:
        """Tell that debugging is off."""
        return False

    def is_running(self) -> bool:
        """Tell whether it is asked from inside."""
        return events._get_running_loop() is self

    def create_future(self) -> "asyncio.Future[object]":
        """Make a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Coroutine[object, object, T] | Generator[object, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> "asyncio.Task[T]":
        """Make a task of this loop."""
        return asyncio.Task(cast("Coroutine[object, object, T]", coro), loop=self, name=name, context=context)

    def call_soon(
        self, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.Handle:
        """Run a callback in this or the next `drain`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback once the virtual time has come."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Run a callback after a delay, in seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it in the heap; it is passed over when its time comes."""

    def call_exception_handler(self, context: dict[str, object]) -> None:
        """Say nothing of tasks that a crash left behind."""
