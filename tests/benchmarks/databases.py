"""Databases that live for one run, on a server that lives for all of them."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from sinks.migrator import migrate


@asynccontextmanager
async def fresh_database(server_dsn: str) -> AsyncIterator[str]:
    """Make a database with all tables, give its DSN, and drop it with whoever is still connected."""
    name = f"bench_{uuid.uuid4().hex}"
    async with await AsyncConnection.connect(server_dsn, autocommit=True) as admin:
        await admin.execute(f"CREATE DATABASE {name}".encode())
        dsn = server_dsn.rpartition("/")[0] + "/" + name
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            await migrate(connection)
        yield dsn
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
