"""Carries out one request in one tier, from the checks to the result; blocks its thread."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from connectors.sandbox.artefacts import collect
from connectors.sandbox.cleaning import TextCleaner
from connectors.sandbox.errors import RequestInvalid, SandboxUnavailable
from connectors.sandbox.frame import Frame, FrameInvalid, read_frame
from connectors.sandbox.launch import Host, Launch, native_launch, wasm_launch
from connectors.sandbox.limits import Limit, Limits
from connectors.sandbox.packages import ApprovedPackage, find_packages
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import (
    ExecutionResult,
    Isolation,
    OutputChunk,
    Status,
    Stream,
    ValueKind,
)
from connectors.sandbox.scratch import HostScratch, MemoryScratch, ScratchParent
from connectors.sandbox.supervisor import Observation, Supervision
from connectors.sandbox.tier import Tier
from connectors.sandbox.users import UserPool
from connectors.sandbox.wasm_runtime import WasmRuntime

_BLOCK_BYTES = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Everything that the runs of one sandbox share."""

    host: Host
    approved: tuple[ApprovedPackage, ...]
    users: UserPool
    scratch_parent: ScratchParent
    wasm: WasmRuntime | None

    def close(self) -> None:
        """Delete the scratch space, and let go of the users."""
        self.scratch_parent.close()
        self.users.close()

    def execute(
        self,
        tier: Tier,
        request: ExecutionRequest,
        on_chunk: Callable[[OutputChunk], None],
        cancel: threading.Event,
        canary_id: str,
        on_idle: Callable[[int | None], None] = lambda _: None,
    ) -> ExecutionResult:
        """Run `request` in `tier`.

        Args:
            tier: the isolation; no other is ever used instead.
            request: what to run.
            on_chunk: gets the output as it comes, cleaned, in this thread.
            cancel: ends the run when set from elsewhere.
            canary_id: recorded with the result.
            on_idle: told, in this thread, how many bytes of memory the run holds while it does nothing; None
                when it goes on.

        Raises:
            RequestInvalid: the request breaks a bound of this sandbox.
            SandboxUnavailable: the tier does not hold; no foreign code was run.
        """
        _check(request, self.host.limits)
        output = _Output(on_chunk)
        with contextlib.ExitStack() as stack:
            user_id = stack.enter_context(self.users.lend())
            place: HostScratch | None = None
            if tier is not Tier.NS:
                place = HostScratch(self.scratch_parent.path, user_id)
                stack.callback(place.close)
            launch = self._launch(tier, request, user_id, None if place is None else place.path)
            # What the child mounts for itself, it hands over.
            watched = None if tier is Tier.NS or self.host.mounts else place
            supervision = Supervision(
                launch, self.host.limits, request.timeout_ms, output.feed, watched, cancel, on_idle
            )
            try:
                supervision.run()
                output.finish()
                return self._result(request, supervision, output, launch, canary_id)
            finally:
                if watched is None and supervision.scratch is not None:
                    supervision.scratch.close()

    def _launch(
        self, tier: Tier, request: ExecutionRequest, user_id: int | None, scratch: Path | None
    ) -> Launch:
        packages = find_packages(request.packages, self.approved)
        if tier is Tier.WASM:
            assert scratch is not None
            if packages.native:
                raise RequestInvalid("a package with machine code can't be loaded in tier wasm")
            if self.wasm is None:
                raise SandboxUnavailable("tier wasm: the runtime was not prepared")
            directories = {name: path for name, path in packages.imports.items() if os.path.isdir(path)}
            plan = self.wasm.plan(self.host.limits.memory_bytes, directories)
            return wasm_launch(self.host, request, plan, user_id, scratch)
        if tier is Tier.NS and self.host.bubblewrap is None:
            raise SandboxUnavailable("tier ns: bwrap is not installed")
        return native_launch(self.host, tier, request, packages, user_id, scratch)

    def _result(
        self,
        request: ExecutionRequest,
        supervision: Supervision,
        output: _Output,
        launch: Launch,
        canary_id: str,
    ) -> ExecutionResult:
        seen = supervision.seen
        assert supervision.scratch is not None
        artefacts, refused = collect(
            supervision.scratch.work, request.files, self.host.limits, launch.user_id
        )
        frame = _frame(seen)
        return ExecutionResult(
            status=_status(seen, frame),
            stdout=output.text(Stream.STDOUT),
            stderr=output.text(Stream.STDERR),
            value=None if frame is None else frame.value,
            value_kind=ValueKind.NONE if frame is None else frame.value_kind,
            error=None if frame is None else frame.error,
            exit_code=seen.exit_code,
            signal_name=_signal_name(seen.signal),
            artefacts=artefacts,
            artefacts_refused=refused,
            limit_hit=seen.limit_hit,
            limit_reported=_limit_reported(frame),
            start_ms=round(seen.start_ms, 3),
            execution_ms=round(seen.execution_ms, 3),
            cpu_ms=round(seen.cpu_ms, 3),
            isolation=Isolation(
                tier=launch.tier,
                user_id=launch.user_id,
                landlock_version=seen.landlock_version,
                seccomp=seen.seccomp,
                canary_id=canary_id,
                scratch_fixed=isinstance(supervision.scratch, MemoryScratch),
            ),
        )


