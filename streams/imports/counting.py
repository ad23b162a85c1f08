"""What an import came to, as its summary tells."""

from dataclasses import dataclass, field
from typing import Final

from schemas.ports.version_one import BadRow

BAD_SHOWN_MAX: Final = 1_000
"""So many bad rows are named; all are counted."""


@dataclass(slots=True, kw_only=True)
class Counts:
    """How many of what."""

    sessions: int = 0
    messages: int = 0
    invocations: int = 0
    tasks: int = 0
    edges: int = 0
    tools: int = 0
    events: int = 0
    """That were put onto the log."""
    unchanged: int = 0
    """Events that stood in Postgres already."""
    own: int = 0
    """Rows that V2 itself had written into V1's tables."""
    waiting: int = 0
    """Records that the sink has not read yet, when it was last asked."""
    bad: int = 0
    bad_rows: list[BadRow] = field(default_factory=list)
    """The first of them."""

    def add_bad(self, row: BadRow) -> None:
        """Count a row that cannot be brought over."""
        self.bad += 1
        if len(self.bad_rows) < BAD_SHOWN_MAX:
            self.bad_rows.append(row)

    def numbers(self) -> dict[str, int]:
        """Return the counts alone."""
        return {
            name: getattr(self, name)
            for name in (
                "sessions",
                "messages",
                "invocations",
                "tasks",
                "edges",
                "tools",
                "events",
                "unchanged",
                "own",
                "bad",
            )
        }

    def restore(self, numbers: dict[str, int]) -> None:
        """Go on counting from where a pass was interrupted."""
        for name in self.numbers():
            setattr(self, name, int(numbers.get(name, 0)))
