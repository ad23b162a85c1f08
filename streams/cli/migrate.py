"""`migrate`: the tables in Postgres."""

from typing import Annotated

import psycopg
import typer

from sinks import migrator, roles
from sinks.mapping import read_mapping
from sinks.way_back import way_back
from streams.cli import output
from streams.cli.command import command
from streams.cli.context import settings
from streams.cli.version_one import told_of_v1


@command
async def migrate(
    back: Annotated[
        bool,
        typer.Option(
            "--way-back", help="Change nothing, and print the SQL that takes V2 out of this database again."
        ),
    ] = False,
) -> None:
    """Create the tables, or add what this version adds; safe to repeat."""
    mapping = read_mapping(settings().version_one_tables)
    connection = await psycopg.AsyncConnection.connect(settings().postgres_dsn, autocommit=True)
    async with connection:
        if back:
            output.say("{sql}", sql=(await way_back(connection)).rstrip())
            return
        applied = await migrator.migrate(connection, mapping=mapping)
        if settings().gateway_postgres_dsn:
            await roles.let_in(connection, settings().gateway_dsn)
        of_v1 = await told_of_v1(connection, mapping)
    for step in applied:
        output.say("[green]applied[/] {version} {name}", version=step.version, name=step.name)
    if applied:
        output.say("{count} migrations applied", count=len(applied))
    else:
        output.say("the tables are up to date")
    for fault in of_v1.faults:
        output.say("[yellow]V1[/] {fault}", fault=fault)
    for remedy in of_v1.remedies:
        output.say("   [dim]{remedy}[/]", remedy=remedy)