class _Output:
    """Cleans and keeps the output of one run, and hands it on as it comes."""

    def __init__(self, on_chunk: Callable[[OutputChunk], None]) -> None:
        self._on_chunk = on_chunk
        self._cleaners = {stream: TextCleaner() for stream in Stream}
        self._pieces: dict[Stream, list[str]] = {stream: [] for stream in Stream}
        self._index = 0

    def feed(self, stream: Stream, data: bytes) -> None:
        self._add(stream, self._cleaners[stream].feed(data))

    def finish(self) -> None:
        for stream, cleaner in self._cleaners.items():
            self._add(stream, cleaner.finish())

    def text(self, stream: Stream) -> str:
        return "".join(self._pieces[stream])

    def _add(self, stream: Stream, text: str) -> None:
        if text:
            self._pieces[stream].append(text)
            self._on_chunk(OutputChunk(index=self._index, stream=stream, text=text))
            self._index += 1


def _frame(seen: Observation) -> Frame | None:
    """Return the child's document, if it ended by itself, as the document says, and left exactly one."""
    if seen.cancelled or seen.limit_hit is not None:
        return None
    try:
        frame = read_frame(seen.result)
    except FrameInvalid:
        return None
    return frame if frame.exit_code == seen.exit_code else None


def _check(request: ExecutionRequest, limits: Limits) -> None:
    """Check what a request may ask of a sandbox with these limits.

    Raises:
        RequestInvalid: says which bound it breaks.
    """
    if request.timeout_ms > limits.timeout_ms_max:
        raise RequestInvalid(f"timeout is above {limits.timeout_ms_max} ms")
    size = sum(-(-len(content) // _BLOCK_BYTES) * _BLOCK_BYTES for content in request.files.values())
    if size > limits.disk_bytes:
        raise RequestInvalid(f"the files take {size} bytes of disk, the bound is {limits.disk_bytes}")
    names = {path for name in request.files for path in (name, *map(str, PurePosixPath(name).parents))}
    if len(names - {"."}) > limits.inodes:
        raise RequestInvalid(f"there are more than {limits.inodes} files and directories")


def _status(seen: Observation, frame: Frame | None) -> Status:
    if seen.cancelled:
        return Status.CANCELLED
    if seen.limit_hit is not None:
        return Status.LIMITED
    if frame is None:
        return Status.CRASHED
    return Status.COMPLETED if frame.exit_code == 0 and frame.error is None else Status.FAILED


def _signal_name(number: int | None) -> str | None:
    if number is None:
        return None
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _limit_reported(frame: Frame | None) -> Limit | None:
    """Name a limit that reached the code as an exception, so that only the code can tell of it."""
    if frame is None or frame.error is None:
        return None
    error = frame.error
    if error.type == "MemoryError":
        return Limit.MEMORY
    if error.type == "OSError" and any(text in error.message for text in ("File too large", "No space left")):
        return Limit.DISK
    if error.type == "RuntimeError" and "can't start new thread" in error.message:
        return Limit.THREADS
    return None
