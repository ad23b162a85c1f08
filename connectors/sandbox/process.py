"""What a run's process uses, and where it stands among the machine's others, by what the kernel says."""

from __future__ import annotations

import contextlib
import os

_LOWEST_PRIORITY = 19
_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def let_end_first(process_id: int) -> None:
    """Make a process the first that the kernel ends when memory is short."""
    with contextlib.suppress(OSError), open(f"/proc/{process_id}/oom_score_adj", "w") as file:
        file.write("1000")


def give_way(process_id: int) -> bool:
    """Give every thread of a process, and its session, the lowest priority; tell whether all have it now.

    A thread that is made meanwhile has that of the thread which made it, so that one more look finds it.
    """
    with contextlib.suppress(OSError), open(f"/proc/{process_id}/autogroup", "w") as file:
        file.write(str(_LOWEST_PRIORITY))
    complete = True
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{process_id}/task"):
            try:
                if os.getpriority(os.PRIO_PROCESS, int(task)) != _LOWEST_PRIORITY:
                    complete = False
                    os.setpriority(os.PRIO_PROCESS, int(task), _LOWEST_PRIORITY)
            except ProcessLookupError:
                # What it made before it ended may have been missed.
                complete = False
    return complete


def use(process_id: int) -> tuple[int, float, bool]:
    """Return a process's threads, their time in milliseconds, and whether its first thread would run."""
    try:
        with open(f"/proc/{process_id}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return 0, 0.0, False
    cpu_ms = (int(fields[11]) + int(fields[12])) * 1000 / _CLOCK_TICKS_PER_S
    return int(fields[17]), cpu_ms, fields[0] == b"R"


def memory_bytes(process_id: int, *, reserved: bool) -> int:
    """Return how much memory a process holds.

    Args:
        process_id: of the process.
        reserved: count its whole address space, since code may take memory out of what is resident and keep
            it; else what is resident and its own, where more is reserved than can ever be used.
    """
    names = (b"VmSize",) if reserved else (b"RssAnon", b"RssShmem", b"VmSwap")
    with contextlib.suppress(OSError):
        # The first thread may have ended, and no longer knows of the memory that the others hold.
        for task in os.listdir(f"/proc/{process_id}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{process_id}/task/{task}/status", "rb") as file:
                lines = [line.partition(b":") for line in file.read().splitlines()]
                kilobytes = [int(text.split()[0]) for name, _, text in lines if name in names]
                if kilobytes:
                    return sum(kilobytes) * 1024
    return 0
