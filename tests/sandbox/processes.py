"""What processes run below this one, and how the kernel ranks them."""

import os
import time
from pathlib import Path


def seen_with(wanted: tuple[int, str], seconds: float) -> bool:
    """Wait until a process below this one has a precedence, as `precedence` gives it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if wanted in {precedence(process) for process in descendants()}:
            return True
        time.sleep(0.02)
    return False


def precedence(process: int) -> tuple[int, str]:
    """Return a process's niceness and how soon the kernel ends it when memory is short."""
    try:
        short_of_memory = Path(f"/proc/{process}/oom_score_adj").read_text().strip()
        return os.getpriority(os.PRIO_PROCESS, process), short_of_memory
    except (FileNotFoundError, ProcessLookupError):
        return 0, ""


def descendants() -> set[int]:
    """Return the processes below this one, at whatever depth."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(name)] = int(stat.rpartition(") ")[2].split()[1])
    found: set[int] = set()
    border = {os.getpid()}
    while border:
        border = {child for child, parent in parents.items() if parent in border}
        found |= border
    return found


def children() -> set[int]:
    """Return the processes below this one, except those that have ended and wait to be noticed."""
    found = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == os.getpid() and fields[0] != "Z":
            found.add(int(name))
    return found
