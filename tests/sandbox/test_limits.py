"""Limits hold whatever the code does to hide what it uses, in every tier and by each way of keeping files."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from connectors.sandbox.attacks.filling import FILLING
from connectors.sandbox.attacks.suite import with_limits
from connectors.sandbox.child.wasm import EXIT_CODE_MAX
from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.execution import Executor
from connectors.sandbox.limits import MIB, Limit, Limits
from connectors.sandbox.probe import Probe
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import ExecutionResult, Status
from connectors.sandbox.tier import Tier
from tests.sandbox.conftest import available

# Far more time than any of these needs, so that only what they use up can end them.
TIMEOUT_MS = 120_000
LIMITS = Limits(
    cpu_ms=100_000,
    memory_bytes=512 * MIB,
    disk_bytes=16 * MIB,
    inodes=500,
    threads=32,
    output_bytes=64 * 1024,
)


def run(executor: Executor, tier: Tier, code: str, *, mounts: bool = True) -> ExecutionResult:
    bounded = with_limits(executor, LIMITS)
    host = dataclasses.replace(bounded.host, mounts=bounded.host.mounts and mounts)
    bounded = dataclasses.replace(bounded, host=host)
    request = ExecutionRequest(code=code, timeout_ms=TIMEOUT_MS)
    return bounded.execute(tier, request, lambda _: None, threading.Event(), "limits")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mounts", [True, False], ids=["mounted", "watched"])
@pytest.mark.parametrize("name", FILLING)
def test_the_disk_is_bounded_wherever_files_are_hidden(
    name: str, mounts: bool, tier: Tier, executor: Executor
) -> None:
    if tier is Tier.NS and not mounts:
        pytest.skip("a namespace always has a file system of its own")

    result = run(executor, tier, FILLING[name], mounts=mounts)

    assert result.isolation.scratch_fixed is (tier is Tier.NS or (mounts and executor.host.mounts))
    if tier is Tier.WASM and result.status is Status.FAILED:
        assert result.error is not None, "what the guest can't even try"
        return
    told = result.limit_hit or result.limit_reported
    assert told in (Limit.DISK, Limit.INODES) or "No space left" in result.stderr, result


def test_what_a_run_filled_up_before_anybody_looked_counts(executor: Executor, native_tier: Tier) -> None:
    # Ends by itself, orderly, in less time than lies between two looks.
    code = "for index in range(2):\n    open(str(index), 'wb').write(bytes(8_500_000))\nimport os"

    result = run(executor, native_tier, code)

    assert (result.status, result.limit_hit) == (Status.LIMITED, Limit.DISK)


def test_code_meets_a_full_file_system_before_it_has_passed_the_limit_by_much(
    executor: Executor, native_tier: Tier
) -> None:
    if native_tier is Tier.LSM and not executor.host.mounts:
        pytest.skip("NOT TESTED HERE: this machine lets no process mount anything")
    code = """written = 0
try:
    while True:
        with open(str(written), "wb", buffering=0) as file:
            written += file.write(bytes(100_000))
except OSError:
    pass
import os
for name in os.listdir("."):
    os.unlink(name)
written"""

    result = run(executor, native_tier, code)

    if result.status is Status.LIMITED:
        assert result.limit_hit is Limit.DISK
    else:
        assert isinstance(result.value, int)
        assert result.value <= LIMITS.disk_bytes + 1 * MIB


def test_memory_in_sockets_is_bounded_by_one_table_of_descriptors(
    executor: Executor, native_tier: Tier
) -> None:
    code = """import ctypes, socket, threading
libc = ctypes.CDLL(None, use_errno=True)
sent = []
def hold(descriptors=[]):
    libc.syscall(436, 20, 0x7FFFFFFF, 2)
    while True:
        try:
            pair = socket.socketpair()
        except OSError:
            return
        descriptors.append(pair)
        for end in pair:
            end.setblocking(False)
            try:
                while True:
                    sent.append(end.send(bytes(65536)))
            except BlockingIOError:
                pass
