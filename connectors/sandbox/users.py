"""Users of the runs' own: numbers that nobody has, one per concurrent run, for a parent that is root."""

from __future__ import annotations

import contextlib
import pwd
import threading
from collections.abc import Iterator


class UserPool:
    """Lends out user numbers; empty, and lending None, when this process is not root."""

    def __init__(self, first: int, count: int, *, is_root: bool) -> None:
        """Take `count` free numbers from `first` on."""
        self._lock = threading.Lock()
        self._free: list[int] = []
        self._is_root = is_root
        if is_root:
            taken = {entry.pw_uid for entry in pwd.getpwall()}
            number = first
            while len(self._free) < count:
                if number not in taken:
                    self._free.append(number)
                number += 1

    @contextlib.contextmanager
    def lend(self) -> Iterator[int | None]:
        """Lend a number for the time of one run, so that no two runs share a user."""
        if not self._is_root:
            yield None
            return
        with self._lock:
            number = self._free.pop(0)
        try:
            yield number
        finally:
            with self._lock:
                self._free.append(number)
