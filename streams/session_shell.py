"""The session shell: drives the composed deciders of sessions."""

from typing import TypeVar

from processors.decider import Decider
from streams.context import ShellContext
from streams.faust_shell import FaustShell
from streams.shells import SESSION, SESSION_SOURCES
from streams.stateful_app import StatefulSpec, build_stateful
from topics.tables import SESSION_STATES

State = TypeVar("State")


def build_session(context: ShellContext, decider: Decider[State], retention_ms: int | None) -> FaustShell:
    """Build the shell; an ended session's state leaves the table after `retention_ms`."""
    spec = StatefulSpec(
        name=SESSION, table=SESSION_STATES, sources=SESSION_SOURCES, retention_ms=retention_ms
    )
    return build_stateful(context, spec, decider)
