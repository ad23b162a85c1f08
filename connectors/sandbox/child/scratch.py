"""A writable space of fixed size, which the kernel bounds and which only this process sees.

A watch from outside can be late or be led astray; a file system that is full is full. So wherever the kernel
lets a process mount something for itself alone, the space of a run is a tmpfs.
"""

from __future__ import annotations

import ctypes
import os
import struct

DIRECTORIES = ("work", "tmp", "result")
_CLONE_NEW_MOUNTS, _CLONE_NEW_USERS = 0x00020000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_RECURSIVE, _MS_PRIVATE = 0x2, 0x4, 0x4000, 0x40000
_MOUNT_SETATTR, _AT_CWD, _AT_RECURSIVE, _MOUNT_ATTRIBUTE_READ_ONLY = 442, -100, 0x8000, 0x1
_CAPABILITIES_VERSION = 0x20080522

_LIBC = ctypes.CDLL(None, use_errno=True)


def mount(path: str, size_bytes: int, inodes: int, user_id: int | None) -> None:
    """Mount a new tmpfs at `path`, with the directories of a run in it, the only place to write to.

    Irreversible for this process.

    Args:
        path: an existing directory.
        size_bytes: of all files together.
        inodes: files, directories and links together.
        user_id: whom it is for, when this process is root; None: this process's user, in a user namespace.

    Raises:
        OSError: the kernel refuses, and this process must end, since it may be half-way.
    """
    if user_id is None:
        owner, group = os.getuid(), os.getgid()
        _checked("unshare", _LIBC.unshare(_CLONE_NEW_USERS | _CLONE_NEW_MOUNTS))
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{owner} {owner} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    else:
        owner = group = user_id
        _checked("unshare", _LIBC.unshare(_CLONE_NEW_MOUNTS))
    # What is mounted from here on must not appear on the host.
    _mount(b"none", b"/", None, _MS_RECURSIVE | _MS_PRIVATE, None)
    _make_read_only()
    options = f"size={size_bytes},nr_inodes={inodes},mode=0700,uid={owner},gid={group}"
    _mount(b"tmpfs", path.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())
    for name in DIRECTORIES:
        os.mkdir(f"{path}/{name}", 0o700)
        os.chown(f"{path}/{name}", owner, group)
    if user_id is None:
        _drop_capabilities()


def _make_read_only() -> None:
    """Make all mounts read-only for this process; else reading a file sets a time that later runs may see."""
    attributes = struct.pack("=QQQQ", _MOUNT_ATTRIBUTE_READ_ONLY, 0, 0, 0)
    arguments = (_MOUNT_SETATTR, _AT_CWD, b"/", _AT_RECURSIVE, attributes, len(attributes))
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    _checked("mount_setattr", _LIBC.syscall(*converted))


def _drop_capabilities() -> None:
    """Give up what a new user namespace gave, all of which was needed for mounting alone."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked("capset", _LIBC.capset(header, nothing))


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _checked("mount", _LIBC.mount(source, target, kind, ctypes.c_ulong(flags), options))


def _checked(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"scratch: {what}: {os.strerror(number)}")
