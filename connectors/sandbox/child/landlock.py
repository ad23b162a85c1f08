"""Landlock: files by path, TCP and signals, denied by the kernel whatever the process's user may do.

What Landlock does not govern (chmod, chown, utime, xattr, stat, prlimit and others) is the filter's part.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14

# How many file rights each version of the interface knows; a later version adds bits, never changes them.
_FILE_RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_BOTH = 0b11
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11

_READ = EXECUTE | READ_FILE | READ_DIR
_FILE_ONLY = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE
_SCRATCH_FILES = READ_FILE | WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_REG | _MAKE_SYM
# _REFER lets a file move between two directories of the scratch space; one from outside still can't enter.
_SCRATCH = _SCRATCH_FILES | READ_DIR | _REMOVE_DIR | _MAKE_DIR


# Looked up once: a rule per entry of the standard library makes two hundred calls at each start.
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

# What is open (with O_PATH, by whoever may still reach it), and the rights beneath or on it.
PathRule = tuple[int, int]


def read_rule(file_descriptor: int) -> PathRule:
    """Allow reading, listing and mapping as code."""
    return file_descriptor, _READ


def scratch_rule(file_descriptor: int) -> PathRule:
    """Allow everything with regular files, directories and symbolic links; no devices, FIFOs, sockets."""
    return file_descriptor, _SCRATCH | _REFER


def folder_rule(file_descriptor: int) -> PathRule:
    """Allow the same, and to run what lies there."""
    return file_descriptor, _SCRATCH | _REFER | EXECUTE


def watched_scratch_rule(file_descriptor: int) -> PathRule:
    """Allow the same but moves between directories, which could keep a file away from whoever counts."""
    return file_descriptor, _SCRATCH


def device_rule(file_descriptor: int) -> PathRule:
    """Allow reading and writing one device such as /dev/null."""
    return file_descriptor, READ_FILE | WRITE_FILE


def version() -> int:
    """Return the kernel's version of the interface; 0 where there is none."""
    create_version = 1
    return max(0, _syscall(_CREATE_RULESET, None, 0, create_version))


def restrict(rules: Sequence[PathRule]) -> int:
    """Deny this process, for good, everything but what `rules` allow; return the interface's version.

    Needs no_new_privs to be set. From version 4 on TCP is denied too; from 6 on also signals and abstract
    sockets across the border. A kernel may claim a version and not hold it, which the canary finds out.

    Raises:
        OSError: Landlock is missing or refused a rule.
    """
    kernel = version()
    if kernel < 1:
        raise OSError("landlock: this kernel has none")
    handled = (1 << _FILE_RIGHTS_BY_VERSION[min(kernel, 5)]) - 1
    attributes = struct.pack(
        "=QQQ",
        handled,
        _NETWORK_BOTH if kernel >= 4 else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if kernel >= 6 else 0,
    )
    size = 24 if kernel >= 6 else 16 if kernel >= 4 else 8
    ruleset = _checked("create_ruleset", _CREATE_RULESET, ctypes.c_char_p(attributes), size, 0)
    try:
        for file_descriptor, wanted in rules:
            rights = wanted & handled
            if not stat.S_ISDIR(os.fstat(file_descriptor).st_mode):
                rights &= _FILE_ONLY
            beneath = struct.pack("=Qi", rights, file_descriptor)
            _checked("add_rule", _ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.c_char_p(beneath), 0)
        _checked("restrict_self", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return kernel


def _checked(what: str, number: int, *arguments: object) -> int:
    result = _syscall(number, *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock: {what} failed: {os.strerror(code)}")
    return result


def _syscall(number: int, *arguments: object) -> int:
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return int(_LIBC.syscall(ctypes.c_long(number), *converted))
