"""The writable space of one run: how much of it is in use, and how it disappears afterwards.

Where the child can mount a file system of its own, the kernel holds its size and tells what is in use. Where
it can't, a directory of the host is watched; what can't be seen there counts as too much.

Trees left by foreign code are hostile: links, thousands of levels, directories nobody may enter. So
everything here goes by open directories, follows no link, and holds few descriptors at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from connectors.sandbox.bundle import module_source
from connectors.sandbox.child.scratch import DIRECTORIES

DEPTH_MAX = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK_BYTES = 512
_LOOKS_MAX = 5
# A pass takes one level off every branch; no run lives long enough to dig deeper than this.
_PASSES_MAX = 100_000


class _Unseen(Exception):
    """Something of a run is where it can't be counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a run holds at one moment."""

    disk_bytes: int
    inodes: int


class Scratch(Protocol):
    """The writable space of one run, seen from the parent."""

    @property
    def work(self) -> int:
        """Descriptor of the working directory, in which artefacts are looked for."""

    def usage(self, process_id: int, inodes_max: int) -> Usage:
        """Return what is in use; counting may stop once `inodes_max` is passed."""

    def close(self) -> None:
        """Free everything."""


class MemoryScratch:
    """A tmpfs in the run's own mount namespace; it lives on only while `work` is open."""

    def __init__(self, work: int) -> None:
        """Take over the descriptor `work`, and what is in use now as nothing."""
        self._work = work
        self._before = self._now()

    @property
    def work(self) -> int:
        """Descriptor of the working directory."""
        return self._work

    def usage(self, process_id: int, inodes_max: int) -> Usage:
        """Return what is in use, deleted but open files included."""
        now = self._now()
        return Usage(
            disk_bytes=now.disk_bytes - self._before.disk_bytes, inodes=now.inodes - self._before.inodes
        )

    def close(self) -> None:
        """Let go of the file system, which frees it."""
        os.close(self._work)

    def _now(self) -> Usage:
        numbers = os.fstatvfs(self._work)
        return Usage(
            disk_bytes=(numbers.f_blocks - numbers.f_bfree) * numbers.f_frsize,
            inodes=numbers.f_files - numbers.f_ffree,
        )


class HostScratch:
    """A directory of the host, which only the run's user may enter."""

    def __init__(self, parent: Path, user_id: int | None) -> None:
        """Make the directory below `parent`, for `user_id`, or for this process's user if None."""
        self.path = parent / f"run-{secrets.token_hex(8)}"
        owner = -1 if user_id is None else user_id
        for path in (self.path, *(self.path / name for name in DIRECTORIES)):
            path.mkdir(mode=0o700)
            os.chown(path, owner, owner)
        self._directory = os.open(self.path, _DIRECTORY)
        self._work = os.open(self.path / "work", _DIRECTORY)

    @property
    def work(self) -> int:
        """Descriptor of the working directory."""
        return self._work

    def usage(self, process_id: int, inodes_max: int) -> Usage:
        """Return what is in use, with files that are deleted but still open or mapped in `process_id`."""
        size = count = 0
        try:
            for entry in _walk(self._directory):
                count += 1
                size += entry.st_blocks * _BLOCK_BYTES
                if count > inodes_max + 4:
                    break
            size += _deleted_bytes(process_id, str(self.path))
        except _Unseen:
            return Usage(disk_bytes=sys.maxsize, inodes=inodes_max)
        return Usage(disk_bytes=size, inodes=max(0, count - len(DIRECTORIES)))

    def close(self) -> None:
        """Delete the directory, whatever is in it."""
        os.close(self._work)
        os.close(self._directory)
        remove_tree(self.path)