threads = [threading.Thread(target=hold) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sum(sent)"""

    result = run(executor, native_tier, code)

    assert isinstance(result.value, int), result
    # 128 descriptors, and no more, with what each end of a pair takes.
    assert 0 < result.value <= 128 * 512 * 1024


def test_a_run_wakes_up_in_a_space_that_is_its_own(executor: Executor, native_tier: Tier) -> None:
    result = run(executor, native_tier, "import os\n[os.listdir('.'), ' '.join(sorted(os.listdir('..')))]")

    assert result.value in ([[], "tmp work"], [[], "result tmp work"])


@pytest.mark.parametrize("mounts", [True, False], ids=["mounted", "watched"])
def test_files_are_renamed_and_moved_as_usual(mounts: bool, executor: Executor, native_tier: Tier) -> None:
    code = """import os, shutil
os.mkdir("a"); os.mkdir("b")
open("a/x", "w").write("text")
os.rename("a/x", "a/y")
shutil.move("a/y", "b/z")
shutil.copytree("b", "c")
[sorted(os.listdir("a")), os.listdir("b"), open("c/z").read()]"""

    result = run(executor, native_tier, code, mounts=mounts)

    assert result.value == [[], ["z"], "text"], result


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("raise MemoryError", Limit.MEMORY),
        ("bytearray(2 * 10 ** 9)", Limit.MEMORY),
        ("raise OSError(28, 'No space left on device')", Limit.DISK),
        ('raise RuntimeError("can\'t start new thread")', Limit.THREADS),
    ],
)
def test_a_limit_of_which_only_the_code_tells_is_told_apart(
    code: str, limit: Limit, executor: Executor, tier: Tier
) -> None:
    result = run(executor, tier, code)

    assert (result.status, result.limit_hit, result.limit_reported) == (Status.FAILED, None, limit)


@pytest.mark.parametrize("exit_code", [0, 3, 70, 129, 137, 139, 152, 255])
def test_an_exit_code_is_what_the_process_left_with(exit_code: int, executor: Executor, tier: Tier) -> None:
    # WebAssembly knows no others.
    exit_code = min(exit_code, EXIT_CODE_MAX) if tier is Tier.WASM else exit_code
    by_force = run(executor, tier, f"import os\nos._exit({exit_code})")
    orderly = run(executor, tier, f"import sys\nsys.exit({exit_code})")

    assert (by_force.status, by_force.exit_code, by_force.signal_name) == (Status.CRASHED, exit_code, None)
    assert (orderly.exit_code, orderly.signal_name) == (exit_code, None)
    assert orderly.status is (Status.FAILED if exit_code else Status.COMPLETED)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGSEGV", "SIGTERM"])
def test_a_signal_that_ended_the_process_is_told(name: str, executor: Executor, native_tier: Tier) -> None:
    result = run(executor, native_tier, f"import os, signal\nos.kill(os.getpid(), signal.{name})")

    assert (result.status, result.signal_name, result.exit_code) == (Status.CRASHED, name, None)
    assert result.limit_hit is None


def test_an_exit_code_that_webassembly_does_not_know_is_its_highest(
    executor: Executor, probes: dict[Tier, Probe]
) -> None:
    available(Tier.WASM, probes)

    result = run(executor, Tier.WASM, "import sys\nsys.exit(200)")

    assert (result.status, result.exit_code) == (Status.FAILED, EXIT_CODE_MAX)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"large": bytes(7 * MIB), "more": bytes(2 * MIB)}, "bytes of disk"),
        ({f"{index}/a/b/c/d/e/f": b"" for index in range(64)}, "300 files and directories"),
    ],
)
def test_files_that_break_the_sandboxs_own_bounds_are_the_callers_fault(
    files: dict[str, bytes], fault: str, executor: Executor, tier: Tier
) -> None:
    bounded = with_limits(executor, dataclasses.replace(LIMITS, disk_bytes=8 * MIB, inodes=300))

    with pytest.raises(RequestInvalid, match=fault):
        bounded.execute(
            tier, ExecutionRequest(code="", files=files), lambda _: None, threading.Event(), "limits"
        )


def test_threads_are_bounded_whoever_the_parent_is(executor: Executor, native_tier: Tier) -> None:
    code = """import threading, time
threading.stack_size(64 * 1024)
count = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(900,), daemon=True).start()
        count += 1
except RuntimeError:
    pass
count"""

    result = run(executor, native_tier, code)

    if result.status is Status.LIMITED:
        assert result.limit_hit is Limit.THREADS
    else:
        assert isinstance(result.value, int)
        assert result.value <= LIMITS.threads
