"""`rebuild`: Postgres made again from the log, compared with what is there, and put in its place."""

import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from sinks.comparison import Comparison, RowDifference, TableComparison
from sinks.errors import SinkStopped
from sinks.mapping import read_mapping
from sinks.projected import ProjectionsDiffer
from sinks.rebuild import Loaded, Rebuild, RebuildBusy, RebuildSettings, discard, rebuilding
from sinks.snapshot import SnapshotInvalid
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.client.client import Client

_TOLD_EVERY_S: Final = 1.0
_CHARACTERS_SHOWN: Final = 120

Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Compare every row with the live tables, and look for calls with two outcomes; exit code 1 if "
        "anything is wrong.",
    ),
]
Swap = Annotated[
    bool, typer.Option("--swap", help="Make the live tables what the log says, and drop the shadow tables.")
]
Discard = Annotated[bool, typer.Option("--discard", help="Only drop the shadow tables of an earlier run.")]

Seed = Annotated[
    Path | None, typer.Option("--from", help="Begin with this snapshot, and read the log from there on.")
]


@command
async def rebuild(
    verify: Verify = False,
    swap: Swap = False,
    drop: Discard = False,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Project the whole log anew into shadow tables; an interrupted run is continued by the next.

    The sink may run meanwhile. The shadow tables stay for a later --swap, unless all was equal.
    """
    if drop and (verify or swap or seed is not None):
        fail(Code.USAGE, "--discard goes with no other option")
    try:
        if drop:
            await discard(settings().postgres_dsn)
            output.say("the shadow tables are dropped")
            return
        loaded, compared = await _rebuilt(verify=verify, swap=swap, seed=seed)
    except RebuildBusy as error:
        fail(Code.FAILED, str(error), "Wait for it, or end it: the next one goes on where it stopped.")
    except ProjectionsDiffer as error:
        fail(Code.FAILED, str(error), error.remedy)
    except SnapshotInvalid as error:
        fail(Code.USAGE, str(error))
    except SinkStopped as error:
        fail(Code.FAILED, str(error), "What was read so far is kept, and the next run goes on from there.")
    if as_json:
        output.emit_json({"loaded": loaded, "compared": compared, "swapped": swap})
    else:
        _show(loaded, compared, is_swapped=swap)
    if verify and not swap and compared is not None and not (compared.is_equal and _explained(compared)):
        raise typer.Exit(Code.FAILED)


@command
async def snapshot(
    file: Annotated[Path, typer.Argument(help="Where to write it; what stands there is replaced.")],
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Write all rows that the log leads to into one file, with which a later rebuild may begin.

    Make one before records of the truth are deleted. --from makes it out of an earlier one.
    """
    try:
        async with _rebuilding(seed) as one:
            written = await one.snapshot(file)
    except RebuildBusy as error:
        fail(Code.FAILED, str(error), "Wait for it, or end it.")
    except SnapshotInvalid as error:
        fail(Code.USAGE, str(error))
    except OSError as error:
        fail(Code.USAGE, f"{file} cannot be written: {error.strerror}")
    except SinkStopped as error:
        fail(Code.FAILED, str(error))
    if as_json:
        output.emit_json({"file": file, "manifest": written})
    else:
        rows = sum(member.rows for member in written.members)
        output.say(
            "{file}: {rows:,} rows of {records:,} records", file=str(file), rows=rows, records=written.records
        )


@asynccontextmanager
async def _rebuilding(seed: Path | None) -> AsyncIterator[Rebuild]:
    given = settings()
    of_rebuild = RebuildSettings(
        bootstrap=given.kafka_bootstrap,
        dsn=given.postgres_dsn,
        topic_prefix=given.topic_prefix,
        mapping=read_mapping(given.version_one_tables),
    )
    # As in the sink's process: what was imported is not looked through again and again.
    gc.freeze()
    async with Client(given) as client, rebuilding(of_rebuild, client.codec, _Told(), seed) as one:
        if one.seed is not None:
            output.note("begins with a snapshot of {records:,} records", records=one.seed.records)
        yield one


async def _rebuilt(*, verify: bool, swap: bool, seed: Path | None) -> tuple[Loaded, Comparison | None]:
    async with _rebuilding(seed) as one:
        compared = None
        if swap:
            compared = await one.swap()
        elif verify:
            compared = await one.verify()
        else:
            await one.load()
        return one.loaded, compared


class _Told:
    """Tells on standard error how far it is, about once a second."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, loaded: Loaded) -> None:
        if time.monotonic() < self._next_s:
            return
        if self._next_s == 0.0 and loaded.records_before:
            output.note("goes on after {records:,} records", records=loaded.records_before)
        self._next_s = time.monotonic() + _TOLD_EVERY_S
        read = loaded.records_before + loaded.records
        share = read / max(1, read + loaded.records_left)
        left = "" if loaded.left_s is None else f", {loaded.left_s:,.0f} s left"
        output.note(
            "{share:>4.0%}  {read:,} records, {speed:,.0f} a second{left}",
            share=share,
            read=read,
            speed=loaded.records_per_s,
            left=left,
        )


def _show(loaded: Loaded, compared: Comparison | None, *, is_swapped: bool) -> None:
    before = f" after {loaded.records_before:,} of an earlier run" if loaded.records_before else ""
    output.say(
        "read {records:,} records{before} in {elapsed_s:.1f} s, {speed:,.0f} a second",
        records=loaded.records,
        before=before,
        elapsed_s=loaded.elapsed_s,
        speed=loaded.records_per_s,
    )
    if loaded.refused:
        output.say(
            "[yellow]{count}[/] of them have rows that the database refuses, now as well",
            count=loaded.refused,
        )
    if compared is None:
        output.say(
            "the shadow tables stand: `cartrita rebuild --verify` compares, `--swap` puts them in place"
        )
        return
    _show_tables(compared.tables)
    for name in compared.left_alone:
        output.say("{name}: is V1's and is left alone; `cartrita doctor` tells why", name=name)
    for name, count in compared.refused.items():
        output.say("[yellow]{name}: V1's table refuses {count} of its rows[/]", name=name, count=count)
    for table in compared.tables:
        for row in table.first:
            _show_row(table, row)
    for call in compared.several_outcomes:
        output.say("[yellow]{call}[/]" if call.is_explained else "[red]{call}[/]", call=call)
    if compared.is_equal:
        output.say("[green]every row is as the log says[/]")
    elif is_swapped:
        output.say("[green]put right[/]: every row is now as the log says")
    else:
        output.say("[red]rows differ[/]; `cartrita rebuild --swap` puts them right")


def _explained(compared: Comparison) -> bool:
    return all(call.is_explained for call in compared.several_outcomes)


def _show_tables(tables: Sequence[TableComparison]) -> None:
    shown = Table(box=None, header_style="dim")
    shown.add_column("table")
    for name in ("rows", "rebuilt", "kept", "missing", "surplus", "different", "checksum", "rebuilt"):
        shown.add_column(name, justify="right")
    for one in tables:
        numbers = (
            one.rows_live,
            one.rows_rebuilt,
            one.rows_kept,
            one.missing,
            one.surplus,
            one.different,
        )
        style = "" if one.is_equal else "red"
        shown.add_row(
            one.table,
            *(f"{number:,}" for number in numbers),
            one.checksum_live,
            one.checksum_rebuilt,
            style=style,
        )
    output.show(shown)


def _show_row(table: TableComparison, row: RowDifference) -> None:
    key = "/".join(str(part) for part in row.key)
    output.say("{table} [bold]{key}[/]: {kind}", table=table.table, key=key, kind=row.kind)
    for column in row.columns:
        live, rebuilt = _shortened(column.live), _shortened(column.rebuilt)
        output.say(
            "  {column}: {live} [dim]should be[/] {rebuilt}", column=column.name, live=live, rebuilt=rebuilt
        )


def _shortened(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _CHARACTERS_SHOWN else text[:_CHARACTERS_SHOWN] + "…"
