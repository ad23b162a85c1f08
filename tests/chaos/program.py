"""Cartrita as a campaign runs it: with the fake servers' tools, and if asked with a promise taken out.

program.py MUTANT COMMAND …, where MUTANT is `none` or a name of tests.chaos.mutants.
"""

import os
import sys
from collections.abc import Iterable
from unittest.mock import patch

from connectors.tools.registry import ToolRegistry
from schemas.tools import Tool
from streams import main as command_line
from streams import providers
from tests.chaos.fake_tools import fake_tools
from tests.chaos.mutants import MUTANTS


class RegistryWithFakes(ToolRegistry):
    """Has the fake servers' tools beside the others: production knows no tool from outside."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        """Add them; they stand where the model stands."""
        super().__init__([*tools, *fake_tools(os.environ["OPENAI_BASE_URL"])])


def main() -> None:
    """Run a command of the command line."""
    mutant, *arguments = sys.argv[1:]
    sys.argv = ["cartrita", *arguments]
    with patch.object(providers, "ToolRegistry", RegistryWithFakes), MUTANTS[mutant]():
        command_line.main()


if __name__ == "__main__":
    main()
