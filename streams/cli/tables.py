"""`tables`: the changelogs of the shells' tables: look for damage, restore what holds up a partition."""

from typing import Annotated

import typer
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types
from rich.table import Table

from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.worker.restoring import NotRestored, Restorer

tables = typer.Typer(help="The shells' tables: look for damaged records, restore.", no_args_is_help=True)


@tables.command("check")
@command
async def check_tables(as_json: AsJson = False) -> None:
    """Read every table's changelog and name the records that cannot be read. Exit code 1: there are some."""
    given = settings()
    async with Client(given) as client:
        try:
            found = await Restorer(given, client.codec).damaged()
        except KafkaError as error:
            fail(Code.AWAY, f"Kafka does not answer: {error!r}")
    if as_json:
        output.emit_json(found)
    elif not found:
        output.say("every record can be read")
    else:
        shown = Table("record", "key", "what is wrong", "what helps", box=None, header_style="dim")
        for one in found:
            place = f"{one.table}-changelog/{one.partition}/{one.offset}"
            shown.add_row(place, one.key, one.reason, one.remedy)
        output.show(shown)
    if found:
        raise typer.Exit(Code.FAILED)


@tables.command("restore")
@command
async def restore_table(
    table: Annotated[str, typer.Argument(help="Name of the table, as the worker's log tells it.")],
    partition: Annotated[int, typer.Argument(min=0, help="Number of the partition that stands.")],
) -> None:
    """Restore from the log what a partition must know of keys that left, or of calls that are noted.

    Repeating it is harmless. Workers take the partition up at their next start.
    """
    given = settings()
    async with Client(given) as client:
        try:
            told = await Restorer(given, client.codec).restore(
                table.removeprefix(given.topic_prefix), partition
            )
        except NotRestored as error:
            fail(Code.USAGE, str(error))
        except KafkaError as error:
            fail(Code.AWAY, f"Kafka does not do as asked: {error!r}")
    output.say("restored: {told}", told=told)
    output.say("Start the workers again: they take the partition up then.")
