"""The capability shell: keeps the statistics of each tool and version."""

from typing import TypeVar

from processors.decider import Decider
from streams.context import ShellContext
from streams.faust_shell import FaustShell
from streams.shells import CAPABILITY
from streams.stateful_app import StatefulSpec, build_stateful
from topics.catalog import TOOL_OUTCOMES
from topics.tables import CAPABILITY_STATES

State = TypeVar("State")


def build_capability(context: ShellContext, decider: Decider[State]) -> FaustShell:
    """Build the shell."""
    return build_stateful(
        context, StatefulSpec(name=CAPABILITY, table=CAPABILITY_STATES, sources=(TOOL_OUTCOMES,)), decider
    )
