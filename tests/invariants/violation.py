"""A promise that was broken, and the promises by name."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

INVARIANTS: Final = MappingProxyType(
    {
        "I1": "every acknowledged input is on the log once, and decided once",
        "I2": "a session's sequence has no gap and no conflict, and every cause exists",
        "I3": "folding the log gives every row of every projected table",
        "I4": "each call has one outcome; what must not be repeated ran at most once",
        "I5": "every task, turn and session ends once, and nothing follows",
        "I6": "nothing is overspent, charged twice or billed without being charged",
        "I7": "no task starts before what it depends on has ended",
        "I8": "no gated tool call without an approval",
        "I9": "deciding again gives what is on the log, digests included",
        "I10": "what cannot be used is put aside once, and its neighbours move on",
        "I11": "nothing crosses tenants",
        "I12": "at rest there is no lag, and nothing without an end",
        "I13": "a client that resumes sees each event once",
        "I14": "every record of ours decodes with the registry alone",
        "I15": "a rebuilt database has the same rows",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken promise."""

    invariant: str
    """A key of INVARIANTS."""
    subject: str
    """What it is about: a session, a call, a place on the log, a table."""
    message: str
    """One sentence."""
