"""Nothing is left behind: no process, file, mount, descriptor, thread or memory."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.interpreter import find_bubblewrap
from connectors.sandbox.probe import Probe
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import Status
from connectors.sandbox.sandbox import Sandbox, SandboxConfig, open_executor
from connectors.sandbox.tier import Tier, TierDemand
from tests.sandbox.conftest import available

# A mix of what runs do: end well, fail, leave files, crash, run into a limit.
CODES = (
    "1 + 1",
    "1 / 0",
    "import os\nos.makedirs('a/b')\nopen('a/b/c', 'w').write('x' * 10_000)\nos.symlink('/etc/passwd', 'l')",
    "import os\nos._exit(3)",
    "while True: print('x' * 10_000)",
    "x = bytearray(4 * 10 ** 9)",
)

# Of this process alone, so that a sandbox of another one on this machine is not taken for a leftover.
USER_IDS = 64
FIRST_USER_ID = 100_000 + os.getpid() * USER_IDS

PARENT = """
import asyncio, sys
from pathlib import Path
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.sandbox import Sandbox, SandboxConfig
from connectors.sandbox.tier import TierDemand

async def main():
    sandbox = await Sandbox.open(SandboxConfig(state_path=Path(sys.argv[1]), demand=TierDemand(sys.argv[2])))
    code = "print('begun')\\nimport time\\ntime.sleep(600)"
    await sandbox.run(ExecutionRequest(code=code, timeout_ms=100_000), lambda _: print("begun", flush=True))

asyncio.run(main())
"""


# Waits for a start that does not go on.
CUT_OFF = """
import sys, threading
from pathlib import Path
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.sandbox import SandboxConfig, open_executor
from connectors.sandbox.tier import Tier

