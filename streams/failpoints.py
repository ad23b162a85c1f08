"""Failpoints: named places at which a test can end or stop the process, as a power cut would.

Off, a failpoint costs one comparison. `arm` is called by the worker alone, from a setting meant for tests.
"""

import os
import signal
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NAMES: Final = frozenset(
    {
        "decided",  # the batch is decided; nothing is written
        "stored_in_part",  # the changelog has some of the batch's records
        "stored",  # the changelog has all of them; nothing is published
        "published_in_part",  # some of the outbox is published
        "published",  # all of it is; nothing is acknowledged
        "acknowledged",  # the batch is acknowledged; the offsets are not yet committed
        "recovered",  # the tables are recovered; nothing is read yet
        "timer_published",
        "call_accepted",  # the effect ledger knows the calls; they are not acknowledged
        "call_dispatched",  # a call is about to run
        "call_ended",  # it ran; the ledger does not know its outcome
        "outcome_stored",  # the ledger knows the outcome; it is not published
        "outcome_published",  # it is published; the ledger still holds it
    }
)


class Action(StrEnum):
    """What happens at a failpoint."""

    KILL = "kill"
    """SIGKILL to itself."""
    STOP = "stop"
    """SIGSTOP to itself; somebody else continues it."""


@dataclass(slots=True, kw_only=True)
class Failpoint:
    """One armed failpoint."""

    name: str
    hits_left: int
    action: Action


_armed: Failpoint | None = None


def parse(text: str) -> Failpoint:
    """Read `name:nth[:action]`, for example `stored:3:kill`.

    Raises:
        ValueError: with a sentence for a person.
    """
    parts = text.split(":")
    action = parts[2] if len(parts) == 3 else "kill"
    sound = len(parts) in (2, 3) and parts[0] in NAMES and parts[1].isdigit() and parts[1] != "0"
    if not sound or action not in tuple(Action):
        raise ValueError(f"a failpoint is NAME:NTH[:kill|stop], with a name of {', '.join(sorted(NAMES))}")
    return Failpoint(name=parts[0], hits_left=int(parts[1]), action=Action(action))


def arm(failpoint: Failpoint | None) -> None:
    """Arm one failpoint for this process, or none."""
    global _armed  # one process has one failpoint, checked without any indirection
    _armed = failpoint


def reach(name: str) -> None:
    """Pass a failpoint; does nothing unless it is armed."""
    if _armed is not None and _armed.name == name:
        _act(_armed)


def _act(failpoint: Failpoint) -> None:
    failpoint.hits_left -= 1
    if failpoint.hits_left == 0:
        os.kill(os.getpid(), signal.SIGKILL if failpoint.action is Action.KILL else signal.SIGSTOP)
