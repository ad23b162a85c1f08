"""Failpoints: named places at which a test can end or stop the process, as a power cut would.

Off, a failpoint costs one comparison. `arm` is called once at the start of a worker or a sink, from a setting
meant for tests.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PLACES: Final[Mapping[str, str]] = {
    "ingested": "a batch came from Kafka; nothing of it is read",
    "decided": "it is decided; nothing is written",
    "stored_in_part": "the changelog has some of the batch's records",
    "stored": "the changelog has all of them; nothing is published",
    "published_in_part": "some of the outbox is published",
    "published": "all of it is; nothing is acknowledged",
    "acknowledged": "the batch is acknowledged; its offsets are not yet committed",
    "committing": "offsets are about to be committed",
    "committed": "Kafka's group has the offsets",
    "revoked": "partitions are being taken away; what was on its way has not ended",
    "recovered": "partitions came and the tables are recovered; nothing is read yet",
    "timer_published": "a timer that came due is published; the session has not seen it",
    "departures_stored": "it is durable that keys leave; the table still has them",
    "inputs_kept": "inputs that a state lets go of are known beside it; the table still has the state",
    "floors_stored": "it is durable what was taken in, and forwarded; nothing is acknowledged",
    "call_accepted": "the effect ledger knows the calls; they are not acknowledged",
    "call_dispatched": "a call is about to run",
    "call_ended": "it ran; the ledger does not know its outcome",
    "outcome_stored": "the ledger knows the outcome; it is not published",
    "outcome_published": "it is published; the ledger still holds it",
    "sink_fetched": "the sink has read a batch; nothing of it is written",
    "sink_written": "rows and offsets are written; the transaction is open",
    "sink_committed": "Postgres has committed; the sink has not noted it",
}
"""What has happened at each failpoint, and what has not; docs/faults.md shows it as a table."""
NAMES: Final = frozenset(PLACES)
SINK_NAMES: Final = frozenset(name for name in NAMES if name.startswith("sink_"))
"""Reached by a sink; all others by a worker."""


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


def table() -> str:
    """Return the table of docs/faults.md."""
    lines = ["| failpoint | in | what has happened, and what has not |", "|---|---|---|"]
    for name, text in PLACES.items():
        lines.append(f"| `{name}` | {'sink' if name in SINK_NAMES else 'worker'} | {text} |")
    return "\n".join(lines) + "\n"


def _act(failpoint: Failpoint) -> None:
    failpoint.hits_left -= 1
    if failpoint.hits_left == 0:
        os.kill(os.getpid(), signal.SIGKILL if failpoint.action is Action.KILL else signal.SIGSTOP)
