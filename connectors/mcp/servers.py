"""All configured servers of a process: their tools, their connections, and what is withheld."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import structlog

from connectors.mcp.acceptance import AcceptedServer, Differences, differences
from connectors.mcp.connection import Connection, Transport
from connectors.mcp.definitions import Listing
from connectors.mcp.server import Server
from connectors.mcp.session import Session
from connectors.mcp.stdio import ProgramChanged
from connectors.mcp.tool import McpTool
from schemas.events.restraints import (
    ServerToolsRestored,
    ServerToolsWithheld,
    ToolPutAside,
    ToolRenamed,
)

_log = structlog.get_logger()
OpenTransport = Callable[[Server, str, AcceptedServer | None], Awaitable[Transport]]
"""Makes a way to a server for a tenant; raises ServerBroken where that is refused."""
Found = ServerToolsWithheld | ServerToolsRestored
Tell = Callable[[Found, int], None]
"""Told of what a look at a server's tools has found, and how many are withheld now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known of one connection."""

    server: str
    tenant: str
    state: str
    fault: str
    withheld: Mapping[str, str]


class Servers:
    """The servers that configuration names, with what was accepted of each."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        accepted: Mapping[str, AcceptedServer],
        open_transport: OpenTransport,
        tell: Tell = lambda _found, _withheld: None,
    ) -> None:
        """Connect to nothing yet."""
        self._servers, self._accepted = dict(servers), dict(accepted)
        self._open_transport, self.tell = open_transport, tell
        self._connections: dict[tuple[str, str], Connection] = {}
        self._differences: dict[tuple[str, str], Differences] = {}
        for name in sorted(accepted.keys() - servers.keys()):
            _log.warning("mcp_server_not_configured", server=name)

    def tools(self) -> list[McpTool]:
        """Return the accepted tools, in the order of their names."""
        return [
            McpTool(self._servers[name], definition, self)
            for name in sorted(self._servers.keys() & self._accepted.keys())
            for _, definition in sorted(self._accepted[name].definitions.items())
        ]

    def start(self) -> None:
        """Begin to connect to every server of which a tool was accepted, for its first tenant."""
        for name, server in self._servers.items():
            known = self._accepted.get(name)
            if known is None or not known.definitions:
                _log.warning("mcp_server_not_accepted", server=name, remedy=f"cartrita tools accept {name}")
                continue
            self.connection(name, server.tenants[0]).start()

    def connection(self, server: str, tenant: str) -> Connection:
        """Return the tenant's connection to a server; it connects when it is first used."""
        place = server, tenant
        if place not in self._connections:
            configured = self._servers[server]
            known = self._accepted.get(server)
            self._connections[place] = Connection(
                configured,
                tenant,
                lambda: self._open(configured, tenant, known),
                on_listing=lambda listing, session: self._compare(place, listing, session),
            )
        return self._connections[place]

    def withheld(self, server: str, tenant: str, tool: str) -> str | None:
        """Return why an accepted tool must not be called now; None where it may."""
        found = self._differences.get((server, tenant))
        return None if found is None else found.withheld.get(tool)

    def statuses(self) -> list[Status]:
        """Tell of every connection that was ever asked for."""
        return [
            Status(
                server=server,
                tenant=tenant,
                state=connection.state,
                fault=connection.fault,
                withheld=self._differences.get((server, tenant), Differences()).withheld,
            )
            for (server, tenant), connection in sorted(self._connections.items())
        ]

    async def close(self) -> None:
        """End all connections, and the processes behind them."""
        await asyncio.gather(*(connection.stop() for connection in self._connections.values()))

    async def _open(self, server: Server, tenant: str, known: AcceptedServer | None) -> Transport:
        try:
            return await self._open_transport(server, tenant, known)
        except ProgramChanged:
            withheld = len(known.definitions) if known is not None else 0
            self.tell(ServerToolsWithheld(server=server.name, tenant=tenant, program_changed=True), withheld)
            raise

    def _compare(self, place: tuple[str, str], listing: Listing, _session: Session) -> None:
        server, tenant = place
        found = differences(self._accepted.get(server, _NOTHING), listing)
        if found != self._differences.get(place, Differences()):
            level = _log.warning if found else _log.info
            level(
                "mcp_tools_withheld" if found else "mcp_tools_as_accepted",
                server=server,
                tenant=tenant,
                differences=found.told(),
                unusable=[one.tool for one in listing.unusable],
                remedy=f"cartrita tools show {server}",
            )
        self._differences[place] = found
        self.tell(_told(server, tenant, found, listing), len(found.withheld) + len(found.added))


def _told(server: str, tenant: str, found: Differences, listing: Listing) -> Found:
    """Return what is told of a list of tools."""
    if not found and not listing.unusable:
        return ServerToolsRestored(server=server, tenant=tenant, list_digest=listing.digest)
    return ServerToolsWithheld(
        server=server,
        tenant=tenant,
        added=found.added,
        removed=found.removed,
        changed=found.changed,
        renamed=tuple(ToolRenamed(before=old, after=new) for old, new in found.renamed),
        put_aside=tuple(ToolPutAside(tool=one.tool, reason=one.reason) for one in listing.unusable),
        list_digest=listing.digest,
    )


_NOTHING = AcceptedServer(definitions={}, declined={})
