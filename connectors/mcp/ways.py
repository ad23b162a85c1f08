"""The way to a server: its program started, or its address reached, with a tenant's credentials."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

import structlog

from connectors.mcp.acceptance import AcceptedServer
from connectors.mcp.connection import Transport
from connectors.mcp.program import program_sha256
from connectors.mcp.server import Endpoint, Program, Resolve, Server
from connectors.mcp.stdio import ProgramTransport, ServerBroken, Streams

_log = structlog.get_logger()
BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # Else a program in Python would change its own files, of which its digest is.
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""What every program is told, beside what its configuration names; nothing of the worker's own."""


class _ProgramWay(Transport):
    def __init__(self, inner: ProgramTransport) -> None:
        self._inner = inner

    def open(self) -> AbstractAsyncContextManager[Streams]:
        return self._inner.open()

    @property
    def fault(self) -> str:
        fault, said = self._inner.fault, self._inner.said
        return f"{fault}; it wrote: {said}" if fault and said else fault


class Ways:
    """Makes ways to servers."""

    def __init__(self, resolve: Resolve) -> None:
        """Take what reads secrets where they stand."""
        self._resolve = resolve

    async def open(self, server: Server, tenant: str, accepted: AcceptedServer | None) -> Transport:
        """Make a way to a server for a tenant.

        Args:
            server: as configured.
            tenant: for whom.
            accepted: what a person accepted of it; None while it is looked at.

        Raises:
            ServerBroken: it must not be started as it is.
            SecretMissing: one of its secrets cannot be had.
        """
        match server.way:
            case Program() as program:
                return await self._program(server, program, tenant, accepted)
            case Endpoint():
                raise ServerBroken("servers by HTTP are not reached yet")

    async def _program(
        self, server: Server, program: Program, tenant: str, accepted: AcceptedServer | None
    ) -> Transport:
        if accepted is not None and accepted.program_sha256 is not None:
            found = await asyncio.to_thread(program_sha256, program)
            if found != accepted.program_sha256:
                raise ServerBroken(
                    "its program is not the one that was accepted, and is not started: look at it, and "
                    f"`cartrita tools accept {server.name}`"
                )
        secrets = server.credentials_of(tenant).secrets
        environment = {
            **BASE_ENVIRONMENT,
            **program.environment,
            **{name: self._resolve(reference) for name, reference in secrets.items()},
        }
        if program.confined:
            raise ServerBroken(
                'no confinement can hold it here; write confinement = "none" beside it to run it with all '
                "rights of the worker"
            )
        _log.warning("mcp_server_not_confined", server=server.name, tenant=tenant)
        return _ProgramWay(
            ProgramTransport(program.command, environment, message_bytes_max=server.message_bytes_max)
        )
