"""What came of a run: what the code said of itself, and what the parent saw, kept apart.

`stdout`, `stderr`, `value`, `error`, `limit_reported` and `artefacts` come from the foreign code and are
untrusted data, cleaned of control and invisible characters. Everything else was measured by the parent and
can't be forged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from connectors.sandbox.limits import Limit
from connectors.sandbox.tier import Tier

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class Stream(StrEnum):
    """Which of the two output streams."""

    STDOUT = "stdout"
    STDERR = "stderr"


class Status(StrEnum):
    """How a run ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    """The code raised, or left with an exit code other than 0."""
    LIMITED = "limited"
    """A limit ended it; `limit_hit` says which."""
    CRASHED = "crashed"
    """The process ended without a valid result, as by os._exit or a fault in its memory."""
    CANCELLED = "cancelled"


class ValueKind(StrEnum):
    """What `value` is."""

    NONE = "none"
    JSON = "json"
    REPR = "repr"
    """JSON does not hold the value exactly, so this is its repr, cut to 4,096 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputChunk:
    """A piece of output, as it came."""

    index: int
    """Counts from 0 over both streams."""
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A regular file that the code left in its working directory, new or changed."""

    name: str
    """Relative path, printable, without "..". """
    content: bytes
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtefactRefused:
    """Something in the working directory that is not handed on."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionError:
    """The exception that ended the code, as it described itself."""

    type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """Under which layers a run took place, as seen by the parent."""

    tier: Tier
    user_id: int
    landlock_version: int
    """0 where Landlock was not in force."""
    seccomp: bool
    canary_id: str
    """Names the canary attack that this sandbox withstood at its start, in this tier; empty during one."""
    scratch_fixed: bool
    """Whether the kernel held the size of the writable space; otherwise the parent watched it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """One finished run."""

    status: Status
    stdout: str
    stderr: str
    value: JsonValue
    value_kind: ValueKind
    error: ExecutionError | None
    exit_code: int | None
    """What the code left with; None if it was killed."""
    signal_name: str | None
    """The signal that ended the process, such as "SIGSEGV"; None if it ended by itself."""
    artefacts: tuple[Artefact, ...]
    artefacts_refused: tuple[ArtefactRefused, ...]
    limit_hit: Limit | None
    """The limit that the parent, or the kernel under its eyes, ended the run by."""
    limit_reported: Limit | None
    """The limit of which the code alone tells, by the exception that ended it: no memory, a full disk."""
    start_ms: float
    """From the call to the first line of foreign code."""
    execution_ms: float
    """From there to the end of the process."""
    cpu_ms: float
    isolation: Isolation
