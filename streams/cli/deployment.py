"""`up`, `down`, `status`: the local deployment as a whole."""

import asyncio
import time
from typing import Annotated, Final

import psycopg
import typer
from rich.live import Live
from rich.table import Table

from connectors.embedded.progress import Progress
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from sinks import projected, roles
from sinks.mapping import read_mapping
from sinks.migrator import migrate
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import deployment, environment
from streams.cli.door import tell_door
from streams.cli.ingest import due_ingests
from streams.cli.output import AsJson
from streams.cli.version_one import told_of_v1
from streams.configuration.checking import demand_tools
from streams.configuration.loading import load_configuration
from streams.process.settings import Settings
from streams.worker.deployment import Deployment, DeploymentError, PartStatus
from streams.worker.own_tools import configured_tool_names
from streams.worker.room import demand_room, disk_named
from topics.admin import apply
from topics.catalog import TOPICS

WORKERS_DEFAULT: Final = 1
GATEWAY: Final = "gateway-1"
_REFRESH_S: Final = 1.0


@command
async def up(
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once all is ready; `down` ends it.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = WORKERS_DEFAULT,
) -> None:
    """Start everything on this machine: Kafka, registry, Postgres, model, topics, tables, workers, sink.

    What runs already is kept, so it is safe to repeat. Data stays in .cartrita (or $CARTRITA_HOME), and
    survives kill -9 of anything. With OPENAI_API_KEY or OPENAI_BASE_URL set, that model is used; without,
    a local deterministic one, whose answers are labelled as such.
    """
    begun_s = time.monotonic()
    here = deployment()
    demand_startable(here)
    try:
        demand_room(here.directory)
        with disk_named(here.directory):
            await bring_up(here, workers, TerminalProgress())
    except DeploymentError as error:
        fail(Code.AWAY, str(error))
    output.say("[green]ready[/] after {elapsed_s:.1f} s", elapsed_s=time.monotonic() - begun_s)
    given = Settings.from_environment({**environment(), **here.settings()})
    for sentence in (*await _due_rebuild(given), *await due_ingests(given), *await _in_the_way(given)):
        output.say("[yellow]due[/] {sentence}", sentence=sentence)
    await tell_door(here)
    if detach:
        output.say('Ask something: [bold]cartrita send --follow "…"[/]; stop with [bold]cartrita down[/].')
        return
    await _watch(here)


@command
async def down() -> None:
    """Stop everything that `up` started; all data stays."""
    await asyncio.to_thread(deployment().stop, TerminalProgress())


@command
async def status(as_json: AsJson = False) -> None:
    """Tell of each part whether it runs, where, and where its log is. Exit code 3 when one does not."""
    parts = deployment().status()
    if as_json:
        output.emit_json({"parts": parts})
    else:
        output.show(status_table(parts))
    if not all(part.running for part in parts):
        raise typer.Exit(Code.AWAY)


