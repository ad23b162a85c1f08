"""The kinds of steps and of faults, and how often a simulation hit each pair of them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

FAULTS: Final = ("crash", "zombie", "revoke", "rewind", "duplicate", "reorder", "delay", "late")
_WRITES: Final = ("idle", "publish", "published")
_TABLE: Final = (*_WRITES, "store", "stored")
STEP_KINDS: Final = tuple(
    f"{shell}.{kind}"
    for shell, kinds in (
        ("ingress", _TABLE),
        ("session", _TABLE),
        ("account", _TABLE),
        ("model", (*_TABLE, "run")),
        ("tool", (*_TABLE, "run")),
        ("schedule", _TABLE),
    )
    for kind in kinds
)
_DECIDED: Final = ("acknowledge", "decided", "stored", "published", "acknowledged")
_CALLED: Final = (
    "acknowledge", "call_accepted", "call_dispatched", "call_ended", "outcome_stored", "outcome_published"
)  # fmt: skip
FAILPOINTS: Final = tuple(
    f"{shell}.{name}"
    for shell, names in (
        ("ingress", ("acknowledge", "decided", "published", "floors_stored")),
        ("session", (*_DECIDED, "timer_published", "departures_stored", "inputs_kept")),
        ("account", _DECIDED),
        ("model", _CALLED),
        ("tool", _CALLED),
        ("schedule", (*_DECIDED, "timer_published")),
    )
    for name in names
)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a simulation came to."""

    seed: int
    steps: int = 0
    faults: int = 0
    events: int = 0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind of step and fault, how often it was hit."""
    crashes: Counter[str] = field(default_factory=Counter)
    """By failpoint."""
    violation: str | None = None
