"""The command `cartrita`: all its commands, in the order of its help."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from connectors.text.harmless import harmless

_HELP = """AI agents as a Kafka stream-processing pipeline.

Begin with [bold]cartrita up[/], then [bold]cartrita send --follow "…"[/]. Settings are environment
variables; where they are silent, commands use the deployment in .cartrita (or $CARTRITA_HOME).

Exit codes: 0 done; 1 done, with a bad outcome; 2 wrong use or setting; 3 something is away; 4 not found;
5 timed out; 130 interrupted; 141 whoever read the output has stopped."""


_PANELS: Final = {
    "This machine": {
        "up": "deployment:up",
        "down": "deployment:down",
        "status": "deployment:status",
        "env": "door:env",
        "login": "door:login",
        "demo": "demo:demo",
        "doctor": "doctor:doctor",
    },
    "Conversations": {
        "send": "messages:send",
        "cancel": "messages:cancel",
        "close": "messages:close",
        "settle": "messages:settle",
        "budget": "budget:budget",
        "ingest": "ingest:ingest",
        "schedule": "schedule:schedule",
        "approvals": "approvals:approvals",
        "tokens": "tokens:tokens",
    },
    "What happened": {
        "tail": "tail:tail",
        "sessions": "sessions:sessions",
        "cost": "cost:cost",
        "ask": "ask:ask",
        "estimate": "estimate:estimate",
        "trace": "trace:trace",
        "replay": "replay:replay",
        "record": "replay:record",
        "fork": "fork:fork",
        "dead-letters": "dead_letters:dead_letters",
    },
    "Agents and tools": {
        "analyze-ui": "analyze_ui:analyze_ui",
        "agents": "agents:agents",
        "tools": "tools:tools",
        "policy": "policy:policy",
        "eval": "evaluate:evaluate",
    },
    "Processes": {"worker": "processes:worker", "sink": "processes:sink", "gateway": "processes:gateway"},
    "Ground": {
        "migrate": "migrate:migrate",
        "backfill": "backfill:backfill",
        "rebuild": "rebuild:rebuild",
        "snapshot": "rebuild:snapshot",
        "topics": "topics:topics",
        "storage": "storage:storage",
        "tables": "tables:tables",
        "schemas": "schemas:schemas",
    },
}
"""By panel of the help and name of the command: the module of streams.cli and what there has it."""


# (Any: the library's own types of commands are not public)
class _Commands(Mapping[str, Any]):
    """All commands; each is imported when it is asked for: most need little of what all of them need."""

    def __init__(self) -> None:
        self._panels = {name: panel for panel, commands in _PANELS.items() for name in commands}
        self._imported: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._imported:
            self._imported[name] = _imported(self._panels[name], name)
        return self._imported[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._panels)

    def __len__(self) -> int:
        return len(self._panels)


def _imported(panel: str, name: str) -> Any:
    module, _, attribute = _PANELS[panel][name].partition(":")
    found = getattr(import_module(f"streams.cli.{module}"), attribute)
    alone = typer.Typer(
        rich_markup_mode="rich", pretty_exceptions_show_locals=False, callback=_whole, add_completion=False
    )
    if isinstance(found, typer.Typer):
        alone.add_typer(found, name=name, rich_help_panel=panel)
    else:
        alone.command(name, rich_help_panel=panel)(found)
    group: Any = typer.main.get_command(alone)
    return group.commands[name]


def _whole() -> None:
    """Do nothing before a command; without it, the library takes a single command for the whole."""


class HarmlessGroup(TyperGroup):
    """Commands whose library quotes wrong arguments in errors of its own, past the templates of `output`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        """Take all commands, importing none."""
        super().__init__(*args, **more)
        self.commands: Any = _Commands()

    def make_context(self, *args: Any, **more: Any) -> Any:
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
    callback=_whole,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
