"""The bounds of one run: their defaults, their ceilings, and the names of those that can be hit."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.sandbox.errors import RequestInvalid

MIB = 1024 * 1024
TIMEOUT_MS_DEFAULT = 30_000
TIMEOUT_MS_MAX = 300_000
WAIT_MS_MAX = 30_000
START_MS_MAX = 15_000
CODE_BYTES_MAX = 256 * 1024
FILES_COUNT_MAX = 64
FILES_BYTES_MAX = 16 * MIB
NAME_BYTES_MAX = 200
RESULT_BYTES_MAX = 64 * 1024


class Limit(StrEnum):
    """The bound that ended a run, or that the run ran into."""

    WALL_CLOCK = "wall_clock"
    CPU = "cpu"
    MEMORY = "memory"
    OUTPUT = "output"
    DISK = "disk"
    INODES = "inodes"
    THREADS = "threads"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of every run of a sandbox; a request chooses only its timeout, below the ceiling."""

    timeout_ms_max: int = 120_000
    start_ms_max: int = START_MS_MAX
    """From the start of a child to the first line of foreign code."""
    cpu_ms: int = 10_000
    """Processor time of all threads together; the kernel counts it in whole seconds, rounded up."""
    memory_bytes: int = 512 * MIB
    """Address space of the process; in the wasm tier the guest's memory."""
    output_bytes: int = 1 * MIB
    """Standard output and error together, as the code wrote them."""
    disk_bytes: int = 64 * MIB
    """All files of a run together, and so also any single one."""
    inodes: int = 1_000
    """Files, directories and links that exist at one time."""
    threads: int = 64
    artefacts_count: int = 32
    artefacts_bytes: int = 16 * MIB
    """What is handed back of all files together; a file beyond it is named as refused."""

    def __post_init__(self) -> None:
        """Check that each bound is one.

        Raises:
            RequestInvalid: a bound is below 1, the timeout is above TIMEOUT_MS_MAX, or there is too little
                memory for an interpreter to start.
        """
        for name in self.__slots__:
            if getattr(self, name) < 1:
                raise RequestInvalid(f"limit {name} must be at least 1")
        if self.timeout_ms_max > TIMEOUT_MS_MAX:
            raise RequestInvalid(f"timeout_ms_max is above {TIMEOUT_MS_MAX} ms")
        if self.memory_bytes < 64 * MIB:
            raise RequestInvalid("memory_bytes must be at least 64 MiB, or no interpreter starts")