class ScratchParent:
    """Where the host directories of one sandbox are made; those of a parent that was killed are swept.

    A lock, which the kernel gives back at its holder's death, tells a living sandbox's directory from others.
    """

    def __init__(self, root: Path) -> None:
        """Make a directory of this sandbox's own below `root`, and sweep what the dead have left there."""
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        # As the kernel names what a run has mapped.
        root = root.resolve()
        status = root.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise PermissionError(f"{root} must be a directory of this user that nobody else may write to")
        self.path = root / f"sandbox-{secrets.token_hex(8)}"
        # Held while sweeping and making, so that nobody sweeps a directory which has no lock yet.
        root_lock = os.open(root, _DIRECTORY)
        try:
            fcntl.flock(root_lock, fcntl.LOCK_EX)
            self._sweep(root)
            self.path.mkdir(mode=0o711)
            self.path.chmod(0o711)
            self._lock = os.open(self.path, _DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(root_lock)

    def close(self) -> None:
        """Delete the directory."""
        remove_tree(self.path)
        os.close(self._lock)

    @staticmethod
    def _sweep(root: Path) -> None:
        for path in root.glob("sandbox-*"):
            try:
                handle = os.open(path, _DIRECTORY)
            except OSError:
                continue
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(path)
            except BlockingIOError:
                continue
            finally:
                os.close(handle)


def remove_tree(path: Path) -> None:
    """Delete the directory `path` and all below it, however deep, following no link.

    Deep levels are first moved up beside the top ones, so the walk needs two descriptors and no recursion.
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        for _ in range(_PASSES_MAX):
            kept = [name for name in os.listdir(top) if not _unlink(name, top)]
            if not kept:
                break
            for name in kept:
                _empty_into(name, top)
    finally:
        os.close(top)
    path.rmdir()


def _unlink(name: str, directory: int) -> bool:
    """Delete a file, or a directory that is empty; tell whether it is gone."""
    try:
        os.unlink(name, dir_fd=directory)
    except (IsADirectoryError, PermissionError):
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError:
            return False
    return True


def _empty_into(name: str, top: int) -> None:
    with contextlib.suppress(OSError):
        os.chmod(name, 0o700, dir_fd=top)
    child = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        for inner in os.listdir(child):
            if not _unlink(inner, child):
                with contextlib.suppress(OSError):
                    os.chmod(inner, 0o700, dir_fd=child)
                os.rename(inner, secrets.token_hex(8), src_dir_fd=child, dst_dir_fd=top)
    finally:
        os.close(child)


def _walk(directory: int, depth: int = 0) -> Iterator[os.stat_result]:
    """Yield the status of everything below `directory`; deeper than DEPTH_MAX counts without end."""
    for name, status in _entries(directory):
        yield status
        if not stat.S_ISDIR(status.st_mode):
            continue
        while depth >= DEPTH_MAX:
            yield status
        try:
            child = os.open(name, _DIRECTORY, dir_fd=directory)
        except PermissionError as error:
            raise _Unseen from error
        except OSError:
            continue  # it was renamed or deleted just now
        try:
            yield from _walk(child, depth + 1)
        finally:
            os.close(child)


def _entries(directory: int) -> list[tuple[str, os.stat_result]]:
    """Return what is in `directory`; looks again if a name is gone before it was looked at."""
    most: list[tuple[str, os.stat_result]] = []
    for _ in range(_LOOKS_MAX):
        found = []
        try:
            names = os.listdir(directory)
        except PermissionError as error:
            raise _Unseen from error
        except OSError:
            return most
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found.append((name, os.stat(name, dir_fd=directory, follow_symlinks=False)))
        most = max(most, found, key=len)
        if len(found) == len(names):
            break
    return most


def _deleted_bytes(process_id: int, place: str) -> int:
    """Return the size of files without a name that `process_id` holds by descriptors.

    Raises:
        _Unseen: it has mapped a file that was below `place`, is deleted, and has no descriptor any more.
    """
    try:
        tasks = os.listdir(f"/proc/{process_id}/task")
    except OSError:
        return 0  # the process is gone, and its deleted files with it
    seen: dict[int, int] = {}
    # The first thread may have ended before the others; then only theirs tell what the process holds.
    for task in tasks:
        directory = f"/proc/{process_id}/task/{task}"
        try:
            seen = _open_deleted(directory)
            mapped = _mapped_deleted(directory, place.encode())
        except PermissionError as error:
            # A thread that has just ended belongs to root, for whoever is not.
            if _has_ended(directory):
                continue
            raise _Unseen from error
        except OSError:
            continue  # likewise, and it is gone
        if not mapped <= seen.keys():
            raise _Unseen
        if seen or mapped:
            break
    return sum(seen.values())


def _has_ended(task: str) -> bool:
    try:
        with open(f"{task}/stat", "rb") as file:
            address_space = file.read().rpartition(b") ")[2].split()[20]
    except OSError:
        return True
    return address_space == b"0"


def _open_deleted(task: str) -> dict[int, int]:
    """Return inode and size of each file without a name that a thread holds open."""
    found: dict[int, int] = {}
    with os.scandir(f"{task}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                    found[status.st_ino] = status.st_blocks * _BLOCK_BYTES
    return found


def _mapped_deleted(task: str, place: bytes) -> set[int]:
    """Return the inodes of deleted files below `place` that a thread's process has mapped."""
    with open(f"{task}/maps", "rb") as file:
        lines = [line for line in file.read().splitlines() if line.endswith(b" (deleted)") and place in line]
    return {int(line.split()[4]) for line in lines}


def can_mount(interpreter: str, directory: Path, *, is_root: bool) -> bool:
    """Tell whether a child of this process can mount a file system for itself alone."""
    place = directory / f"mount-{secrets.token_hex(8)}"
    place.mkdir(mode=0o700)
    user_id = 65_534 if is_root else None
    program = (
        f"{module_source('connectors.sandbox.child.scratch')}\nmount({str(place)!r}, 4 << 20, 16, {user_id})"
    )
    command = [interpreter, "-I", "-S", "-B", "-c", program]
    try:
        finished = subprocess.run(command, env={}, capture_output=True, timeout=60, check=False)
        return finished.returncode == 0 and not os.listdir(place)
    except (OSError, subprocess.TimeoutExpired):
        return False
    finally:
        remove_tree(place)
