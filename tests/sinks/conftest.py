"""One stack for all tests of this folder, and a database of its own for each."""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints, Ports, Stack
from sinks.migrator import migrate
from sinks.sink import SinkSettings
from sinks.writer import Writer
from tests.sinks.kafka import create_topics
from tests.sinks.story import Log, story

PROJECT_DIRECTORY = Path(__file__).parents[2]


@pytest.fixture(scope="package")
def sink_stack() -> Iterator[Stack]:
    """A running stack of this folder's own: its tests kill servers, which no other test should notice."""
    # Not below pytest's own directory: the next run of pytest, at whatever time, closes that to other
    # accounts, and Postgres, which root runs as another, then loses its data.
    directory = Path(tempfile.mkdtemp(prefix="cartrita-sinks-"))
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    stack = Stack(directory, artifacts=artifacts, ports=Ports.free())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(directory)


@pytest.fixture
def endpoints(sink_stack: Stack) -> Endpoints:
    """Where the stack is, after making sure that all of it runs."""
    return sink_stack.start()


@pytest.fixture
async def empty_dsn(endpoints: Endpoints) -> AsyncIterator[str]:
    """A database without tables."""
    async with database(endpoints.postgres_dsn, "template1") as dsn:
        yield dsn


@pytest.fixture
async def dsn(endpoints: Endpoints) -> AsyncIterator[str]:
    """A database with all migrations, copied from one that is migrated once."""
    async with copied(endpoints.postgres_dsn, "migrated") as dsn:
        yield dsn


@pytest.fixture
async def settings(endpoints: Endpoints, dsn: str) -> SinkSettings:
    """A sink of this test's own topics and database."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    await create_topics(endpoints.kafka_bootstrap, prefix)
    return SinkSettings(
        bootstrap=endpoints.kafka_bootstrap,
        dsn=dsn,
        topic_prefix=prefix,
        group=f"{prefix}sink",
        retry_delay_ms=50,
        retry_delay_ms_max=200,
        session_timeout_ms=2_000,
    )


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A connection to look at what was written, or to get in its way."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as one:
        yield one


@pytest.fixture
async def log(dsn: str) -> AsyncIterator[Log]:
    """The log of one session."""
    writer = await Writer.connect(dsn, "test")
    one = Log(writer)
    await writer.positions({slot: uuid.uuid4() for slot in one.following})
    for envelope in story().values():
        await one.add(envelope)
    yield one
    await writer.close()


async def rows(connection: AsyncConnection[TupleRow], query: str) -> list[TupleRow]:
    """Return all rows of a query, which must come within bounds."""
    cursor = await asyncio.wait_for(connection.execute(query.encode()), 10)
    return await cursor.fetchall()


@asynccontextmanager
async def database(postgres_dsn: str, template: str) -> AsyncIterator[str]:
    """Give the address of a database that is there until the block ends."""
    name = f"test_{uuid.uuid4().hex}"
    async with await AsyncConnection.connect(postgres_dsn, autocommit=True) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    yield address_of(postgres_dsn, name)
    async with await AsyncConnection.connect(postgres_dsn, autocommit=True) as admin:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@asynccontextmanager
async def copied(
    postgres_dsn: str, name: str, fill: Callable[[str], Awaitable[None]] | None = None
) -> AsyncIterator[str]:
    """Give the address of a copy of a database that is migrated, and filled, by whoever asks for it first."""
    async with await AsyncConnection.connect(postgres_dsn, autocommit=True) as admin:
        if not await rows(admin, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            async with database(postgres_dsn, "template1") as made:
                async with await AsyncConnection.connect(made, autocommit=True) as one:
                    await migrate(one)
                if fill is not None:
                    await fill(made)
                await admin.execute(f"CREATE DATABASE {name} TEMPLATE {made.rpartition('/')[2]}".encode())
    async with database(postgres_dsn, name) as dsn:
        yield dsn


def address_of(postgres_dsn: str, name: str) -> str:
    """Return the address of another database of the same server."""
    return postgres_dsn.rpartition("/")[0] + "/" + name