executor = open_executor(SandboxConfig(state_path=Path(sys.argv[1]), bubblewrap_path=Path(sys.argv[2])))
request = ExecutionRequest(code="while True:\\n    pass", timeout_ms=100_000)
executor.execute(Tier.NS, request, lambda _: None, threading.Event(), "")
"""


async def run_many(tier: Tier, state_path: Path, count: int) -> None:
    """Run `count` requests and compare what this process and machine hold before and after."""
    scratch = state_path / "scratch"
    # Opening a sandbox sweeps what runs of killed processes left: there may be less afterwards.
    scratch_before = set(scratch.iterdir())
    config = SandboxConfig(state_path=state_path, demand=TierDemand(tier.value), user_id_first=FIRST_USER_ID)
    sandbox = await Sandbox.open(config)

    async def batch(start: int, end: int) -> None:
        codes = (CODES[index % len(CODES)] for index in range(start, end))
        pending = (ExecutionRequest(code=code, timeout_ms=10_000) for code in codes)
        await asyncio.gather(*(sandbox.run(request) for request in pending))

    await batch(0, 16)
    before = held()
    memory_before = memory_bytes()
    for start in range(16, count, 32):
        await batch(start, min(start + 32, count))
    after = held()
    await sandbox.close()

    assert after == before
    assert memory_bytes() - memory_before < 48 * 1024 * 1024
    assert set(scratch.iterdir()) <= scratch_before


def held() -> dict[str, object]:
    """Return what must not grow: descriptors, threads, mounts, children, shared memory, runs."""
    gc.collect()
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        # A sandbox keeps those in which its runs are watched, and makes them as it needs them.
        "threads": sum(not thread.name.startswith("sandbox") for thread in threading.enumerate()),
        "mounts": Path("/proc/self/mountinfo").read_text().count("\n"),
        "children": descendants(),
        "shared_memory": sum(_is_of_run(int(line.split()[7])) for line in segments[1:]),
        "shared_files": sum(_is_of_run(path.lstat().st_uid) for path in Path("/dev/shm").iterdir()),
        "runs": processes_of_runs(),
    }


def memory_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def descendants() -> int:
    """Return how many processes have this one as their parent, the dead that nobody reaped included."""
    return sum(parent_of(name) == os.getpid() for name in os.listdir("/proc") if name.isdigit())


def processes_of_runs() -> set[int]:
    """Return the processes of the users that runs get."""
    found = set()
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and _is_of_run(os.stat(f"/proc/{name}").st_uid):
                found.add(int(name))
        except FileNotFoundError:
            continue
    return found


def _is_of_run(user_id: int) -> bool:
    return FIRST_USER_ID <= user_id < FIRST_USER_ID + USER_IDS


def parent_of(process: str) -> int:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def tree_of(process: int) -> set[int]:
    """Return all processes below `process`."""
    below: set[int] = set()
    border = {process}
    while border:
        border = {int(name) for name in os.listdir("/proc") if name.isdigit() and parent_of(name) in border}
        below |= border
    return below


async def test_sixty_runs_leave_nothing_behind(tier: Tier, state_path: Path) -> None:
    await run_many(tier, state_path, 60)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_a_thousand_runs_leave_nothing_behind(tier: Tier, state_path: Path) -> None:
    await run_many(tier, state_path, 1_000)


def test_a_run_ends_with_its_parent(tier: Tier, state_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(state_path), tier.value]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"begun\n"
        below = tree_of(parent.pid)
        assert below

        parent.send_signal(signal.SIGKILL)
        parent.wait(10)

    deadline = time.monotonic() + 10
    while (alive := {process for process in below if Path(f"/proc/{process}").exists()}) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    assert alive == set()


def test_what_waits_for_a_start_that_is_cut_off_ends_with_it(tmp_path: Path) -> None:
    """Such as the process that bwrap has made in a namespace and has not yet let run."""
    program, made = tmp_path / "bwrap", tmp_path / "made"
    program.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {made}.new\nmv {made}.new {made}\nwait\n")
    program.chmod(0o755)
    executor = open_executor(SandboxConfig(state_path=tmp_path / "state", bubblewrap_path=program))
    cancel, request = threading.Event(), ExecutionRequest(code="1", timeout_ms=1_000)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(executor.execute, Tier.NS, request, lambda _: None, cancel, "")
        while not made.exists() and not running.done():
            time.sleep(0.01)
        waiting = os.pidfd_open(int(made.read_text()))
        cancel.set()

    with pytest.raises(SandboxUnavailable):
        running.result()
    executor.close()
    ended = select.poll()
    ended.register(waiting, select.POLLIN)
    assert ended.poll(30_000)
    os.close(waiting)


def test_a_namespace_that_is_made_after_its_parent_has_ended_ends_at_once(
    tmp_path: Path, probes: dict[Tier, Probe]
) -> None:
    available(Tier.NS, probes)
    tmp_path.chmod(0o711)
    bubblewrap, program, begun, goes_on = (
        find_bubblewrap(),
        *(tmp_path / name for name in ("b", "begun", "go")),
    )
    program.write_text(
        f"#!/bin/sh\necho $$ > {begun}.new\nmv {begun}.new {begun}\n"
        f'while [ ! -e {goes_on} ]; do sleep 0.05; done\nexec {bubblewrap} "$@"\n'
    )
    program.chmod(0o755)
    command = [sys.executable, "-c", CUT_OFF, str(tmp_path / "state"), str(program)]
    with subprocess.Popen(command) as parent:
        while not begun.exists() and parent.poll() is None:
            time.sleep(0.01)
        made = os.pidfd_open(int(begun.read_text()))
        parent.kill()

    goes_on.touch()

    ended = select.poll()
    ended.register(made, select.POLLIN)
    assert ended.poll(60_000)
    os.close(made)


async def test_a_run_ends_with_whoever_made_its_namespace(
    state_path: Path, probes: dict[Tier, Probe]
) -> None:
    available(Tier.NS, probes)
    sandbox = await Sandbox.open(SandboxConfig(state_path=state_path, demand=TierDemand.NS))
    code = "print('begun', flush=True)\nimport time\ntime.sleep(600)"
    before = tree_of(os.getpid())

    async def end_bubblewrap(_: object) -> None:
        for process in tree_of(os.getpid()) - before:
            if parent_of(str(process)) == os.getpid():
                os.kill(process, signal.SIGKILL)

    result = await sandbox.run(ExecutionRequest(code=code, timeout_ms=100_000), end_bubblewrap)

    assert (result.status, result.signal_name, result.limit_hit) == (Status.CRASHED, "SIGKILL", None)
    assert tree_of(os.getpid()) <= before
    await sandbox.close()
