"""Databases that live for one run, on a server that lives for all of them, and a rebuild of one."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection

from schemas.wire.codec import Codec
from sinks.migrator import migrate
from sinks.rebuild import Loaded, RebuildSettings, rebuilding


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


async def rebuilt(settings: RebuildSettings, codec: Codec) -> Loaded:
    """Rebuild a database beside its live tables, see that both are equal, and return how the reading went."""
    async with rebuilding(settings, codec, lambda _: None) as one:
        await one.load()
        loaded = one.loaded
        assert (await one.verify()).is_equal
    return loaded
