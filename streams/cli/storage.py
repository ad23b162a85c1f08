"""`storage`: what takes how much, how fast it grows, and what of it may go."""

import re
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from schemas.events.maintenance import Prunable, PrunedThing
from schemas.plain import to_plain
from schemas.wire.registry import RegistryError
from sinks import storage as database_storage
from sinks.errors import DatabaseUnfit
from streams.cli import output, storage_shown
from streams.cli.command import Code, command, fail
from streams.cli.context import database, settings
from streams.cli.output import AsJson
from streams.client import pruning
from streams.client.pruning import Plan
from topics.usage import DAY_MS, log_usage

_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?(?:([KMGTP])(i)?)?B?", re.IGNORECASE)

storage = typer.Typer(help="What takes how much, how fast it grows, and what of it may go.")


def _bytes_of(text: str) -> int:
    """Read a size: 500GB, 2TiB, 1000000."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise typer.BadParameter(f"{text!r} is no size: 500GB, 2TiB and 1000000 are")
    number, unit, binary = found.groups()
    power = 0 if unit is None else "KMGTP".index(unit.upper()) + 1
    return int(float(number) * (1024 if binary else 1000) ** power)


Bound = Annotated[
    int | None,
    typer.Option(
        parser=_bytes_of, metavar="SIZE", help="Tell in how many days it takes so much: 500GB, 2TiB."
    ),
]


@storage.callback(invoke_without_command=True)
@command
async def show(
    context: typer.Context,
    over: Annotated[
        float,
        typer.Option(min=0.05, max=3_650, metavar="DAYS", help="Measure growth over the last so many days."),
    ] = 7,
    kafka_max: Bound = None,
    postgres_max: Bound = None,
    every: Annotated[bool, typer.Option("--all", help="Show empty topics and small tables, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what topics, tables, indexes and documents take, and how fast they grow; it changes nothing.

    Sizes are what brokers and Postgres tell. Growth is what the log's own times say, and unknown where they
    do not: of what is compacted or kept for hours, and of a log that is younger than an hour.

    Example: cartrita storage --kafka-max 500GB --postgres-max 200GB
    """
    if context.invoked_subcommand is not None:
        return
    given = settings()
    at_ms = time.time_ns() // 1_000_000
    async with database() as connection:
        tables = await database_storage.database_usage(connection)
        documents = await database_storage.collections(connection)
    log = await log_usage(
        given.kafka_bootstrap, given.topic_prefix, over_ms=round(over * DAY_MS), at_ms=at_ms
    )
    if as_json:
        output.emit_json(
            {
                "kafka": storage_shown.plain_log(log, given.topic_prefix, kafka_max),
                "postgres": storage_shown.plain_database(tables, log.events_per_day, postgres_max),
                "documents": documents,
            }
        )
        return
    storage_shown.show_log(log, given.topic_prefix, kafka_max, every=every)
    storage_shown.show_database(tables, log.events_per_day, postgres_max, every=every)
    storage_shown.show_documents(documents)


@storage.command("prune")
@command
async def prune(
    kind: Annotated[
        list[Prunable] | None, typer.Argument(help="What; none: all that nobody can want any more.")
    ] = None,
    snapshots: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, file_okay=False, metavar="FOLDER", help="Look for snapshots here; may be repeated."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, only show what would go.")] = False,
    user: Annotated[str, typer.Option(help="Which operator does it, for the record.")] = "operator",
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what may go and why it may; delete it with --yes. The log keeps who wanted it.

    deltas: pieces of answers past their topic's retention. shadow: tables of a rebuild that was neither
    swapped in nor discarded; one that a rebuild could go on with goes only when it is named. snapshots: files
    that a newer one in the same folder makes useless. Nothing of the truth ever goes. Exit code 1: some did
    not go.
    """
    if Prunable.SNAPSHOTS in (kind or ()) and not snapshots:
        fail(Code.USAGE, "name the folder of the snapshots: --snapshots FOLDER")
    given = settings()
    at_ms = time.time_ns() // 1_000_000
    try:
        async with database() as connection:
            found = await pruning.plan(
                given, connection, wanted=kind or (), folders=snapshots or (), at_ms=at_ms
            )
    except DatabaseUnfit as error:
        fail(Code.AWAY, str(error))
    if not yes or not found.things:
        if as_json:
            output.emit_json(_planned(found, deleted=0))
        else:
            _show_plan(found)
        return
    try:
        ended = await pruning.carry_out(given, found, user=user, reason=reason, at_ms=at_ms)
    except RegistryError as error:
        fail(Code.AWAY, f"{error}; nothing was deleted")
    if as_json:
        output.emit_json({**_planned(found, deleted=ended.deleted), "faults": ended.faults})
    else:
        _show_things(found.things)
        for fault in ended.faults:
            output.say("[red]stays[/] {fault}", fault=fault)
        output.say("[green]deleted[/] {count}; request {id}", count=ended.deleted, id=ended.request_id)
    if ended.faults:
        raise typer.Exit(Code.FAILED)


def _show_plan(found: Plan) -> None:
    _show_things(found.things)
    for one in found.kept:
        output.say(
            "{kind} {name} stays: {unless}; `cartrita storage prune {kind}` names it",
            kind=one.thing.kind,
            name=one.thing.name,
            unless=one.unless,
        )
    if found.busy:
        output.say("{busy}", busy=found.busy)
    if found.things:
        output.say("nothing was deleted: --yes does it")
    else:
        output.say("nothing may go")


def _show_things(things: tuple[PrunedThing, ...]) -> None:
    if not things:
        return
    table = Table("kind", "what", "records", "size", "why it may go", box=None, header_style="dim")
    for one in things:
        records = "" if one.records is None else f"{one.records:,}"
        table.add_row(str(one.kind), one.name, records, storage_shown.size(one.bytes), one.why)
    output.show(table)


def _planned(found: Plan, *, deleted: int) -> dict[str, object]:
    kept = [{**to_plain(one.thing), "unless": one.unless} for one in found.kept]
    return {
        "things": [to_plain(one) for one in found.things],
        "kept": kept,
        "busy": found.busy,
        "deleted": deleted,
    }
