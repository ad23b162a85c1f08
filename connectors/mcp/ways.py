"""The way to a server: its program started, or its address reached, with a tenant's credentials."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from connectors.mcp.acceptance import AcceptedServer
from connectors.mcp.connection import Transport
from connectors.mcp.program import program_sha256
from connectors.mcp.server import Endpoint, Program, Resolve, Server
from connectors.mcp.stdio import ProgramChanged, ProgramTransport, ServerBroken, Streams
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.programs import ProgramRequest, ProgramSandbox, available, refusal_in

_log = structlog.get_logger()
BASE_ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # Else a program in Python would change its own files, of which its digest is.
    "PYTHONDONTWRITEBYTECODE": "1",
}
"""What every program is told, beside what its configuration names; nothing of the worker's own."""


_REMEDY: Final = 'write confinement = "none" beside it to run it with all rights of the worker'


class _FreeProgram(Transport):
    """A program with all rights of this process."""

    def __init__(self, inner: ProgramTransport) -> None:
        self._inner = inner

    def open(self) -> AbstractAsyncContextManager[Streams]:
        return self._inner.open()

    @property
    def fault(self) -> str:
        return _fault_of(self._inner)


class _ConfinedProgram(Transport):
    """A program in the tier for foreign programs."""

    def __init__(self, sandbox: ProgramSandbox, request: ProgramRequest, message_bytes_max: int) -> None:
        self._sandbox, self._request, self._bytes_max = sandbox, request, message_bytes_max
        self._inner: ProgramTransport | None = None
        self._refusal = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Streams]:
        """Start the program; its scratch space and its user last until it has ended.

        Raises:
            ServerBroken: no tier holds, or it could not be started.
        """
        prepared = self._sandbox.launch(self._request)
        try:
            launch = await asyncio.to_thread(prepared.__enter__)
        except (SandboxUnavailable, OSError) as error:
            raise ServerBroken(f"it cannot be confined: {error}; {_REMEDY}") from error
        try:
            self._inner = ProgramTransport(
                launch.command,
                launch.environment,
                message_bytes_max=self._bytes_max,
                pass_descriptors=launch.descriptors,
            )
            async with self._inner.open() as streams:
                yield streams
        finally:
            self._refusal = refusal_in(available(launch.report))
            prepared.__exit__(None, None, None)

    @property
    def fault(self) -> str:
        if self._inner is None:
            return ""
        fault = _fault_of(self._inner)
        return f"{self._refusal}: {fault}" if self._refusal else fault


def _fault_of(inner: ProgramTransport) -> str:
    return f"{inner.fault}; it wrote: {inner.said}" if inner.fault and inner.said else inner.fault


def _scripts(program: Program) -> list[Path]:
    """Return the files that a program needs to begin: itself, and scripts that its command names."""
    return [Path(one) for one in program.command if one.startswith("/") and os.path.isfile(one)]


class Ways:
    """Makes ways to servers."""

    def __init__(self, resolve: Resolve, sandbox: ProgramSandbox) -> None:
        """Take what reads secrets where they stand, and what confines programs."""
        self._resolve, self._sandbox = resolve, sandbox

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
            case Endpoint() as endpoint:
                return self._endpoint(server, endpoint, tenant)

    def _endpoint(self, server: Server, endpoint: Endpoint, tenant: str) -> Transport:
        # The SDK's client for it takes a while to load, and programs do without.
        from connectors.mcp.http import HttpWay, header_value

        credentials = server.credentials_of(tenant)
        secrets = {name: self._resolve(reference) for name, reference in credentials.secrets.items()}
        if credentials.bearer is not None:
            secrets["Authorization"] = f"Bearer {self._resolve(credentials.bearer)}"
        headers = {name: header_value(name, value) for name, value in {**endpoint.headers, **secrets}.items()}
        return HttpWay(endpoint, headers, server.message_bytes_max)

    async def _program(
        self, server: Server, program: Program, tenant: str, accepted: AcceptedServer | None
    ) -> Transport:
        if accepted is not None and accepted.program_sha256 is not None:
            found = await asyncio.to_thread(program_sha256, program)
            if found != accepted.program_sha256:
                raise ProgramChanged(
                    "its program is not the one that was accepted, and is not started: look at it, and "
                    f"`cartrita tools accept {server.name}`"
                )
        secrets = server.credentials_of(tenant).secrets
        environment = {
            **BASE_ENVIRONMENT,
            **program.environment,
            **{name: self._resolve(reference) for name, reference in secrets.items()},
        }
        if not program.confined:
            _log.warning("mcp_server_not_confined", server=server.name, tenant=tenant)
            return _FreeProgram(
                ProgramTransport(program.command, environment, message_bytes_max=server.message_bytes_max)
            )
        if program.hosts:
            raise ServerBroken(f"hosts: no tier gives a program a part of the network; {_REMEDY}")
        request = ProgramRequest(
            command=program.command,
            environment=environment,
            read=(*_scripts(program), *program.code, *program.read),
            write=program.write,
        )
        return _ConfinedProgram(self._sandbox, request, server.message_bytes_max)
