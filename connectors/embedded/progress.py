"""How the embedded stack tells what it is doing; the command line draws it, tests ignore it."""

from typing import Protocol


class Progress(Protocol):
    """Told from several threads at once; an implementation must not block."""

    def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
        """A download moved on: at its start, about every mebibyte, and at its end."""

    def stage(self, name: str, text: str) -> None:
        """Something named (a service, `artifacts`) entered a stage, told in a few words."""


class Silent:
    """Tells nobody."""

    def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
        """Ignore it."""

    def stage(self, name: str, text: str) -> None:
        """Ignore it."""


SILENT: Progress = Silent()
