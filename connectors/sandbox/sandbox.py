"""The sandbox: opened once, it finds the tier that holds on this machine, and then runs requests in it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.execution import Executor
from connectors.sandbox.interpreter import find_bubblewrap, find_interpreter
from connectors.sandbox.launch import Host
from connectors.sandbox.limits import MIB, WAIT_MS_MAX, Limits
from connectors.sandbox.packages import NUMPY, ApprovedPackage
from connectors.sandbox.places import Capacity, Place, Places
from connectors.sandbox.probe import Probe, probe, refused_probe
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import ExecutionResult, OutputChunk
from connectors.sandbox.scratch import ScratchParent, can_mount
from connectors.sandbox.tier import Tier, TierDemand, candidates
from connectors.sandbox.users import USER_ID_COUNT, USER_ID_FIRST, UserPool
from connectors.sandbox.wasm_runtime import prepare_wasm

OutputHandler = Callable[[OutputChunk], Awaitable[None] | None]
ProgressHandler = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What the operator decides."""

    state_path: Path
    """A directory of this user that holds scratch space and the compiled guest; made if missing. Its parents
    must be open to the runs' users (mode 711 is enough) when this process is root."""
    demand: TierDemand = TierDemand.AUTO
    limits: Limits = field(default_factory=Limits)
    approved: tuple[ApprovedPackage, ...] = (NUMPY,)
    concurrency_max: int = 8
    """Runs of one tenant that work at a time; a quarter more is for others, three times more may sleep."""
    asleep_bytes_max: int = 1536 * MIB
    """Memory that all sleeping runs may hold together, of one tenant three quarters; a run whose memory is
    beyond it keeps its place though it sleeps."""
    waiting_max: int = 64
    """Requests of one tenant that wait for a place; further ones are told that the sandbox is busy."""
    wait_ms_max: int = WAIT_MS_MAX
    """Whoever has waited so long for a place is told the same."""
    bubblewrap_path: Path | None = None
    """None takes the one of the wheel, or else the system's."""
    user_id_first: int = USER_ID_FIRST
    """Runs of a root parent get one of the USER_ID_COUNT numbers from here on each."""


