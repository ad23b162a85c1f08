"""One embedded stack for all tests of this folder, and topics of its own for each."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from connectors.embedded.stack import Endpoints, Ports, Stack
from connectors.local_model.server import LocalModelServer
from connectors.models.tokens import prepare_vocabularies
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from tests.streams.real_scene import Scene
from tests.streams.world import SESSION_TIMEOUT_MS, World
from topics import admin
from topics.catalog import TOPICS

PROJECT_DIRECTORY = Path(__file__).parents[2]
_NUMBERS = itertools.count()


@pytest.fixture(scope="package")
def shell_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack of this folder's own: its tests kill servers, which no other test should notice."""
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    stack = Stack(tmp_path_factory.mktemp("stack"), artifacts=artifacts, ports=Ports.free())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def endpoints(shell_stack: Stack) -> Endpoints:
    """Where the stack is, after making sure that all of it runs."""
    return shell_stack.start()


@pytest.fixture
async def world(endpoints: Endpoints, tmp_path: Path) -> AsyncIterator[World]:
    """Topics under a prefix of their own, and a codec."""
    prefix = f"{uuid.uuid4().hex[:6]}{next(_NUMBERS)}."
    report = await admin.apply(endpoints.kafka_bootstrap, prefix, 4, 1, SESSION_TIMEOUT_MS)
    assert report.ok
    registry = SchemaRegistry(endpoints.registry_url)
    codec = await Codec.connect(TOPICS, registry, prefix)
    world = World(endpoints=endpoints, prefix=prefix, codec=codec, directory=tmp_path)
    yield world
    await asyncio.to_thread(world.end)
    await registry.close()


@pytest.fixture
async def scene(world: World, shell_stack: Stack) -> AsyncIterator[Scene]:
    """A world with a model server, for real workers."""
    prepare_vocabularies(world.endpoints.tiktoken_cache_directory)
    server = LocalModelServer()
    port = await server.start()
    yield Scene(world=world, stack=shell_stack, model=server, model_url=f"http://127.0.0.1:{port}/v1")
    await asyncio.to_thread(world.end)
    await server.stop()
