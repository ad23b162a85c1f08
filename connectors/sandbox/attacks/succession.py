"""Attacks across two runs: the first leaves something wherever it can, the second looks for it."""

from __future__ import annotations

from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.result import ExecutionResult

NAME, GROUP = "leave_for_the_next_run", "succession"
MARK = "left-by-the-first-run"

PLANT = f"""
import builtins, os, sys, tempfile
builtins.left = {MARK!r}
sys.modules["left"] = sys
os.environ["LEFT"] = {MARK!r}
places = [".", "..", tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", "/scratch", "/work", *sys.path]
written = []
for place in places:
    try:
        with open(f"{{place}}/left.txt", "w") as file:
            file.write({MARK!r})
        written.append(place)
    except OSError:
        pass
written
"""

SEARCH = f"""
import builtins, os, sys, tempfile
found = []
if hasattr(builtins, "left") or "left" in sys.modules or "LEFT" in os.environ:
    found.append("state of the interpreter")
places = [".", "..", tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", "/scratch", "/work", *sys.path]
for place in places:
    try:
        if {MARK!r} in open(f"{{place}}/left.txt").read():
            found.append(place)
    except OSError:
        pass
    try:
        found.extend(name for name in os.listdir(place) if "left" in name)
    except OSError:
        pass
found
"""


def outcome(first: ExecutionResult, second: ExecutionResult) -> Outcome:
    """Return whether anything came over from the first run to the second."""
    if not first.value:
        detail, stopped = f"nothing could be planted: {first.error}", False
    elif second.value == []:
        detail, stopped = "the next run found nothing", True
    else:
        detail, stopped = f"found {second.value!r} {second.error}", False
    return Outcome(name=NAME, group=GROUP, stopped=stopped, detail=detail)
