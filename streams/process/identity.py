"""The lock behind a static identity: whoever holds it knows that its predecessor is gone.

Kafka hands a static member's partitions to a successor at once, without waiting for the session timeout. That
is safe only when the predecessor cannot write any more, which a lock held by a living process disproves.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from streams.process.ending import ExitCode, ShellStopped

_POLL_S: Final = 0.1


class IdentityLock:
    """A file that one process at a time holds; the system lets go of it however the process ends."""

    def __init__(self, directory: Path, identity: str) -> None:
        """Name the lock; nothing is held yet."""
        self._path = directory / f"{identity}.lock"
        # A lock that the kernel does not hold would outlive a process that is killed. Whoever holds it may
        # acquire it in one thread and let go of it in another.
        self._lock = FileLock(self._path, thread_local=False, fallback_to_soft=False)

    async def acquire(self, timeout_s: float) -> None:
        """Wait until it is free, and hold it until the process ends.

        Raises:
            ShellStopped: another process holds it all that time.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not self._taken():
            if asyncio.get_running_loop().time() >= deadline:
                holder = self._path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
                raise ShellStopped(
                    ExitCode.FAILED,
                    f"process {holder} runs with this identity; {self._path} is locked",
                )
            await asyncio.sleep(_POLL_S)
        self._path.write_text(f"{os.getpid()}\n", encoding="ascii")

    def release(self) -> None:
        """Let go of it."""
        self._lock.release()

    def _taken(self) -> bool:
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        return True
