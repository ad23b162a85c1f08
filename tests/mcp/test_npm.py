"""Real servers from npm, of both generations of the protocol, confined as any other."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.mcp.acceptance import AcceptedServer
from connectors.mcp.look import Look, look
from connectors.mcp.server import Program, Server, ToolTerms
from connectors.mcp.servers import Servers
from connectors.mcp.ways import Ways
from connectors.sandbox.programs import ProgramSandbox
from connectors.sandbox.tier import TierDemand
from connectors.tools.registry import ToolRegistry
from schemas.ports.tool import ToolError
from tests.mcp import npm
from tests.mcp.worlds import context

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SERVER_USER = 61_999
VERSION = "2026.8.31"
_SERVERS = "node_modules/@modelcontextprotocol"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that every user may enter."""
    with tempfile.TemporaryDirectory(prefix="cartrita-npm-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(scope="module")
def modules(folder: Path) -> Path:
    """The reference servers, installed."""
    npm.install(
        folder,
        f"@modelcontextprotocol/server-filesystem@{VERSION}",
        f"@modelcontextprotocol/server-everything@{VERSION}",
    )
    return folder / _SERVERS


@asynccontextmanager
async def accepted(folder: Path, server: Server) -> AsyncIterator[tuple[Look, ToolRegistry]]:
    """Look at a server, accept all that it offers, and offer its tools."""
    ways = Ways(lambda _: "", ProgramSandbox(folder / "state", TierDemand.AUTO))
    seen = await look(server, ways.open)
    known = AcceptedServer(
        definitions=seen.listing.definitions, declined={}, program_sha256=seen.program_sha256
    )
    servers = Servers({server.name: server}, {server.name: known}, ways.open)
    try:
        yield seen, ToolRegistry(servers.tools())
    finally:
        await servers.close()


async def called(registry: ToolRegistry, name: str, arguments: str) -> dict[str, Any]:
    """Call a tool as the tool shell does."""
    return dict((await registry.invoke(name, arguments, context(), 60_000)).result)


async def test_the_file_system_server_reads_and_writes_where_it_may(folder: Path, modules: Path) -> None:
    notes = folder / "notes"
    notes.mkdir()
    (notes / "garden.md").write_text("420 euros", encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(notes, SERVER_USER, SERVER_USER)
    program = Program(
        command=(npm.NODE, str(modules / "server-filesystem/dist/index.js"), str(notes)),
        code=(folder / "node_modules",),
        write=(notes,),
    )

    async with accepted(folder, Server(name="files", way=program)) as (seen, registry):
        read = await called(registry, "files__read_text_file", f'{{"path": "{notes}/garden.md"}}')
        await called(registry, "files__write_file", f'{{"path": "{notes}/new.md", "content": "new"}}')
        with pytest.raises(ToolError) as caught:
            await called(registry, "files__read_text_file", '{"path": "/etc/passwd"}')

    assert (len(seen.listing.definitions), seen.listing.unusable) == (14, ())
    assert read["structured"] == {"content": "420 euros"}
    assert (notes / "new.md").read_text(encoding="utf-8") == "new"
    assert caught.value.settled


async def test_the_everything_server_answers(folder: Path, modules: Path) -> None:
    program = Program(
        command=(npm.NODE, str(modules / "server-everything/dist/index.js"), "stdio"),
        code=(folder / "node_modules",),
    )

    async with accepted(folder, Server(name="all", way=program)) as (seen, registry):
        echoed = await called(registry, "all__echo", '{"message": "hello"}')
        added = await called(registry, "all__get-sum", '{"a": 20, "b": 22}')

    assert seen.protocol == "2025-11-25"
    assert len(seen.listing.definitions) >= 10
    assert "hello" in echoed["text"]
    assert "42" in added["text"]


async def test_the_template_of_a_tool_in_typescript_speaks_the_newest_protocol(folder: Path) -> None:
    template = folder / "template"
    script = npm.built_template(template)
    program = Program(command=(npm.NODE, str(script)), code=(template,))
    server = Server(name="words", way=program, terms=ToolTerms(safety_level="safe", idempotent=True))

    async with accepted(folder, server) as (seen, registry):
        counted = await called(registry, "words__count_words", '{"text": "one two three"}')

    assert seen.protocol == "2026-07-28"
    assert counted == {"text": "", "structured": {"words": 3}}
