"""Waiting for what other processes bring about, by time and not by a number of looks."""

import time
from collections.abc import Iterator
from typing import Final

WAIT_S: Final = 120.0
_PAUSE_S: Final = 0.05


def tries(within_s: float = WAIT_S) -> Iterator[None]:
    """Yield for each look that is to be had, until the time is over; a last one comes after that."""
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        yield
        time.sleep(_PAUSE_S)
    yield
