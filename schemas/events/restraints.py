"""Which tools must not be called now: the facts of `tool.restraints`."""

from dataclasses import dataclass
from typing import Final

from schemas.privacy import Impersonal, Personal

EVERY_TOOL: Final = "*"
"""In the place of a name: all tools, of whatever server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsStopped:
    """An operator stopped tools: nothing of them is begun, and what runs of them is cancelled.

    It enters by `operator.inputs` alone. The envelope's `user_id` is the operator. It holds until the same
    name is started again, whatever becomes of the workers.
    """

    name: Impersonal
    """A tool; or a server, for all tools that are accepted of it; or `*`, for every tool."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsStarted:
    """An operator took back a stop: what it held may be called again, unless another stop holds it, too."""

    name: Impersonal
    """As in the stop that is taken back; other stops stay."""
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRenamed:
    """What is otherwise the same tool has another name."""

    before: Impersonal
    after: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPutAside:
    """A tool that cannot be used, whether a person would accept it or not."""

    tool: Impersonal
    """Its name, cleaned, or its place in the list."""
    reason: Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerToolsWithheld:
    """A server offers something else than what a person accepted; none of it is called until that is settled.

    It is told by a worker, at the first look that finds it, for one tenant's connection. Names are those that
    the server gives.
    """

    server: Impersonal
    tenant: Personal
    added: tuple[Impersonal, ...] = ()
    """Tools that nobody has seen yet."""
    removed: tuple[Impersonal, ...] = ()
    """Accepted tools that the server has no more."""
    changed: tuple[Impersonal, ...] = ()
    """Tools of which the server says something else than before."""
    renamed: tuple[ToolRenamed, ...] = ()
    put_aside: tuple[ToolPutAside, ...] = ()
    program_changed: bool = False
    """True: the server's program is not the one that was accepted; it is not started, and has no tool."""
    list_digest: Impersonal = ""
    """SHA-256 of what the list says of all tools that can be used; empty where no list was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerToolsRestored:
    """What a server offers is what a person accepted, after something of it was withheld."""

    server: Impersonal
    tenant: Personal
    list_digest: Impersonal


RestraintAct = ToolsStopped | ToolsStarted
"""Acts of operators; on `user.inputs` they are refused."""
RestraintFact = ToolsStopped | ToolsStarted | ServerToolsWithheld | ServerToolsRestored
