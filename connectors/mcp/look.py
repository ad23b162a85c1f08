"""A look at a server: its whole list of tools, before anything of it is trusted."""

import asyncio
from dataclasses import dataclass

from mcp import MCPError

from connectors.mcp.connection import Transport, told_of
from connectors.mcp.definitions import Listing, read_listing
from connectors.mcp.program import program_sha256
from connectors.mcp.server import Program, SecretMissing, Server
from connectors.mcp.servers import OpenTransport
from connectors.mcp.session import open_session
from connectors.mcp.stdio import ServerBroken


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a server said when it was asked."""

    listing: Listing
    version: str
    """What it says that it is."""
    protocol: str
    program_sha256: str | None
    """Digest of its program; None where it is reached by HTTP."""


async def look(server: Server, open_transport: OpenTransport) -> Look:
    """Ask a server for its tools, as its first tenant.

    Raises:
        ServerBroken: it told no list of tools; the message says why, for people.
    """
    transport: Transport | None = None
    digest: str | None = None
    try:
        if isinstance(server.way, Program):
            # Before it runs: what is accepted is what was started.
            digest = await asyncio.to_thread(program_sha256, server.way)
        async with asyncio.timeout(server.start_ms / 1_000):
            transport = await open_transport(server, server.tenants[0], None)
            async with transport.open() as streams, open_session(streams) as session:
                return Look(
                    listing=read_listing(server.name, await session.tools()),
                    version=session.version,
                    protocol=session.protocol,
                    program_sha256=digest,
                )
    except TimeoutError as error:
        raise ServerBroken(f"it told no list of tools within {server.start_ms:,} ms") from error
    except (ServerBroken, SecretMissing, MCPError, OSError, BaseExceptionGroup) as error:
        known = transport.fault if transport is not None else ""
        raise ServerBroken(known or told_of(error)) from error
