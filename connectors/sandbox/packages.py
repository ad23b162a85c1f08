"""The approved packages: installed by the operator, offered by name, never installed for a run."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.libraries import closure


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedPackage:
    """A name that a request may use, and the installed distributions that come with it."""

    name: str
    distributions: tuple[str, ...]
    """All that the package imports, its dependencies included: nothing else becomes readable."""


NUMPY = ApprovedPackage(name="numpy", distributions=("numpy",))


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePlaces:
    """Where the chosen packages lie on this machine."""

    imports: Mapping[str, str]
    """Top-level module name to its directory or file."""
    read_paths: tuple[str, ...]
    """What must be readable, shared libraries beside the modules included."""
    libraries: Mapping[str, str]
    """Shared libraries that they need beside: the path by which the loader opens each, and the file."""
    native: bool
    """Whether any of them holds machine code, which WebAssembly can't load."""


def find_packages(names: Iterable[str], approved: Iterable[ApprovedPackage]) -> PackagePlaces:
    """Return the places of the packages called `names`.

    Raises:
        RequestInvalid: a name is not approved, or what it stands for is not installed.
    """
    known = {package.name: package for package in approved}
    imports: dict[str, str] = {}
    paths: set[str] = set()
    libraries: dict[str, str] = {}
    native = False
    for name in names:
        package = known.get(name)
        if package is None:
            listed = ", ".join(sorted(known)) or "none"
            raise RequestInvalid(f"package {name!r} is not approved; approved: {listed}")
        for distribution in package.distributions:
            try:
                found = _installed(distribution)
            except importlib.metadata.PackageNotFoundError as error:
                raise RequestInvalid(
                    f"package {name!r} is approved, but {distribution!r} is not installed"
                ) from error
            native = native or found.native
            libraries.update(found.libraries)
            paths.update(found.entries.values())
            imports.update(
                {_module(entry): path for entry, path in found.entries.items() if _importable(path)}
            )
    inside = tuple(f"{path}/" for path in paths)
    return PackagePlaces(
        imports=imports,
        read_paths=tuple(sorted(paths)),
        libraries={path: file for path, file in libraries.items() if not file.startswith(inside)},
        native=native,
    )


@dataclass(frozen=True, slots=True)
class _Installed:
    entries: Mapping[str, str]
    """Top-level entries by name, with where they are."""
    native: bool
    libraries: Mapping[str, str]


@functools.cache
def _installed(distribution: str) -> _Installed:
    """Return what an installed distribution consists of, as it was at the first look."""
    installed = importlib.metadata.distribution(distribution)
    entries: dict[str, str] = {}
    machine_code = []
    for file in installed.files or ():
        first = file.parts[0]
        # ".." leads to scripts outside of the packages' directory; they are no part of what is imported.
        if first in ("..", "/", "__pycache__") or first.endswith(".pth"):
            continue
        if {".so", ".pyd", ".dylib"} & set(file.suffixes):
            machine_code.append(str(installed.locate_file(file)))
        entries[first] = os.path.realpath(str(installed.locate_file(first)))
    return _Installed(entries, bool(machine_code), closure(machine_code))


def _importable(path: str) -> bool:
    return os.path.isfile(f"{path}/__init__.py") or path.endswith((".py", ".so"))


def _module(entry: str) -> str:
    return entry.partition(".")[0]
