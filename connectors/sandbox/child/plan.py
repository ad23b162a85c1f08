"""What parent and child tell each other; types alone, which the child does not load.

Dictionaries, not dataclasses: importing those costs every start ten milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict


class Confinement(TypedDict):
    """What the child has to confine itself to."""

    user_id: int | None
    """To become this user and group; None keeps the parent's, which then is not root."""
    parent_process_id: int | None
    """The process whose death must end this one; None where a process namespace sees to it."""
    landlock_required: bool
    seccomp_required: bool
    read_paths: Sequence[str]
    library_path: str
    """The standard library's directory, whose entries are among `read_paths`; its own names stay hidden."""
    device_paths: Sequence[str]
    scratch_path: str
    scratch_bytes: int
    """Size of the file system to mount at `scratch_path`; 0 where the parent has made the space."""
    scratch_inodes: int
    memory_bytes: int
    """Limit of the address space; 0 leaves it, where an engine reserves far more than it uses."""
    data_bytes: int
    """Limit of the writable memory of this process alone; 0 leaves it."""
    cpu_s: int
    file_bytes: int
    threads: int
    """Enforced only for a user of the run's own; 0 leaves it to the parent's watch."""


class WasmPlan(TypedDict):
    """What the host of a guest needs to know."""

    engine_path: str
    """The directory that holds the wasmtime package."""
    module_path: str
    """The guest, compiled by this machine's wasmtime."""
    guest_source: str
    """The Python program that the guest runs: evaluation.py and a main part."""
    memory_bytes: int
    result_path: str
    """A directory beside the working directory, where the guest leaves its result."""
    temporary_path: str
    packages: Mapping[str, str]


class Plan(TypedDict):
    """All of one run."""

    first_process: bool
    """The first process of a namespace starts another for the code, and tells how that ended."""
    confinement: Confinement
    code: str
    files: Sequence[tuple[str, bytes]]
    """Name and content."""
    packages: Mapping[str, str]
    """Top-level module name to its directory or file."""
    wasm: WasmPlan | None


class Report(TypedDict):
    """What is in force, before the foreign code begins."""

    landlock_version: int
    seccomp: bool
    user_id: int


class ProgramPlan(TypedDict):
    """All of one foreign program that is confined and then started."""

    user_id: int | None
    """As in Confinement."""
    parent_process_id: int | None
    """As in Confinement."""
    command: Sequence[str]
    """An absolute path first."""
    environment: Mapping[str, str]
    """All of it."""
    directory: str
    """Where the program begins."""
    read_paths: Sequence[str]
    write_paths: Sequence[str]
    device_paths: Sequence[str]
    scratch_path: str
    data_bytes: int
    """Limit of the writable memory of each process."""
    processes: int
    """Enforced only for a user of the program's own; 0: not at all."""
    hidden_paths: Sequence[str]
    """Files that are there and must not be readable, tried before the program begins."""
    hidden_port: int
    """A port of this machine on which somebody listens, and which must not be reachable."""
