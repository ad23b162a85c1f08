"""What the wire format needs to know of a topic."""

from typing import Protocol


class Subject(Protocol):
    """A topic as its schema sees it; the catalogue's topics are subjects."""

    @property
    def name(self) -> str:
        """Without the configured prefix."""
        ...

    @property
    def facts(self) -> tuple[type, ...]:
        """What its records may carry, in the order of the union's branches."""
        ...

    @property
    def doc(self) -> str:
        """What it carries and who writes it, for the schema."""
        ...
