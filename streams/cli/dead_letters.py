"""`dead-letters`: records that were put aside; group, list and show them, and let them be tried again."""

import asyncio
import json
import uuid
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.table import Table

from processors.inputs import InputInvalid
from processors.objections import EVERY_TENANT
from processors.redrives import RECORDS_PER_S_DEFAULT, RECORDS_PER_S_MAX, checked_redrive
from schemas.envelope import Envelope
from schemas.events.redrives import LetterGroup, LetterRedriven, RedriveEnded, RedriveRequested
from sinks import letters
from sinks.letters import LetterDetail, Mine, Which
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database, settings
from streams.cli.messages import PRODUCER
from streams.cli.output import AsJson
from streams.client.client import Client
from topics.catalog import OPERATOR_INPUTS, REDRIVES

dead_letters = typer.Typer(
    help="Records that could not be used: group, list, show, redrive.", no_args_is_help=True
)
EVERYBODYS: Final = Mine()
"""Whoever has Postgres and Kafka operates for every tenant."""

Letter = Annotated[str, typer.Argument(help="UUID of the dead letter.")]


@dead_letters.command("groups")
@command
async def list_groups(
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 50, as_json: AsJson = False
) -> None:
    """Group dead letters by code, topic, schema and reason; `redrive --like EXAMPLE` takes a whole group."""
    async with database() as connection:
        rows = await letters.groups(connection, EVERYBODYS, limit)
    if as_json:
        output.emit_json(rows)
        return
    table = Table("letters", "redriven", "code", "topic", "schema", "reason", "example", box=None)
    for row in rows:
        schema = "" if row.schema_id is None else str(row.schema_id)
        counts = (f"{row.letters:,}", f"{row.redriven:,}")
        table.add_row(*counts, row.code, row.topic, schema, row.reason, str(row.example))
    output.show(table)


