"""Finds the shared libraries that programs need, as their loader does; nothing beside them must be readable.

Reads the headers of ELF files alone: running the loader on them would run what they hold.
"""

from __future__ import annotations

import functools
import glob
import mmap
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_MAGIC, _CLASS_64, _LITTLE_ENDIAN = b"\x7fELF", 2, 1
_LOAD, _DYNAMIC, _INTERPRETER = 1, 2, 3
_NEEDED, _STRING_TABLE, _RPATH, _RUNPATH = 1, 5, 15, 29
_NAME_BYTES_MAX = 4_096
# Where the loader looks without being told: by the machine's name on Debian, in lib64 elsewhere.
_DIRECTORY_PATTERNS = ("/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib")
_CONFIGURED_PATTERNS = ("/etc/ld.so.conf", "/etc/ld.so.conf.d/*.conf")
LOADER_CACHE = "/etc/ld.so.cache"
# Loaded by libc itself, when a thread ends or is cancelled.
_LOADED_BY_NAME = ("libgcc_s.so.1",)


@dataclass(frozen=True, slots=True)
class _Elf:
    machine: int
    loader: str
    """Path of the loader that the file asks for; empty for a library."""
    needed: tuple[str, ...]
    search: tuple[str, ...]
    """Directories that the file itself names."""


def closure(files: Iterable[str]) -> Mapping[str, str]:
    """Return all shared libraries that `files` need, directly or not: the path the loader opens, to the file.

    What is not found is left out; the loader then says so itself. A file that is no ELF needs nothing.

    Args:
        files: programs and libraries.
    """
    found: dict[str, str] = {}
    waiting = [str(file) for file in files]
    machine = 0
    for path in waiting:
        elf = _read(os.path.realpath(path))
        if elf is None or (machine and elf.machine != machine):
            continue
        machine = machine or elf.machine
        names = [*elf.needed, *(_LOADED_BY_NAME if elf.loader else ())]
        places = [_found(name, elf) for name in names] + ([elf.loader] if elf.loader else [])
        for place in places:
            if not place:
                continue
            opened = f"{os.path.realpath(os.path.dirname(place))}/{os.path.basename(place)}"
            if opened not in found:
                found[opened] = os.path.realpath(place)
                waiting.append(found[opened])
    return found


def loaded_later(libraries: Mapping[str, str]) -> list[str]:
    """Return those of `libraries` that libc opens only when it needs them, by path."""
    return [path for path in libraries if os.path.basename(path) in _LOADED_BY_NAME]


def loader_needs_cache(paths: Iterable[str]) -> bool:
    """Tell whether any of these libraries lies where the loader looks only because its cache says so."""
    default = {os.path.realpath(directory) for directory in _default_directories()}
    cached = {os.path.realpath(directory) for directory in _configured_directories()} - default
    return any(os.path.dirname(path) in cached for path in paths)


def _found(name: str, elf: _Elf) -> str:
    """Return the path of the library `name`; empty if there is none for this machine."""
    if "/" in name:
        return name if os.path.exists(name) else ""
    for directory in (*elf.search, *_default_directories(), *_configured_directories()):
        path = f"{directory}/{name}"
        if os.path.exists(path):
            library = _read(os.path.realpath(path))
            if library is not None and library.machine == elf.machine:
                return path
    return ""


@functools.cache
def _default_directories() -> tuple[str, ...]:
    return tuple(path for pattern in _DIRECTORY_PATTERNS for path in sorted(glob.glob(pattern)))


@functools.cache
def _configured_directories() -> tuple[str, ...]:
    lines = [
        line.strip()
        for pattern in _CONFIGURED_PATTERNS
        for path in sorted(glob.glob(pattern))
        for line in Path(path).read_text(errors="replace").splitlines()
    ]
    return tuple(line for line in lines if line.startswith("/"))


@functools.cache
def _read(path: str) -> _Elf | None:
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            return _parsed(data, os.path.dirname(path))
    except (OSError, ValueError, struct.error):
        return None


def _parsed(data: mmap.mmap, origin: str) -> _Elf | None:
    if data[:4] != _MAGIC or data[4] != _CLASS_64 or data[5] != _LITTLE_ENDIAN:
        return None
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    entry_size, count = struct.unpack_from("<HH", data, 54)
    loaded, dynamic, loader = [], None, ""
    for index in range(count):
        kind, _, offset, address, _, size = struct.unpack_from("<IIQQQQ", data, table + index * entry_size)
        if kind == _LOAD:
            loaded.append((address, offset, size))
        elif kind == _DYNAMIC:
            dynamic = (offset, size)
        elif kind == _INTERPRETER:
            loader = data[offset : offset + size].rstrip(b"\0").decode()
    if dynamic is None:
        return None
    entries = [struct.unpack_from("<QQ", data, dynamic[0] + place) for place in range(0, dynamic[1], 16)]
    strings = next((value for tag, value in entries if tag == _STRING_TABLE), 0)
    base = next((strings - at + offset for at, offset, size in loaded if at <= strings < at + size), 0)

    def texts(*tags: int) -> list[str]:
        return [_text(data, base + value) for tag, value in entries if tag in tags]

    search = [directory for text in texts(_RPATH, _RUNPATH) for directory in text.split(":") if directory]
    return _Elf(
        machine,
        loader,
        tuple(texts(_NEEDED)),
        tuple(directory.replace("${ORIGIN}", "$ORIGIN").replace("$ORIGIN", origin) for directory in search),
    )


def _text(data: mmap.mmap, place: int) -> str:
    return data[place : data.find(b"\0", place, place + _NAME_BYTES_MAX)].decode(errors="replace")
