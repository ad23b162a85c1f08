"""The vocabularies, a local model server for each test that wants one, and one Postgres for all."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.ports import choose_port
from connectors.embedded.postgres import Postgres
from connectors.local_model.faults import Fault, FaultScript
from connectors.local_model.server import LocalModelServer
from connectors.models.chat import OpenAIModel
from connectors.models.embeddings import OpenAIEmbeddings
from schemas.configuration import EmbeddingModel
from tests.vocabularies import prepared_vocabularies

PROJECT_DIRECTORY = Path(__file__).parents[2]
EMBEDDING_MODEL = EmbeddingModel(
    name="text-embedding-3-large",
    input_nanodollars=130,
    dimensions=1_536,
    input_tokens_max=8_191,
    encoding="cl100k_base",
)
ENCODINGS = {"gpt-4o": "o200k_base", "gpt-4o-mini": "o200k_base", "gpt-3.5-turbo": "cl100k_base"}

DOCUMENTS_DDL = tuple(
    next((PROJECT_DIRECTORY / "sinks" / "migrations").glob(f"*_{name}.sql"))
    for name in ("document_passages", "document_collections", "passages_without_embeddings")
)


@pytest.fixture(scope="session", autouse=True)
def vocabularies() -> Path:
    """The vocabularies, from the project's own cache."""
    return prepared_vocabularies()


async def until(condition: Callable[[], object]) -> None:
    """Return when `condition` holds; it must within 5 seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true within 5 seconds")


class Waits:
    """Takes the place of sleeping, and notes how long was asked for."""

    def __init__(self) -> None:
        """Begin with none."""
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Note a wait and return at once."""
        self.seconds.append(seconds)


class Local:
    """A running local server with a model and embeddings that talk to it."""

    def __init__(self, server: LocalModelServer, port: int) -> None:
        """Make the clients."""
        self.server = server
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.root_url = f"http://127.0.0.1:{port}"
        self.waits = Waits()
        self.model = OpenAIModel(
            base_url=self.base_url,
            api_key="any",
            encodings=ENCODINGS,
            sleep=self.waits,
            random=lambda: 0.0,
        )
        self.embeddings = OpenAIEmbeddings(
            base_url=self.base_url,
            api_key="any",
            model=EMBEDDING_MODEL,
            sleep=self.waits,
            random=lambda: 0.0,
        )

    def script(self, *faults: Fault) -> FaultScript:
        """Let these faults meet the next requests."""
        script = FaultScript(faults)
        self.server.set_faults(script)
        return script

    async def close(self) -> None:
        """Close the clients, then the server."""
        await self.model.close()
        await self.embeddings.close()
        await self.server.stop()


StartLocal = Callable[[LocalModelServer], Awaitable[Local]]


@pytest.fixture
async def start_local() -> AsyncIterator[StartLocal]:
    """Start servers that end with the test."""
    started: list[Local] = []

    async def start(server: LocalModelServer) -> Local:
        started.append(Local(server, await server.start()))
        return started[-1]

    yield start
    for local in started:
        await local.close()


@pytest.fixture
async def local(start_local: StartLocal) -> Local:
    """A local server with control."""
    return await start_local(LocalModelServer(control=True))


@pytest.fixture(scope="package")
def postgres_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres of this folder's own, with the table of passages."""
    ArtifactStore(PROJECT_DIRECTORY / ".cartrita" / "artifacts").ensure()
    directory = tmp_path_factory.mktemp("postgres")
    server = Postgres(directory=directory, log_directory=directory / "logs", port=choose_port(()))
    try:
        server.start()
        server.wait_ready(60)
        yield server.dsn
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def pool(postgres_dsn: str) -> AsyncIterator[AsyncConnectionPool[AsyncConnection]]:
    """A pool on empty tables of documents."""
    async with AsyncConnectionPool(postgres_dsn, min_size=1, max_size=4, open=False) as opened:
        async with opened.connection() as connection:
            await connection.execute("DROP TABLE IF EXISTS document_passages, document_collections")
            for path in DOCUMENTS_DDL:
                await connection.execute(path.read_bytes())
        yield opened
