"""The topics that no event stands on: changelogs of the shells' tables and floors, and the clock probe."""

from dataclasses import dataclass
from typing import Final

SESSION_STATES: Final = "session-states"
ACCOUNT_STATES: Final = "account-states"
CAPABILITY_STATES: Final = "capability-states"
MODEL_LEDGER: Final = "model-ledger"
TOOL_LEDGER: Final = "tool-ledger"
SCHEDULE_STATES: Final = "schedule-states"

TABLES: Final = (
    SESSION_STATES,
    ACCOUNT_STATES,
    CAPABILITY_STATES,
    MODEL_LEDGER,
    TOOL_LEDGER,
    SCHEDULE_STATES,
)
FLOORS: Final = "intake-floors"
"""What shells without state have taken in; it has one partition, for it holds a record for each of theirs."""
CLOCK_PROBE: Final = "clock-probe"
"""Kafka stamps its records with its own time, so that a worker can compare clocks at its start."""


def changelog_of(prefix: str, table: str) -> str:
    """Return the full name of a table's changelog topic."""
    return f"{prefix}{table}-changelog"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """How far a changelog record's time may lie from Kafka's: whoever writes later than that was replaced."""

    before_max_ms: int
    after_max_ms: int

    @classmethod
    def of(cls, session_timeout_ms: int) -> "Fence":
        """Return the fence for a session timeout.

        A member that sends nothing is replaced after the session timeout; its records are refused from 5/8 of
        it on. The rest is for clocks, which may be `after_max_ms` (an eighth, at least 500) ahead.
        """
        return cls(
            before_max_ms=session_timeout_ms * 5 // 8,
            after_max_ms=max(session_timeout_ms // 8, 500),
        )
