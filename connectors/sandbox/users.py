"""Users of the runs' own: numbers that nobody has, one per concurrent run, for a parent that is root.

A number is reserved for the time of a run by a lock on the whole machine, since workers beside this one lend
the same ones: runs that had a user in common would use up each other's threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from connectors.sandbox.errors import SandboxUnavailable

USER_ID_FIRST = 60_706
USER_ID_COUNT = 478
"""From 60,706 to 61,183, which systemd leaves to nobody: its dynamic users begin behind. Below 65,536,
since a container may know no more."""
LOCK_PATHS = (Path("/run/cartrita-sandbox-users"), Path("/dev/shm/cartrita-sandbox-users"))  # noqa: S108  checked
_LOCK = struct.Struct("hhqqi4x")
_BYTES_LOCKED = 1


class UserPool:
    """Lends out user numbers; lends None when this process is not root."""

    def __init__(
        self, first: int, count: int, *, is_root: bool, lock_paths: tuple[Path, ...] = LOCK_PATHS
    ) -> None:
        """Lend those of the `count` numbers from `first` on that no account has.

        Args:
            first: the first number.
            count: how many from there on.
            is_root: whether this process can become another user.
            lock_paths: the file in which numbers are reserved; the first that can be opened.

        Raises:
            SandboxUnavailable: this process is root, and there is no file for the lock.
        """
        self._is_root = is_root
        self._numbers: tuple[int, ...] = ()
        self._file = -1
        if is_root:
            taken = {entry.pw_uid for entry in pwd.getpwall()}
            self._numbers = tuple(number for number in range(first, first + count) if number not in taken)
            self._file = _open_lock(lock_paths)

    @contextlib.contextmanager
    def lend(self) -> Iterator[int | None]:
        """Lend a number for the time of one run, so that no two runs on this machine share a user.

        Raises:
            SandboxUnavailable: all are lent.
        """
        if not self._is_root:
            yield None
            return
        # A lock of an open file knows nothing of threads: each run opens the file anew.
        file = os.open(f"/proc/self/fd/{self._file}", os.O_RDWR | os.O_CLOEXEC)
        try:
            yield next(number for number in (*self._numbers, None) if _reserve(file, number))
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go of the lock's file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _open_lock(paths: tuple[Path, ...]) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    reasons = []
    for path in paths:
        try:
            file = os.open(path, flags, 0o600)
        except OSError as error:
            reasons.append(f"{path}: {error.strerror}")
            continue
        status = os.fstat(file)
        if stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not status.st_mode & 0o022:
            return file
        os.close(file)
        reasons.append(f"{path}: others may write to it")
    raise SandboxUnavailable(f"no file for the lock on users' numbers: {'; '.join(reasons)}")


def _reserve(file: int, number: int | None) -> bool:
    """Take the lock on `number` until `file` is closed; tell whether it was free."""
    if number is None:
        raise SandboxUnavailable("every number that a run's user may have is lent")
    lock = _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, number, _BYTES_LOCKED, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
    except (BlockingIOError, PermissionError):
        return False
    return True
