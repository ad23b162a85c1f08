"""What a run's process uses, and where it stands among the machine's others, by what the kernel says."""

from __future__ import annotations

import contextlib
import os

_LOWEST_PRIORITY = 19
_CLOCK_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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


def use(process_id: int) -> tuple[int, float, int, bool]:
    """Return a process's threads, their time in milliseconds, its memory in bytes; whether it would run."""
    try:
        with open(f"/proc/{process_id}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
    except OSError:
        return 0, 0.0, 0, False
    cpu_ms = (int(fields[11]) + int(fields[12])) * 1000 / _CLOCK_TICKS_PER_S
    return int(fields[17]), cpu_ms, int(fields[21]) * _PAGE_BYTES, fields[0] == b"R"
