"""What was asked of the local server, for checkers to hold against what the log says."""

from collections import deque
from dataclasses import asdict, dataclass

ENTRIES_MAX = 200_000
"""Older entries are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One HTTP request and how it ended."""

    client_request_id: str
    """The header X-Client-Request-Id; empty when there was none."""
    endpoint: str
    """chat or embeddings."""
    role: str
    """planner, critic, agent <name>, synthesizer, analysis <type>; empty for others."""
    model: str
    prompt_tokens: int
    completion_tokens: int
    outcome: str
    """answered, client_gone, rejected, or the kind of the fault."""
    status: int
    """HTTP status; 0 when no whole response was sent."""
    billed: bool
    """True when a provider would bill the request: it got as far as producing an answer."""
    started_ms: int
    ended_ms: int


class Ledger:
    """The latest requests, in the order in which they ended."""

    def __init__(self) -> None:
        """Begin empty."""
        self._entries: deque[LedgerEntry] = deque(maxlen=ENTRIES_MAX)

    def add(self, entry: LedgerEntry) -> None:
        """Note a request that has ended."""
        self._entries.append(entry)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def entries(self) -> tuple[LedgerEntry, ...]:
        """Return all entries."""
        return tuple(self._entries)

    def plain(self) -> list[dict[str, object]]:
        """Return all entries as JSON-able objects."""
        return [asdict(entry) for entry in self._entries]
