"""`backfill`: V1's conversations brought over."""

import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from connectors.version_one.columns import VersionOneUnreadable
from processors.inputs import ACCOUNT_CHARACTERS_MAX
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from sinks.errors import SinkStopped
from sinks.imports import ImportBusy, OriginTaken, Progress
from sinks.mapping import read_mapping
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.imports.counting import Counts
from streams.imports.importing import ImportSettings, SinkBehind, bring_over
from streams.imports.log import KafkaLog
from streams.process.settings import Settings
from topics.catalog import SESSION_IMPORTS

_TOLD_EVERY_S: Final = 2.0
_BAD_SHOWN: Final = 5
_ORIGIN_CHARACTERS_MAX: Final = 60


@command
async def backfill(
    tenant: Annotated[str, typer.Option(help="Whose the conversations are in V2.")],
    origin: Annotated[
        str, typer.Option(help="Name of this V1; part of every id that is made, so never change it.")
    ] = "v1",
    user: Annotated[
        str, typer.Option(help="Who is the user of a session of which V1 names no owner.")
    ] = "anonymous",
    dsn_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="File that holds V1's address; else CARTRITA_VERSION_ONE_DSN or DATABASE_URL says it.",
        ),
    ] = None,
    running_hours: Annotated[
        float,
        typer.Option(min=0, help="A conversation of which V1 says no end runs if it is younger."),
    ] = 24.0,
    whole: Annotated[
        bool, typer.Option("--whole", help="Read every session again, not only those that changed.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read and count everything, and write nothing anywhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring V1's conversations over: read them, and put what they did onto the log, which the sink reads.

    V1 is only read, and may be used meanwhile. Interrupted, it goes on where it was. Run it again for what
    changed since; what V1 deletes stays. Exit code 1 where rows could not be brought over: each is named; and
    where the sink does not write what was brought over.
    """
    for option, name in (("--origin", origin), ("--tenant", tenant), ("--user", user)):
        _demand_name(option, name)
    given = settings()
    of_import = ImportSettings(
        dsn=given.postgres_dsn,
        source_dsn=_source_dsn(given, dsn_file),
        origin=origin,
        tenant_id=tenant,
        user_id=user,
        mapping=read_mapping(given.version_one_tables),
        running_within=timedelta(hours=running_hours),
        whole=whole,
    )
    counts = Counts()
    began_s = time.monotonic()
    try:
        progress = await _run(given, of_import, counts, dry_run=dry_run, quiet=as_json)
    except ImportBusy as error:
        fail(Code.FAILED, str(error), "Wait for it, or end it: the next one goes on where it stopped.")
    except SinkBehind as error:
        fail(Code.FAILED, str(error), "Start the sink (`cartrita sink`), then run this again.")
    except OriginTaken as error:
        fail(Code.USAGE, str(error), "Give another V1 another name by --origin.")
    except VersionOneUnreadable as error:
        fail(Code.USAGE, f"V1: {error}")
    except SinkStopped as error:
        fail(Code.USAGE, str(error))
    elapsed_s = time.monotonic() - began_s
    if as_json:
        told = {"counts": counts.numbers(), "bad_rows": counts.bad_rows, "passes": progress.passes}
        told["waiting"] = counts.waiting
        output.emit_json(told | {"dry_run": dry_run, "elapsed_s": round(elapsed_s, 3)})
    else:
        _show(counts, progress, elapsed_s, dry_run=dry_run)
    if counts.bad or counts.waiting:
        raise typer.Exit(Code.FAILED)


async def _run(
    given: Settings, of_import: ImportSettings, counts: Counts, *, dry_run: bool, quiet: bool
) -> Progress:
    told = _Told(quiet=quiet)
    if dry_run:
        return await bring_over(of_import, None, counts, told)
    async with AsyncExitStack() as held:
        registry = SchemaRegistry(given.registry_url)
        held.push_async_callback(registry.close)
        # Of this topic alone: the process is to write no other.
        codec = await Codec.connect([SESSION_IMPORTS], registry, given.topic_prefix)
        log = KafkaLog(given.kafka_bootstrap, given.topic_prefix, given.partitions, codec)
        held.push_async_callback(log.stop)
        await log.start()
        return await bring_over(of_import, log, counts, told)


def _demand_name(option: str, name: str) -> None:
    most = _ORIGIN_CHARACTERS_MAX if option == "--origin" else ACCOUNT_CHARACTERS_MAX
    if not name or name != name.strip() or len(name) > most or not name.isprintable():
        fail(Code.USAGE, f"{option} is a name of 1 to {most} characters without spaces around it")


def _source_dsn(given: Settings, file: Path | None) -> str:
    if file is not None:
        text = file.read_text(encoding="utf-8").strip()
        if not text:
            fail(Code.USAGE, f"{file} is empty")
        return text
    return given.version_one_dsn or given.database_url or given.postgres_dsn


class _Told:
    """Tells on standard error how far it is, every two seconds."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._began_s = self._next_s = 0.0
        self._began_at: int | None = None

    def __call__(self, counts: Counts) -> None:
        now_s = time.monotonic()
        if self._began_at is None:
            # Some may be of a run that was interrupted.
            self._began_at, self._began_s = counts.messages, now_s
            self._next_s = now_s + _TOLD_EVERY_S
        if self._quiet or now_s < self._next_s:
            return
        self._next_s = now_s + _TOLD_EVERY_S
        if counts.waiting:
            output.note("waits for the sink: {waiting:,} records", waiting=counts.waiting)
            return
        output.note(
            "{sessions:,} sessions, {messages:,} messages, {speed:,.0f} messages a second, {bad:,} bad rows",
            sessions=counts.sessions,
            messages=counts.messages,
            speed=(counts.messages - self._began_at) / max(0.001, now_s - self._began_s),
            bad=counts.bad,
        )


def _show(counts: Counts, progress: Progress, elapsed_s: float, *, dry_run: bool) -> None:
    output.say("[bold]{origin}[/], in {elapsed_s:.1f} s", origin=progress.origin, elapsed_s=elapsed_s)
    lines = {
        "sessions processed": counts.sessions,
        "messages": counts.messages,
        "tool invocations": counts.invocations,
        "tasks created": counts.tasks,
        "task edges created": counts.edges,
        "tools indexed": counts.tools,
        "rows of V2's own, left out": counts.own,
        "events that stood there already": counts.unchanged,
        "events put onto the log": counts.events,
    }
    for what, number in lines.items():
        output.say("  {what}: {number:,}", what=what, number=number)
    if counts.bad:
        output.say("[yellow]{bad:,} rows could not be brought over[/]", bad=counts.bad)
        for row in counts.bad_rows[:_BAD_SHOWN]:
            output.say("  {table} {key}: {reason}", table=row.table, key=row.key or "?", reason=row.reason)
        if counts.bad > _BAD_SHOWN:
            output.say("  … --json names the first 1,000")
    else:
        output.say("[green]every row was brought over[/]")
    if dry_run:
        output.say("a dry run: nothing was written")
    elif counts.waiting:
        output.say(
            "[yellow]the sink does not go on[/]: {waiting:,} records are on the log and not in Postgres",
            waiting=counts.waiting,
        )
    else:
        output.say("all of it is in Postgres; run it again for what V1 wrote meanwhile")
