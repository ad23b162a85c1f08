"""How much slower than by itself this machine is while others use it too."""

import statistics
import threading
import time
from typing import Final

WORK_S: Final = 0.02
"""Of processor time, for one sample."""
_PAUSE_S: Final = 2.0
_STOP_S: Final = 20.0


class Yardstick:
    """Times a fixed piece of work again and again, from a thread of its own."""

    def __init__(self) -> None:
        """Measure nothing yet."""
        self._factors: list[float] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="yardstick", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> tuple[float, float]:
        """End; returns by what factor work took longer than its processor time, at the median and at p95."""
        self._stopping.set()
        self._thread.join(_STOP_S)
        factors = sorted(self._factors) or [1.0]
        return statistics.median(factors), factors[int(0.95 * (len(factors) - 1))]

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            began_s, cpu_s = time.monotonic(), time.thread_time()
            while time.thread_time() - cpu_s < WORK_S:
                sum(range(1_000))
            self._factors.append((time.monotonic() - began_s) / (time.thread_time() - cpu_s))
