"""How long the sink's fetches wait for more, by how much comes.

A fetch names every partition of every topic, which costs Kafka and the sink more than the records of most
fetches do. So the more comes, the longer a fetch waits: Postgres lags by that. When nothing comes, the first
record is waited for, so that it is there at once.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 2.0
"""What came in so long a time decides."""
MUCH_PER_S: Final = 600
"""Records; about ten sessions of a few tasks each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When Kafka answers a fetch: when it has so much, or after so long."""

    min_bytes: int
    wait_ms: int


QUIET: Final = Pace(min_bytes=1, wait_ms=2_000)
LITTLE: Final = Pace(min_bytes=256 * 1024, wait_ms=250)
MUCH: Final = Pace(min_bytes=2 * 1024 * 1024, wait_ms=750)
"""So that a record can be in Postgres within a second of being written."""


class Pacing:
    """Follows how much comes."""

    def __init__(self, now_s: float) -> None:
        """Begin as if a little had come just now.

        Args:
            now_s: a clock that only goes forward.
        """
        self._came: deque[tuple[float, int]] = deque([(now_s, 1)])
        self._records = 1

    def after(self, records: int, now_s: float) -> Pace:
        """Take how many records a fetch brought, and return the pace of the next one."""
        if records:
            self._came.append((now_s, records))
            self._records += records
        while self._came and now_s - self._came[0][0] > WINDOW_S:
            self._records -= self._came.popleft()[1]
        if not self._came:
            return QUIET
        return MUCH if self._records >= MUCH_PER_S * WINDOW_S else LITTLE
