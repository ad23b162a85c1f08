"""The newest proof that this process is still a member of its group.

A process that was stopped or cut off keeps its queue and its buffers, and writes on when it wakes. Its
changelog records carry the time at which the last answered heartbeat was sent; Kafka refuses records older
than the topic's `message.timestamp.before.max.ms`, which is below the session timeout. So whoever may have
been replaced is refused already, and no check here could be too late.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiokafka.protocol.group import (  # type: ignore[import-untyped]  # ships no types
    HeartbeatRequest,
    SyncGroupRequest,
)


class _Answer(Protocol):
    @property
    def error_code(self) -> int: ...


class _Coordinator(Protocol):
    _send_req: Callable[[object], Awaitable[_Answer]]


class Heartbeat:
    """Notes when answered heartbeats were sent."""

    def __init__(self) -> None:
        """Begin without any proof."""
        self._sent_at_ms = 0

    @property
    def stamp_ms(self) -> int:
        """Return when the last answered heartbeat was sent; 0 before the first."""
        return self._sent_at_ms

    @property
    def age_ms(self) -> int:
        """Return how long ago that was."""
        return now_ms() - self._sent_at_ms

    def watch(self, coordinator: _Coordinator) -> None:
        """Listen to the requests of a consumer's group coordinator."""
        send = coordinator._send_req

        async def send_and_note(request: object) -> _Answer:
            sent_at_ms = now_ms()
            answer = await send(request)
            # A heartbeat answered with "rebalance in progress" proves nothing: the group waits for this
            # member only so long, and then goes on without it.
            if isinstance(request, HeartbeatRequest | SyncGroupRequest) and answer.error_code == 0:
                self._sent_at_ms = sent_at_ms
            return answer

        coordinator._send_req = send_and_note


def now_ms() -> int:
    """Return the wall clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
