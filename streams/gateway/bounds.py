"""What one gateway bears at once, and how much of it one token and one tenant may take."""

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from streams.gateway.access import Principal
from streams.gateway.problems import Problem
from streams.gateway.recent import remember

BURST_S: Final = 4.0
"""Who was silent may ask for so many seconds' worth at once."""
NAMELESS_MAX: Final = 200
"""WebSockets of which it is not known yet whose they are."""
_KNOWN_MAX: Final = 100_000
_FULL_RETRY_S: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of one gateway."""

    token_requests_per_s: int
    """Requests, and messages by WebSocket."""
    tenant_requests_per_s: int
    """Of all tokens of a tenant together."""
    open_max: int
    """Requests under way and WebSockets."""
    token_open_max: int


class Bounds:
    """Counts what is open, and paces what is asked."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing open; the clock tells seconds."""
        self._limits = limits
        self._clock = clock
        self._open = 0
        self._nameless = 0
        self._open_of: Counter[str] = Counter()
        self._paces: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Of each token and tenant: how many requests it has left, and when that was so."""

    @property
    def open(self) -> int:
        """Return how many requests and WebSockets are open."""
        return self._open

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold a place for a request or a WebSocket, whoever it is, within the block.

        Raises:
            Problem: there is none.
        """
        if self._open >= self._limits.open_max:
            raise _overloaded()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    @contextmanager
    def nameless(self) -> Iterator[None]:
        """Hold one of the few places for who has not said yet who it is, within the block.

        Raises:
            Problem: all are taken.
        """
        if self._nameless >= NAMELESS_MAX:
            raise _overloaded()
        self._nameless += 1
        try:
            yield
        finally:
            self._nameless -= 1

    @contextmanager
    def held(self, bearer: Principal) -> Iterator[None]:
        """Hold one of the places that a token may have, within the block.

        Raises:
            Problem: it has all of them.
        """
        token = bearer.token_id
        if self._open_of[token] >= self._limits.token_open_max:
            raise Problem(
                429,
                f"this token has {self._limits.token_open_max:,} requests open, and may have no more",
                code="too_many_open",
                retry_s=_FULL_RETRY_S,
            )
        self._open_of[token] += 1
        try:
            yield
        finally:
            self._open_of[token] -= 1
            if not self._open_of[token]:
                del self._open_of[token]

    def pace(self, bearer: Principal) -> None:
        """Count something that a token asks.

        Raises:
            Problem: it, or its tenant, has asked too much of late.
        """
        paces = (
            ("token/" + bearer.token_id, self._limits.token_requests_per_s, "this token"),
            ("tenant/" + bearer.tenant, self._limits.tenant_requests_per_s, "this tenant"),
        )
        left = [(key, self._left(key, rate)) for key, rate, _ in paces]
        for (_, rate, who), (_, count) in zip(paces, left, strict=True):
            if count < 1:
                raise Problem(
                    429,
                    f"{who} asks more than {rate:,} times a second",
                    code="rate_limited",
                    # In whole seconds: the least that the header can tell.
                    retry_s=max(1, math.ceil((1 - count) / rate)),
                )
        for key, count in left:
            self._note(key, count - 1)

    def _left(self, key: str, rate: int) -> float:
        most = rate * BURST_S
        count, at_s = self._paces.get(key, (most, 0.0))
        return min(most, count + (self._clock() - at_s) * rate)

    def _note(self, key: str, count: float) -> None:
        remember(self._paces, key, (count, self._clock()), _KNOWN_MAX)


def _overloaded() -> Problem:
    return Problem(
        503, "this gateway serves as many as it can; try again", code="overloaded", retry_s=_FULL_RETRY_S
    )
