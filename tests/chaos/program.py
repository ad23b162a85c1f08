"""Cartrita as a campaign runs it: with the fake servers' tools, and if asked with a promise taken out.

program.py MUTANT COMMAND …, where MUTANT is `none` or a name of tests.chaos.mutants.
"""

import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import Tool
from streams import main as command_line
from streams.process import failpoints
from streams.worker import providers
from tests.chaos.fake_tools import fake_tools
from tests.chaos.mutants import MUTANTS


class RegistryWithFakes(ToolRegistry):
    """Has the fake servers' tools beside the others: production knows no tool from outside."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        """Add them; they stand where the model stands."""
        super().__init__([*tools, *fake_tools(os.environ["OPENAI_BASE_URL"])])


def failpoint_path(data_directory: Path, pid: int) -> Path:
    """Return the file from which a running process takes its failpoint at SIGUSR2."""
    return data_directory / f"failpoint-{pid}"


def _arm(*_: object) -> None:
    path = failpoint_path(Path(os.environ["CARTRITA_DATA_DIRECTORY"]), os.getpid())
    failpoints.arm(failpoints.parse(path.read_text(encoding="ascii")))


def main() -> None:
    """Run a command of the command line."""
    mutant, *arguments = sys.argv[1:]
    signal.signal(signal.SIGUSR2, _arm)
    sys.argv = ["cartrita", *arguments]
    with patch.object(providers, "ToolRegistry", RegistryWithFakes), MUTANTS[mutant]():
        command_line.main()


if __name__ == "__main__":
    main()
