"""What a run left behind: all that the checker looks at, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from connectors.local_model.ledger import LedgerEntry
from processors.projections.rows import Place as RecordPlace
from schemas.envelope import Envelope
from sinks.comparison import TableComparison
from tests.chaos.ledgers import ToolEntry
from tests.invariants.entries import BudgetEntry

Slot = tuple[str, int]
"""Topic without prefix, and partition."""
Place = tuple[str, int, int]
"""Topic without prefix, partition and offset."""
Row = Mapping[str, object]
"""By column, in the form that tests.chaos.rows gives values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One record of any topic of the catalogue."""

    place: RecordPlace
    key: bytes | None
    event: Envelope | None
    """None for one that does not decode."""
    fault: str = ""
    """Why it does not decode, or `unknown_fact`."""
    ours: bool = True
    """True when it says that it was written by our codec."""
    value: bytes | None = None
    """Kept only of those that do not decode."""

    @property
    def at(self) -> Place:
        """Where it stands."""
        return (self.place.topic, self.place.partition, self.place.offset)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRow:
    """One row of event_log."""

    event_id: str
    topic: str
    session_id: str | None
    type: str
    sequence: int
    digest: str
    """Of all that it says, but for its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """One record of a shell's changelog: what it believed to have applied when it wrote it."""

    shell: str
    key: str
    positions: Mapping[str, int] | None
    """By source topic the last offset applied; None: the key was dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A run at rest."""

    records: tuple[LogRecord, ...]
    """Of each partition in order."""
    ends: Mapping[Slot, int] = field(default_factory=dict)
    """Where each partition ended when gathering began."""
    committed: Mapping[tuple[str, str, int], int] = field(default_factory=dict)
    """By shell, topic and partition, what its group has acknowledged."""
    stored: Mapping[Slot, int] = field(default_factory=dict)
    """Where the sink stands."""
    rows: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    """By table and id."""
    logged: tuple[LoggedRow, ...] = ()
    entries: tuple[BudgetEntry, ...] = ()
    model_ledger: tuple[LedgerEntry, ...] = ()
    tool_ledger: tuple[ToolEntry, ...] = ()
    sent: Mapping[str, str] = field(default_factory=dict)
    """Session by event id, of each input that Kafka acknowledged to whoever sent it."""
    states: tuple[StateRecord, ...] = ()
    """Of each key in the order of its changelog."""
    rebuilt: tuple[TableComparison, ...] | None = None
    """How the tables compare with those that `cartrita rebuild` makes; None: it was not run."""