class TerminalProgress(Progress):
    """Tells on standard error what starts, and how far downloads are."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._shown: dict[str, int] = {}

    def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
        """Tell of a download at every tenth of it."""
        tenth = 10 * bytes_done // max(1, bytes_total)
        if self._shown.get(name) != tenth:
            self._shown[name] = tenth
            megabytes = bytes_total / 1_000_000
            output.note(
                "[dim]download[/] {name} {percent:3d} % of {megabytes:.1f} MB",
                name=name,
                percent=10 * tenth,
                megabytes=megabytes,
            )

    def stage(self, name: str, text: str) -> None:
        """Tell of a step."""
        output.note("[dim]{name:>10}[/] {text}", name=name, text=text)


def demand_startable(here: Deployment) -> None:
    """Refuse, before anything starts, what the workers or the sink would refuse.

    Raises:
        ConfigurationInvalid: the workers cannot work by the configuration.
        MappingInvalid: the sink cannot read what is said of V1's tables.
    """
    given = Settings.from_environment({**environment(), **here.settings()})
    read_mapping(given.version_one_tables)
    directory = given.configuration_directory
    configuration = load_configuration((), directory, given.approvers)
    demand_tools(configuration, configured_tool_names(given), directory)


async def bring_up(here: Deployment, workers: int, progress: Progress) -> None:
    """Start all parts of a deployment in their order, and return when all are ready.

    Raises:
        DeploymentError: one did not come up.
    """
    await asyncio.to_thread(here.start_services, progress)
    settings = Settings.from_environment({**environment(), **here.settings()})
    progress.stage("topics", "applying")
    await prepare(settings)
    progress.stage("topics", "topics, schemas and tables are in place")
    names = [f"worker-{number}" for number in range(1, workers + 1)]
    for name in names:
        here.start_part(name, "worker")
    here.start_part("sink-1", "sink")
    here.start_part(GATEWAY, "gateway")
    parts = (*names, "sink-1", GATEWAY)
    for name in parts:
        progress.stage(name, "starting")
    for name in parts:
        await asyncio.to_thread(here.wait_until_ready, name)
        progress.stage(name, "ready")


async def prepare(settings: Settings) -> None:
    """Create what the parts need: topics, schemas, tables. Nothing that exists is changed.

    Raises:
        DeploymentError: an existing topic breaks a promise.
    """
    report = await apply(
        settings.kafka_bootstrap,
        settings.topic_prefix,
        settings.partitions,
        settings.replication,
        settings.session_timeout_ms,
    )
    for difference in report.differences:
        if not difference.breaks:
            output.note(
                "[yellow]note[/] {topic} has {setting} {actual}, made with {expected}",
                topic=difference.topic,
                setting=difference.setting,
                actual=difference.actual,
                expected=difference.expected,
            )
    if report.faults:
        told = "\n".join(
            f"{one.topic} has {one.setting} {one.actual} in place of {one.expected}: {one.breaks}\n"
            f"  {one.repair}"
            for one in report.faults
        )
        raise DeploymentError(f"nothing was started, for topics were changed:\n{told}")
    registry = SchemaRegistry(settings.registry_url)
    try:
        await Codec.connect(TOPICS, registry, settings.topic_prefix)
    finally:
        await registry.close()
    async with await psycopg.AsyncConnection.connect(settings.postgres_dsn, autocommit=True) as connection:
        await migrate(connection, mapping=read_mapping(settings.version_one_tables))
        if settings.gateway_postgres_dsn:
            await roles.let_in(connection, settings.gateway_dsn)


async def _due_rebuild(settings: Settings) -> tuple[str, ...]:
    async with await psycopg.AsyncConnection.connect(settings.postgres_dsn, autocommit=True) as connection:
        differs = await projected.difference(connection)
    return () if differs is None else (f"{differs.detail}. {differs.remedy}",)


async def _in_the_way(settings: Settings) -> tuple[str, ...]:
    async with await psycopg.AsyncConnection.connect(settings.postgres_dsn, autocommit=True) as connection:
        told = await told_of_v1(connection, read_mapping(settings.version_one_tables))
    return (*told.faults, *told.remedies)


def status_table(parts: tuple[PartStatus, ...]) -> Table:
    """Show the parts as a table."""
    table = Table("part", "state", "pid", "address", "log", box=None, header_style="dim")
    for part in parts:
        state = output.styled("[green]running[/]" if part.running else "[red]stopped[/]")
        table.add_row(part.name, state, str(part.pid or "-"), part.address, str(part.log_path))
    return table


async def _watch(here: Deployment) -> None:
    """Show the parts until somebody interrupts, then stop them."""
    output.say("Ctrl-C stops everything; the data stays.")
    try:
        with Live(status_table(here.status()), console=output.console, refresh_per_second=2) as live:
            while True:
                await asyncio.sleep(_REFRESH_S)
                live.update(status_table(here.status()))
    finally:
        await asyncio.to_thread(here.stop, TerminalProgress())
