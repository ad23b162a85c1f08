"""The session shell: drives the composed deciders of sessions."""

from typing import Final, TypeVar

from processors.decider import Decider
from streams.context import ShellContext
from streams.faust_shell import FaustShell
from streams.stateful_app import StatefulSpec, build_stateful
from topics.catalog import ACCOUNT_EVENTS, MODEL_RESULTS, SESSION_INPUTS, SESSION_TIMERS, TOOL_RESULTS
from topics.tables import SESSION_STATES

NAME: Final = "session"
SOURCES: Final = (SESSION_INPUTS, SESSION_TIMERS, MODEL_RESULTS, TOOL_RESULTS, ACCOUNT_EVENTS)
State = TypeVar("State")


def build_session(context: ShellContext, decider: Decider[State], retention_ms: int | None) -> FaustShell:
    """Build the shell; an ended session's state leaves the table after `retention_ms`."""
    spec = StatefulSpec(name=NAME, table=SESSION_STATES, sources=SOURCES, retention_ms=retention_ms)
    return build_stateful(context, spec, decider)
