"""`worker` and `sink`: the processes that do the work."""

import asyncio
import signal
from typing import Annotated

import typer

from streams.cli.command import Code, fail
from streams.cli.context import environment
from streams.process.settings import Settings, SettingsInvalid
from streams.worker.sink import run_sink_process
from topics.shells import SHELLS

Shells = Annotated[
    list[str] | None, typer.Option("--shell", help=f"Only this shell; may be repeated: {', '.join(SHELLS)}.")
]


def worker(shells: Shells = None) -> None:
    """Run shells: stream processors that decide, call models and tools, and hold the budgets.

    More workers with the same settings share the partitions. SIGTERM ends it in order; kill -9 loses nothing.
    """
    # Faust and the models' client take a second to import, which no other command should wait for.
    from streams.worker.worker import run_worker

    unknown = sorted(set(shells or ()) - set(SHELLS))
    if unknown:
        fail(Code.USAGE, f"there is no shell {', '.join(unknown)}", f"The shells are {', '.join(SHELLS)}.")
    raise typer.Exit(run_worker(_settings(), tuple(shells or SHELLS)))


def sink() -> None:
    """Keep Postgres in step with the log, each event exactly once. More sinks share the partitions."""
    stop = asyncio.Event()

    async def run() -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        return await run_sink_process(_settings(), stop)

    raise typer.Exit(asyncio.run(run()))


def _settings() -> Settings:
    try:
        return Settings.from_environment(environment())
    except SettingsInvalid as error:
        fail(Code.USAGE, "\n".join(error.faults))
