"""`migrate`: the tables in Postgres."""

import psycopg

from sinks import migrator
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings


@command
async def migrate() -> None:
    """Create the tables, or add what this version adds; safe to repeat."""
    connection = await psycopg.AsyncConnection.connect(settings().postgres_dsn, autocommit=True)
    async with connection:
        try:
            applied = await migrator.migrate(connection)
        except migrator.PostgresTooOld as error:
            fail(Code.USAGE, str(error))
    for step in applied:
        output.say("[green]applied[/] {version} {name}", version=step.version, name=step.name)
    if applied:
        output.say("{count} migrations applied", count=len(applied))
    else:
        output.say("the tables are up to date")