class Sandbox:
    """Runs foreign code in the tier that was found at the start, and in no other."""

    def __init__(
        self, config: SandboxConfig, executor: Executor, tier: Tier, probes: tuple[Probe, ...]
    ) -> None:
        """Use `Sandbox.open` instead, which probes the machine."""
        self._config = config
        self._executor = executor
        capacity = Capacity(
            working=config.concurrency_max,
            reserve=-(-config.concurrency_max // 4),
            asleep=3 * config.concurrency_max,
            asleep_bytes=config.asleep_bytes_max,
            waiting=config.waiting_max,
            wait_s=config.wait_ms_max / 1000,
        )
        self._places = Places(capacity)
        self._threads = ThreadPoolExecutor(capacity.runs, thread_name_prefix="sandbox")
        self.tier = tier
        """REFUSE if no tier that the configuration accepts withstood the canary attack."""
        self.probes = probes
        """What was tried at the start, in order, with the reason why each tier was taken or not."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The names that a request may ask for."""
        return tuple(package.name for package in self._config.approved)

    @property
    def timeout_ms_max(self) -> int:
        """The longest timeout that a request may ask for."""
        return self._config.limits.timeout_ms_max

    @property
    def wait_ms_max(self) -> int:
        """The longest that a request waits for its turn."""
        return self._config.wait_ms_max

    @classmethod
    async def open(cls, config: SandboxConfig, on_progress: ProgressHandler | None = None) -> Sandbox:
        """Probe the machine and return a sandbox; it refuses to run anything if no tier holds.

        Args:
            config: what the operator decides.
            on_progress: told what happens, a line at a time; the first start compiles the guest of tier wasm
                if that tier is tried.

        Raises:
            SandboxUnavailable: this is no Linux, or this user may not start the interpreter.
        """
        return await asyncio.to_thread(_open, cls, config, on_progress or (lambda _: None))

    async def run(self, request: ExecutionRequest, on_output: OutputHandler | None = None) -> ExecutionResult:
        """Run `request` and return its result; output goes to `on_output` as it comes.

        Cancelling the task ends the process before the cancellation is passed on.

        Raises:
            RequestInvalid: the request breaks a bound of this sandbox.
            SandboxUnavailable: no tier holds, or the child could not be confined; nothing was run.
            SandboxBusy: too many runs wait already, or this one has waited too long.
        """
        async with contextlib.aclosing(self.stream(request)) as items:
            async for item in items:
                if isinstance(item, ExecutionResult):
                    return item
                if on_output is not None and (waiting := on_output(item)) is not None:
                    await waiting
        raise AssertionError("a stream ends with the result")

    async def stream(self, request: ExecutionRequest) -> AsyncGenerator[OutputChunk | ExecutionResult]:
        """Yield the output piece by piece, and the result last; raises like `run`."""
        self._require_tier()
        async with (
            self._places.take(request.tenant) as place,
            contextlib.aclosing(self._stream(request, place)) as items,
        ):
            async for item in items:
                yield item

    async def _stream(
        self, request: ExecutionRequest, place: Place
    ) -> AsyncGenerator[OutputChunk | ExecutionResult]:
        loop = asyncio.get_running_loop()
        # Bounded by the output limit, which the supervisor holds.
        queue: asyncio.Queue[OutputChunk | None] = asyncio.Queue()
        cancel = threading.Event()

        def pass_on(chunk: OutputChunk) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, chunk)

        def note_idle(held_bytes: int | None) -> None:
            loop.call_soon_threadsafe(self._places.note_idle, place, held_bytes)

        def execute() -> ExecutionResult:
            try:
                return self._executor.execute(
                    self.tier,
                    request,
                    pass_on,
                    cancel,
                    self.probes[-1].canary_id,
                    note_idle,
                )
            finally:
                loop.call_soon_threadsafe(queue.put_nowait, None)

        future = self._threads.submit(execute)
        try:
            while (chunk := await queue.get()) is not None:
                yield chunk
            result: ExecutionResult = await asyncio.wrap_future(future)
            yield result
        finally:
            cancel.set()
            # What has not begun is dropped; what runs is waited for, so that its process is gone on return.
            if not future.cancel() and not future.done():
                await asyncio.wait([asyncio.wrap_future(future)])

    async def close(self) -> None:
        """Wait for what is running, and delete the scratch space."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._executor.close()

    def _require_tier(self) -> None:
        if self.tier is Tier.REFUSE:
            reasons = (
                "; ".join(f"{tried.tier}: {tried.reason}" for tried in self.probes) or "by configuration"
            )
            raise SandboxUnavailable(f"sandbox_unavailable (demand {self._config.demand}): {reasons}")


def _open(cls: type[Sandbox], config: SandboxConfig, on_progress: ProgressHandler) -> Sandbox:
    if sys.platform != "linux":
        raise SandboxUnavailable(f"every tier needs Linux; this is {sys.platform}")
    executor = open_executor(config)
    probes: list[Probe] = []
    for tier in candidates(config.demand):
        if tier is Tier.WASM:
            try:
                executor = with_wasm(executor, config, on_progress)
            except SandboxUnavailable as error:
                probes.append(refused_probe(tier, str(error)))
                continue
        on_progress(f"probing tier {tier}")
        probes.append(probe(executor, tier))
        if probes[-1].holds:
            return cls(config, executor, tier, tuple(probes))
    return cls(config, executor, Tier.REFUSE, tuple(probes))


def open_executor(config: SandboxConfig) -> Executor:
    """Return an executor for this machine, with its scratch space, but without the guest of tier wasm."""
    config.state_path.mkdir(mode=0o711, parents=True, exist_ok=True)
    is_root = os.geteuid() == 0
    interpreter = find_interpreter()
    users = UserPool(config.user_id_first, USER_ID_COUNT, is_root=is_root)
    scratch_parent = ScratchParent(config.state_path / "scratch")
    return Executor(
        host=Host(
            interpreter=interpreter,
            bubblewrap=str(config.bubblewrap_path) if config.bubblewrap_path else find_bubblewrap(),
            limits=config.limits,
            mounts=can_mount(interpreter.executable, scratch_parent.path, is_root=is_root),
        ),
        approved=config.approved,
        users=users,
        scratch_parent=scratch_parent,
        wasm=None,
    )


def with_wasm(executor: Executor, config: SandboxConfig, on_progress: ProgressHandler) -> Executor:
    """Return `executor` with the guest of tier wasm ready; compiles it the first time.

    Raises:
        SandboxUnavailable: the guest or its engine is not installed.
    """
    return dataclasses.replace(executor, wasm=prepare_wasm(config.state_path / "wasm", on_progress))