@dead_letters.command("list")
@command
async def list_letters(
    code: Annotated[str | None, typer.Option(help="Only letters of this code.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    async with database() as connection:
        rows = await letters.letters(connection, EVERYBODYS, Which(code=code), limit=limit)
    if as_json:
        output.emit_json(rows)
        return
    table = Table("letter", "code", "record", "reason", "redriven", box=None, header_style="dim")
    for row in rows:
        place = f"{row.topic}/{row.partition}/{row.offset}"
        again = "" if row.redriven_at is None else _time(row.redriven_at)
        table.add_row(str(row.event_id), row.code, place, row.reason, again)
    output.show(table)


@dead_letters.command("show")
@command
async def show_letter(letter: Letter, as_json: AsJson = False) -> None:
    """Show one dead letter with its bytes."""
    detail = await _find(letter)
    if as_json:
        output.emit_json(detail)
        return
    row = detail.letter
    output.say("[bold]{code}[/]: {text}", code=row.code, text=row.reason)
    output.say(
        "{place}, put aside by {shell} at {at}",
        place=f"{row.topic}/{row.partition}/{row.offset}",
        shell=row.shell,
        at=row.occurred_at,
    )
    if row.redriven_at is not None:
        output.say("tried again at {at}", at=row.redriven_at)
    output.say("key     {key}", key=repr(detail.key))
    output.say("value   {value}", value=repr(detail.value))
    for name, value in detail.headers:
        output.say("header  {name} = {value}", name=name, value=repr(value))


@dead_letters.command("redrive")
@command
async def redrive(
    letter: Annotated[list[str] | None, typer.Argument(help="UUIDs of dead letters.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="LETTER", help="Instead: this letter and all of its group.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; tell what would pass.")] = False,
    rate: Annotated[
        int, typer.Option(min=1, max=RECORDS_PER_S_MAX, help="Records a second at the most.")
    ] = RECORDS_PER_S_DEFAULT,
    edit: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help="Merged into what each record says (RFC 7386); of user.inputs alone."
        ),
    ] = None,
    user: Annotated[str, typer.Option(help="Which operator does it, for the record.")] = "operator",
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds until it has ended.")] = 600,
    as_json: AsJson = False,
) -> None:
    """Let records be tried again, as they were; for after whatever was wrong is mended.

    A worker carries it out: what it would put aside again stays where it is. What was tried again before is
    not again. Exit code 1: some were not tried again; 5: it has not ended in time, and goes on.

    Example: cartrita dead-letters redrive --like LETTER --edit '{"text": "…"}' --dry-run
    """
    if bool(letter) == (like is not None):
        fail(Code.USAGE, "name letters, or one of a group by --like")
    wanted = RedriveRequested(
        letters=tuple(str(given_uuid(one)) for one in letter or ()),
        group=None if like is None else await _group_of(like),
        records_per_s_max=rate,
        dry=dry_run,
        edit_json=edit,
    )
    event = Envelope(
        event_id=str(uuid.uuid4()),
        type=RedriveRequested.__name__,
        tenant_id=EVERY_TENANT,
        user_id=user,
        producer=PRODUCER,
        body=wanted,
    )
    try:
        checked_redrive(event, taken_at_ms=0)
    except InputInvalid as error:
        fail(Code.USAGE, str(error))
    ended = await _ended(event, timeout_s, quiet=as_json)
    if as_json:
        output.emit_json(ended)
    else:
        _tell(ended)
    if ended.kept_count or ended.kept:
        raise typer.Exit(Code.FAILED)


@dead_letters.command("redrives")
@command
async def list_redrives(
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 20, as_json: AsJson = False
) -> None:
    """List redrives, the newest first: who asked for which, and what became of them."""
    async with database() as connection:
        rows = await letters.redrives(connection, EVERYBODYS, limit=limit)
    if as_json:
        output.emit_json(rows)
        return
    table = Table("asked", "operator", "what", "redriven", "before", "not", "ended", box=None)
    for row in rows:
        ended = "no" if row.ended_at is None else _time(row.ended_at)
        counts = (f"{row.redriven:,}", f"{row.redriven_before:,}", f"{row.kept_count:,}")
        table.add_row(_time(row.asked_at), row.operator, _about(row.request), *counts, ended)
    output.show(table)


async def _group_of(letter: str) -> LetterGroup:
    row = (await _find(letter)).letter
    return LetterGroup(
        code=row.code,
        topic=row.topic.removeprefix(settings().topic_prefix),
        schema_id=row.schema_id,
        reason=row.common,
    )


async def _ended(event: Envelope, timeout_s: float, *, quiet: bool) -> RedriveEnded:
    """Ask for a redrive, and wait until it has ended."""
    done = 0
    async with Client(settings()) as client:
        try:
            async with asyncio.timeout(timeout_s), client.listening((REDRIVES,)) as records:
                await client.write(OPERATOR_INPUTS, event)
                async for received in records:
                    fact = received.event.body if received.event is not None else None
                    if isinstance(fact, RedriveEnded) and fact.redrive_id == event.event_id:
                        return fact
                    if isinstance(fact, LetterRedriven) and fact.redrive_id == event.event_id:
                        done += 1
                        if done % 1_000 == 0 and not quiet:
                            output.note("{done} tried again …", done=f"{done:,}")
        except TimeoutError:
            fail(
                Code.TIMED_OUT,
                f"the redrive {event.event_id} has not ended within {timeout_s:.0f} s; {done:,} letters were "
                "tried again, and it goes on",
                "Is a worker running? `cartrita status` tells, `cartrita dead-letters redrives` the rest.",
            )
    raise AssertionError("records are read without end")


def _tell(ended: RedriveEnded) -> None:
    done = "would be tried again" if ended.dry else "tried again"
    output.say("{count} {done}", count=f"{ended.redriven:,}", done=done)
    if ended.redriven_before:
        output.say("{count} were tried again before", count=f"{ended.redriven_before:,}")
    for one in ended.kept:
        output.say(
            "{count} not: {reason} (such as {example})",
            count=f"{one.letters:,}",
            reason=one.reason,
            example=one.example_id,
        )
    if ended.more:
        output.note("[yellow]there are more; ask again for those[/]")


def _about(request: dict[str, object]) -> str:
    group = request.get("group")
    about = json.dumps(group, ensure_ascii=False) if group else f"{len(request['letters'])} letters"  # type: ignore[arg-type]  # as the log has it
    marks = [mark for mark, is_so in (("dry", request["dry"]), ("edited", request["edit_json"])) if is_so]
    return " ".join((about, *marks))


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


async def _find(letter: str) -> LetterDetail:
    event_id: UUID = given_uuid(letter)
    async with database() as connection:
        detail = await letters.letter(connection, EVERYBODYS, event_id)
    if detail is None:
        fail(Code.NOT_FOUND, f"there is no dead letter {letter}")
    return detail
