"""`worker`, `sink` and `gateway`: the processes that do the work."""

import asyncio
from typing import Annotated

import typer

from streams.cli.command import Code, fail
from streams.cli.context import environment
from streams.process.ending import stop_on_signals
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

    async def run() -> int:
        return await run_sink_process(_settings(), stop_on_signals())

    raise typer.Exit(asyncio.run(run()))


def gateway() -> None:
    """Serve the front door: /api/v2, WebSockets, and OpenAI's API. Any number of them serve any session."""
    # Web frameworks take a while to import, which no other command should wait for.
    from streams.gateway.process import run_gateway

    async def run() -> int:
        return await run_gateway(_settings(), stop_on_signals())

    raise typer.Exit(asyncio.run(run()))


def _settings() -> Settings:
    try:
        return Settings.from_environment(environment())
    except SettingsInvalid as error:
        fail(Code.USAGE, "\n".join(error.faults))
