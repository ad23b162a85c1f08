"""The account shell: lends budgets to sessions, each account's serially by its one owner."""

from typing import TypeVar

from processors.decider import Decider
from streams.context import ShellContext
from streams.faust_shell import FaustShell
from streams.shells import ACCOUNT
from streams.stateful_app import StatefulSpec, build_stateful
from topics.catalog import ACCOUNT_REQUESTS
from topics.tables import ACCOUNT_STATES

State = TypeVar("State")


def build_account(context: ShellContext, decider: Decider[State]) -> FaustShell:
    """Build the shell."""
    return build_stateful(
        context, StatefulSpec(name=ACCOUNT, table=ACCOUNT_STATES, sources=(ACCOUNT_REQUESTS,)), decider
    )
