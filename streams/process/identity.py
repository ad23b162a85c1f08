"""The lock behind a static identity: whoever holds it knows that its predecessor is gone.

Kafka hands a static member's partitions to a successor at once, without waiting for the session timeout. That
is safe only when the predecessor cannot write any more, which a lock held by a living process disproves.
"""

import asyncio
import fcntl
import os
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from streams.process.ending import ExitCode, ShellStopped

_POLL_S: Final = 0.1


class IdentityLock:
    """A file that one process at a time holds; the system lets go of it however the process ends."""

    def __init__(self, directory: Path, identity: str) -> None:
        """Name the lock; nothing is held yet."""
        self._path = directory / f"{identity}.lock"
        self._file: TextIOWrapper | None = None

    async def acquire(self, timeout_s: float) -> None:
        """Wait until it is free, and hold it until the process ends.

        Raises:
            ShellStopped: another process holds it all that time.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+", encoding="ascii")
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self._taken(self._file):
            if asyncio.get_running_loop().time() >= deadline:
                self._file.seek(0)
                holder = self._file.read().strip() or "unknown"
                raise ShellStopped(
                    ExitCode.FAILED,
                    f"process {holder} runs with this identity; {self._path} is locked",
                )
            await asyncio.sleep(_POLL_S)
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _taken(self, file: TextIOWrapper) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
