"""The command `cartrita`: all its commands, in the order of its help."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from connectors.text.harmless import harmless
from streams.cli import deployment, messages, migrate, rebuild, replay, schemas, sessions, tail, topics, trace
from streams.cli.agents import agents
from streams.cli.analyze_ui import analyze_ui
from streams.cli.budget import budget
from streams.cli.cost import cost
from streams.cli.dead_letters import dead_letters
from streams.cli.demo import demo
from streams.cli.doctor import doctor
from streams.cli.door import env, login
from streams.cli.fork import fork
from streams.cli.ingest import ingest
from streams.cli.processes import gateway, sink, worker
from streams.cli.tables import tables
from streams.cli.tokens import tokens
from streams.cli.tools import tools

_HELP = """AI agents as a Kafka stream-processing pipeline.

Begin with [bold]cartrita up[/], then [bold]cartrita send --follow "…"[/]. Settings are environment
variables; where they are silent, commands use the deployment in .cartrita (or $CARTRITA_HOME).

Exit codes: 0 done; 1 done, with a bad outcome; 2 wrong use or setting; 3 something is away; 4 not found;
5 timed out; 130 interrupted; 141 whoever read the output has stopped."""


class HarmlessGroup(TyperGroup):
    """Commands whose library quotes wrong arguments in errors of its own, past the templates of `output`."""

    def make_context(self, *args: Any, **more: Any) -> Any:  # (Any: the library's own types are not public)
        """Read the arguments up to the command's name."""
        with _harmless_errors():
            return super().make_context(*args, **more)

    def invoke(self, *args: Any, **more: Any) -> Any:
        """Read the rest, and run the command."""
        with _harmless_errors():
            return super().invoke(*args, **more)


@contextmanager
def _harmless_errors() -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        message = getattr(error, "message", None)
        if isinstance(message, str):
            vars(error)["message"] = harmless(message)
        raise


app = typer.Typer(
    name="cartrita",
    cls=HarmlessGroup,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "This machine": (deployment.up, deployment.down, deployment.status, env, login, demo),
    "Conversations": (
        messages.send,
        messages.cancel,
        messages.close,
        messages.approve,
        messages.settle,
        budget,
        ingest,
    ),
    "What happened": (
        tail.tail,
        sessions.sessions,
        cost,
        trace.trace,
        replay.replay,
        replay.record,
        fork,
    ),
    "Agents and tools": (analyze_ui,),
    "Processes": (worker, sink, gateway),
    "Ground": (migrate.migrate, rebuild.rebuild, rebuild.snapshot),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(doctor, name="doctor", rich_help_panel="This machine")
app.add_typer(agents, name="agents", rich_help_panel="Agents and tools")
app.add_typer(tools, name="tools", rich_help_panel="Agents and tools")
app.add_typer(tokens, name="tokens", rich_help_panel="Conversations")
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="What happened")
app.add_typer(topics.topics, name="topics", rich_help_panel="Ground")
app.add_typer(tables, name="tables", rich_help_panel="Ground")
app.add_typer(schemas.schemas, name="schemas", rich_help_panel="Ground")
