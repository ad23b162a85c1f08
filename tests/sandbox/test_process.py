"""What a run holds and uses is known by the kernel's word, however it is hidden."""

from __future__ import annotations

import threading

import pytest

from connectors.sandbox.attacks.suite import with_limits
from connectors.sandbox.execution import Executor
from connectors.sandbox.limits import MIB, Limits
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.tier import Tier

LIMITS = Limits(cpu_ms=60_000, memory_bytes=512 * MIB)
HELD_BYTES = 200 * MIB

FIRST_THREAD_ENDS = f"""
import ctypes, os, threading, time
held = bytearray({HELD_BYTES})
for place in range(0, len(held), 4096):
    held[place] = 1
threading.Thread(target=time.sleep, args=(900,)).start()
time.sleep(0.2)
ctypes.CDLL(None).syscall({{"x86_64": 60, "aarch64": 93}}[os.uname().machine], 0)
"""

# What is shared stays in memory after the advice, but no longer counts as resident.
SHARED_AND_NOT_RESIDENT = f"""
import mmap, time
held = mmap.mmap(-1, {HELD_BYTES})
for place in range(0, len(held), 4096):
    held[place] = 1
held.madvise(mmap.MADV_DONTNEED)
assert held[0] == 1
time.sleep(900)
"""


def held_while_idle(executor: Executor, tier: Tier, code: str) -> int:
    """Return what the parent says that a run holds, the first time that it does nothing."""
    cancel, held = threading.Event(), []

    def note(held_bytes: int | None) -> None:
        if held_bytes is not None:
            held.append(held_bytes)
            cancel.set()

    request = ExecutionRequest(code=code, timeout_ms=120_000)
    with_limits(executor, LIMITS).execute(tier, request, lambda _: None, cancel, "", note)
    return held[0]


@pytest.mark.parametrize("code", [FIRST_THREAD_ENDS, SHARED_AND_NOT_RESIDENT], ids=["leader", "shared"])
def test_memory_of_a_run_that_sleeps_is_known_however_it_is_hidden(
    code: str, executor: Executor, native_tier: Tier
) -> None:
    assert held_while_idle(executor, native_tier, code) >= HELD_BYTES


def test_a_run_that_only_sleeps_holds_little(executor: Executor, tier: Tier) -> None:
    assert held_while_idle(executor, tier, "import time\ntime.sleep(900)") <= 96 * MIB
