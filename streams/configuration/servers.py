"""The file of MCP servers: which there are, how they are reached, on what terms tools are called."""

import ipaddress
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field

from connectors.mcp.acceptance import AcceptanceDamaged, AcceptedServer, read_acceptance
from connectors.mcp.server import DEFAULT_TENANT, Credentials, Endpoint, Program, Server, ToolTerms
from streams.configuration.files import ConfigurationInvalid, Strict, checked, toml

NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
NAME_CHARACTERS_MAX: Final = 30
_REFERENCE: Final = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/\S+")
_DOWNLOADERS: Final = frozenset({"npx", "pnpx", "bunx", "uvx", "uv", "pipx", "npm", "pnpm", "yarn", "docker"})
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key"})

_Milliseconds = Annotated[int, Field(ge=100, le=3_600_000)]


class _CredentialsFile(Strict):
    secrets: dict[str, str] = Field(default_factory=dict)
    bearer: str | None = None


class _TermsFile(Strict):
    safety_level: Literal["safe", "caution", "restricted"] = "restricted"
    idempotent: bool = False
    timeout_ms: _Milliseconds = 60_000
    idempotency_key: str | None = None
    reconciler: str | None = None
    trust: Literal["tool", "document"] = "document"
    acts_outside: bool | None = None
    sensitive: bool | None = None


class _ServerFile(_CredentialsFile, _TermsFile):
    command: list[str] | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    code: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    confinement: Literal["required", "none"] = "required"
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    private: tuple[str, ...] = ()
    tenants: Annotated[tuple[str, ...], Field(min_length=1)] = (DEFAULT_TENANT,)
    tenant: dict[str, _CredentialsFile] = Field(default_factory=dict)
    tool: dict[str, _TermsFile] = Field(default_factory=dict)
    start_ms: _Milliseconds = 20_000
    message_bytes_max: Annotated[int, Field(ge=10_000, le=67_108_864)] = 4_194_304
    result_characters_max: Annotated[int, Field(ge=100, le=400_000)] = 40_000


class _ServersFile(Strict):
    servers: dict[str, _ServerFile] = Field(default_factory=dict)


def load_servers(path: Path | None) -> dict[str, Server]:
    """Read the file of servers; None: there are none.

    Raises:
        ConfigurationInvalid: with every fault, each with file, key and remedy.
    """
    if path is None:
        return {}
    demand_own(path)
    file = checked(_ServersFile, toml(path, str(path)), str(path))
    faults = [
        f"{path}: servers.{name}{fault}"
        for name, server in file.servers.items()
        for fault in _faults(name, server)
    ]
    if faults:
        raise ConfigurationInvalid("\n".join(faults))
    return {name: _server(path.absolute().parent, name, one) for name, one in file.servers.items()}


def acceptance_path(path: Path) -> Path:
    """Return where stands what a person accepted of the servers of a file: beside it."""
    return path.with_name(f"{path.stem}.accepted.json")


def load_accepted(path: Path | None) -> dict[str, AcceptedServer]:
    """Read what was accepted of the servers of a file.

    Raises:
        ConfigurationInvalid: it cannot be used.
    """
    if path is None:
        return {}
    beside = acceptance_path(path)
    if beside.exists():
        demand_own(beside)
    try:
        return read_acceptance(beside)
    except AcceptanceDamaged as error:
        raise ConfigurationInvalid(str(error)) from error


