"""`dead-letters`: records that were put aside; list, show and redrive them."""

from typing import Annotated

import typer
from rich.table import Table

from sinks import queries
from sinks.queries import DeadLetterDetail
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database, settings
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.records.delivery import REDRIVEN_HEADER
from topics.catalog import BY_NAME

dead_letters = typer.Typer(help="Records that could not be used: list, show, redrive.", no_args_is_help=True)

Letter = Annotated[str, typer.Argument(help="UUID of the dead letter.")]


@dead_letters.command("list")
@command
async def list_letters(
    code: Annotated[str | None, typer.Option(help="Only letters of this code.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest first."""
    async with database() as connection:
        rows = await queries.dead_letters(connection, code=code, limit=limit)
    if as_json:
        output.emit_json(rows)
        return
    table = Table("letter", "code", "record", "reason", box=None, header_style="dim")
    for row in rows:
        place = f"{row.topic}/{row.partition}/{row.offset}"
        table.add_row(str(row.event_id), row.code, place, row.reason)
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
    output.say("key     {key}", key=repr(detail.key))
    output.say("value   {value}", value=repr(detail.value))
    for name, value in detail.headers:
        output.say("header  {name} = {value}", name=name, value=repr(value))


@dead_letters.command("redrive")
@command
async def redrive(letter: Letter) -> None:
    """Append the record to its topic again, as it was; for after whatever was wrong is mended.

    Repeating it is harmless: an input that was applied after all is known by its id and dropped.
    """
    detail = await _find(letter)
    given = settings()
    name = detail.letter.topic.removeprefix(given.topic_prefix)
    if name not in BY_NAME:
        fail(
            Code.FAILED, f"the record is of the topic {detail.letter.topic}, which this program does not have"
        )
    async with Client(given) as client:
        headers = [(key, value) for key, value in detail.headers if value is not None]
        row = detail.letter
        headers.append((REDRIVEN_HEADER, f"{row.topic}/{row.partition}/{row.offset}".encode()))
        place = await client.append(BY_NAME[name], detail.value, key=detail.key, headers=headers)
    output.say("appended to {place}", place=f"{detail.letter.topic}/{place[0]}/{place[1]}")


async def _find(letter: str) -> DeadLetterDetail:
    event_id = given_uuid(letter)
    async with database() as connection:
        detail = await queries.dead_letter(connection, event_id)
    if detail is None:
        fail(Code.NOT_FOUND, f"there is no dead letter {letter}")
    return detail
