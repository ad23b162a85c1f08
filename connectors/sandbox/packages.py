"""The approved packages: installed by the operator, offered by name, never installed for a run."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from connectors.sandbox.errors import RequestInvalid


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
    native = False
    for name in names:
        package = known.get(name)
        if package is None:
            listed = ", ".join(sorted(known)) or "none"
            raise RequestInvalid(f"package {name!r} is not approved; approved: {listed}")
        for distribution in package.distributions:
            entries, has_machine_code = _entries(name, distribution)
            native = native or has_machine_code
            paths.update(entries.values())
            imports.update({_module(entry): path for entry, path in entries.items() if _importable(path)})
    return PackagePlaces(imports=imports, read_paths=tuple(sorted(paths)), native=native)


def _entries(name: str, distribution: str) -> tuple[dict[str, str], bool]:
    """Return the distribution's top-level entries by name, and whether it holds machine code."""
    try:
        installed = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise RequestInvalid(
            f"package {name!r} is approved, but {distribution!r} is not installed"
        ) from error
    entries: dict[str, str] = {}
    native = False
    for file in installed.files or ():
        first = file.parts[0]
        # ".." leads to scripts outside of the packages' directory; they are no part of what is imported.
        if first in ("..", "/", "__pycache__") or first.endswith(".pth"):
            continue
        native = native or file.suffix in (".so", ".pyd", ".dylib")
        entries[first] = os.path.realpath(str(installed.locate_file(first)))
    return entries, native


def _importable(path: str) -> bool:
    return os.path.isfile(f"{path}/__init__.py") or path.endswith((".py", ".so"))


def _module(entry: str) -> str:
    return entry.partition(".")[0]