def demand_own(path: Path) -> None:
    """Refuse a file or folder that others may write: what it says is run.

    Raises:
        ConfigurationInvalid: somebody else may write it, or it is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ConfigurationInvalid(f"{path}: it cannot be read: {error.strerror}") from error
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationInvalid(f"{path}: it belongs to somebody else (user {status.st_uid}); chown it")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationInvalid(f"{path}: others may write it, and what it says is run; chmod go-w it")


def _faults(name: str, server: _ServerFile) -> Iterator[str]:
    if NAME.fullmatch(name) is None or len(name) > NAME_CHARACTERS_MAX:
        yield f": the name takes {NAME_CHARACTERS_MAX} small letters, digits and single '_' or '-' between"
    if (server.command is None) == (server.url is None):
        yield ": write either command (a program of this machine) or url (a server by HTTP)"
    elif server.command is not None:
        yield from _program_faults(server, server.command)
    elif server.url is not None:
        yield from _endpoint_faults(server, server.url)
    for tenant in server.tenant:
        if tenant not in server.tenants:
            yield f".tenant.{tenant}: tenants does not name it; add it there"
    for where, one in (("", server), *((f".tenant.{key}", one) for key, one in server.tenant.items())):
        references = {**one.secrets, **({"bearer": one.bearer} if one.bearer is not None else {})}
        for key, reference in references.items():
            if _REFERENCE.fullmatch(reference) is None:
                # Never quoted: it may be the secret itself.
                yield f"{where}.{key}: write where the secret stands, as env:NAME or file:/path"


def _program_faults(server: _ServerFile, command: list[str]) -> Iterator[str]:
    if not command or not Path(command[0]).is_absolute():
        yield '.command: the first must be an absolute path, such as "/usr/bin/node"'
    elif Path(command[0]).name in _DOWNLOADERS:
        yield (
            f".command: {Path(command[0]).name} may download what it runs; install the server, and name its "
            "program: see docs/mcp.md"
        )
    for key in ("headers", "private"):
        if getattr(server, key):
            yield f".{key}: it goes with url alone; remove it"
    if server.bearer is not None or any(one.bearer is not None for one in server.tenant.values()):
        yield ".bearer: it goes with url alone; a program takes secrets by their variables"


def _endpoint_faults(server: _ServerFile, url: str) -> Iterator[str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        yield ".url: write one such as https://mcp.example/mcp"
    if parts.username or parts.password:
        yield '.url: it holds credentials; write bearer = "env:NAME" or secrets in their place'
    if parts.scheme == "http" and not server.private:
        yield ".url: without TLS only a private address may be reached; name it in private, or write https"
    for key in ("environment", "code", "read", "write", "hosts"):
        if getattr(server, key):
            yield f".{key}: it goes with command alone; remove it"
    if server.confinement != "required":
        yield ".confinement: it goes with command alone; remove it"
    for header in server.headers:
        if header.lower() in _SECRET_HEADERS:
            yield f".headers.{header}: it is a secret; name where it stands in secrets, or write bearer"
    for network in server.private:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            yield f".private: {network!r} is no address or network; write one, as 127.0.0.1 or 10.1.0.0/16"


def _server(folder: Path, name: str, file: _ServerFile) -> Server:
    way: Program | Endpoint
    if file.command is not None:
        way = Program(
            command=tuple(file.command),
            environment=file.environment,
            code=tuple(folder / one for one in file.code),
            read=tuple(folder / one for one in file.read),
            write=tuple(folder / one for one in file.write),
            hosts=tuple(file.hosts),
            confined=file.confinement != "none",
        )
    else:
        way = Endpoint(url=str(file.url), headers=file.headers, private=tuple(file.private))
    return Server(
        name=name,
        way=way,
        tenants=tuple(file.tenants),
        credentials=_credentials(file),
        tenant_credentials={tenant: _credentials(one) for tenant, one in file.tenant.items()},
        terms=_terms(file),
        # A tool's own terms stand over the server's, key by key.
        tool_terms={
            tool: replace(_terms(file), **one.model_dump(exclude_unset=True))
            for tool, one in file.tool.items()
        },
        start_ms=file.start_ms,
        message_bytes_max=file.message_bytes_max,
        result_characters_max=file.result_characters_max,
    )


def _credentials(file: _CredentialsFile) -> Credentials:
    return Credentials(secrets=file.secrets, bearer=file.bearer)


def _terms(file: _TermsFile) -> ToolTerms:
    return ToolTerms(
        safety_level=file.safety_level,
        idempotent=file.idempotent,
        timeout_ms=file.timeout_ms,
        idempotency_key=file.idempotency_key,
        reconciler=file.reconciler,
        trust=file.trust,
        acts_outside=file.acts_outside,
        sensitive=file.sensitive,
    )
