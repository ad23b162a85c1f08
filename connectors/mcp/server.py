"""What configuration says of a server of the Model Context Protocol: how it is reached, and by whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_TENANT: Final = "default"
SEPARATOR: Final = "__"
"""Between the server's name and the tool's, in the name that agents and policies use."""

Secret = str
"""Where a secret stands: `env:NAME` or `file:/path`; never the secret itself."""
Resolve = Callable[[Secret], str]
"""Gives the secret that stands there; raises SecretMissing."""


class SecretMissing(Exception):
    """A reference leads to no secret; the message names the reference, and never what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a server is told so that it knows us; references alone."""

    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """Names of environment variables (stdio) or of headers (HTTP), with where their values stand."""
    bearer: Secret | None = None
    """Where the token of an `Authorization: Bearer …` header stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server that is a process of ours: it is spoken to by standard input and output."""

    command: tuple[str, ...]
    """The program's absolute path first."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Plain values; nothing else is inherited."""
    code: tuple[Path, ...] = ()
    """Files and folders that the program is made of: it may read them, and they are part of its digest."""
    read: tuple[Path, ...] = ()
    """What else it may read."""
    write: tuple[Path, ...] = ()
    """What it may read and write."""
    hosts: tuple[str, ...] = ()
    """Which hosts it wants to reach."""
    confined: bool = True
    """False: it runs with all rights of the worker's account, as configuration says in so many words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that is reached by HTTP."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    """Plain values."""
    private: tuple[str, ...] = ()
    """Addresses and networks (such as 10.1.0.0/16) that are not public and may be reached all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolTerms:
    """On what terms a tool of the server may be called; whatever its annotations claim."""

    safety_level: str = "restricted"
    idempotent: bool = False
    timeout_ms: int = 60_000
    """Of a call."""
    idempotency_key: str | None = None
    """The argument that takes the key by which the server knows a repeated call; models do not see it."""
    reconciler: str | None = None
    """The server's tool, by the name that the server gives it, that tells whether a call was carried out."""
    trust: str = "document"
    """tool: configuration vouches for what the tool says of itself and gives; document: it does not."""
    acts_outside: bool | None = None
    """False: a call changes nothing and tells nobody anything; None: it may."""
    sensitive: bool | None = None
    """False: what it reaches and gives is for everybody; None: as the safety level says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server; each tenant has a connection of its own."""

    name: str
    way: Program | Endpoint
    tenants: tuple[str, ...] = (DEFAULT_TENANT,)
    """Who may call its tools."""
    credentials: Credentials = Credentials()
    tenant_credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """Of tenants that have their own; they replace `credentials` name by name."""
    terms: ToolTerms = ToolTerms()
    tool_terms: Mapping[str, ToolTerms] = field(default_factory=dict)
    """Of single tools, by the name that the server gives them."""
    start_ms: int = 20_000
    """From the start of a connection until the list of tools is read."""
    message_bytes_max: int = 4_194_304
    """Of one message of the server; a larger one breaks the connection."""
    result_characters_max: int = 40_000
    """Of the text that a model reads of a result; what is longer is cut, and says so."""

    def terms_of(self, tool: str) -> ToolTerms:
        """Return the terms of a tool, by the name that the server gives it."""
        return self.tool_terms.get(tool, self.terms)

    def credentials_of(self, tenant: str) -> Credentials:
        """Return what the server is told for a tenant."""
        own = self.tenant_credentials.get(tenant)
        if own is None:
            return self.credentials
        return Credentials(
            secrets={**self.credentials.secrets, **own.secrets},
            bearer=own.bearer or self.credentials.bearer,
        )
