"""What fake servers write down of each request, on disk at once: the truth about bills and side effects."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

from connectors.local_model.ledger import Ledger, LedgerEntry

Entry = TypeVar("Entry", LedgerEntry, "ToolEntry")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEntry:
    """One request to a tool, as the tool's own books have it."""

    call_id: str
    """The header X-Client-Request-Id."""
    idempotency_key: str
    tool: str
    outcome: str
    """executed; repeated: the key was known, and the first result was given again; refused: nothing done."""
    fault: str
    """What the client got instead of the result; empty: the result."""
    at_ms: int


class DiskLedger(Ledger):
    """A model server's ledger that a kill of the server does not lose."""

    def __init__(self, path: Path) -> None:
        """Write to `path`, after what stands there."""
        super().__init__()
        self._path = path

    def add(self, entry: LedgerEntry) -> None:
        """Note a request that has ended."""
        super().add(entry)
        append(self._path, asdict(entry))


def append(path: Path, entry: Mapping[str, object]) -> None:
    """Write one line; it is there when this returns, whatever becomes of the process."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def read(path: Path, kind: type[Entry]) -> tuple[Entry, ...]:
    """Return all entries in their order; a line that a kill cut off is no entry."""
    if not path.exists():
        return ()
    known = {field.name for field in fields(kind)}
    entries = []
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        try:
            plain = json.loads(line)
        except ValueError:
            continue
        entries.append(kind(**{name: value for name, value in plain.items() if name in known}))
    return tuple(entries)
