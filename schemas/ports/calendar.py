"""When something is due by the calendar: what a decider asks of whoever knows zones and cron expressions."""

from typing import Protocol


class CalendarInvalid(Exception):
    """An expression or a zone is none; the sentence is for whoever wrote it."""


class Calendar(Protocol):
    """Knows the clocks of the world; the same question always has the same answer."""

    def check(self, cron: str, zone: str) -> None:
        """Look whether an expression can be read, in a zone that there is.

        Raises:
            CalendarInvalid: it cannot.
        """
        ...

    def next_after_ms(self, cron: str, zone: str, at_ms: int) -> int | None:
        """Return the first due time behind a moment, in milliseconds since 1970; None: there is none."""
        ...

    def last_before_ms(self, cron: str, zone: str, at_ms: int) -> int | None:
        """Return the last due time before a moment; None: there is none."""
        ...
