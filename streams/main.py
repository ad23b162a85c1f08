"""The command `cartrita`."""

from collections.abc import Callable

import typer

from streams.cli import asking, laying, reading, rebuilding, replaying, running
from streams.cli.analyzing import analyze_ui
from streams.cli.dead_letters import dead_letters
from streams.cli.demo import demo
from streams.cli.doctor import doctor
from streams.cli.forking import fork
from streams.cli.ingesting import ingest
from streams.cli.provider import examine_provider
from streams.cli.working import sink, worker

_HELP = """AI agents as a Kafka stream-processing pipeline.

Begin with [bold]cartrita up[/], then [bold]cartrita send --follow "…"[/]. Settings are environment
variables; where they are silent, commands use the deployment in .cartrita (or $CARTRITA_HOME).

Exit codes: 0 done; 1 done, with a bad outcome; 2 wrong use or setting; 3 something is away; 4 not found;
5 timed out; 130 interrupted."""

app = typer.Typer(
    name="cartrita",
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "This machine": (running.up, running.down, running.status, demo),
    "Conversations": (asking.send, asking.cancel, asking.close, asking.approve, ingest),
    "What happened": (
        reading.tail,
        reading.sessions,
        reading.trace,
        replaying.replay,
        replaying.record,
        fork,
    ),
    "Tools": (analyze_ui,),
    "Processes": (worker, sink),
    "Ground": (laying.migrate, rebuilding.rebuild, rebuilding.snapshot),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
doctor.command("provider")(examine_provider)
app.add_typer(doctor, name="doctor", rich_help_panel="This machine")
app.add_typer(dead_letters, name="dead-letters", rich_help_panel="What happened")
app.add_typer(laying.topics, name="topics", rich_help_panel="Ground")
app.add_typer(laying.schemas, name="schemas", rich_help_panel="Ground")


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
