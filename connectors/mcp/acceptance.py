"""What a person accepted of each server, kept in a file beside the configuration.

The file is what makes tools: a worker offers what stands there and nothing else, whether or not the server
can be reached. So all workers that read it agree, and a change of it is reviewed like any other file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.mcp.definitions import Definition, DefinitionUnusable, Listing, digest_of, read_definition

FORMAT: Final = 1


class AcceptanceDamaged(Exception):
    """The file of accepted tools cannot be used; the message names file, place and remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedServer:
    """What was accepted of one server."""

    definitions: Mapping[str, Definition]
    """Tools that may be called, by the name that the server gives each."""
    declined: Mapping[str, str]
    """Tools that were seen and not accepted, with their digests: they are no news."""
    program_sha256: str | None = None
    """Digest of the program's files; None for a server that is reached by HTTP."""
    version: str = ""
    """What the server said of itself: a name and a version, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """How a server's list differs from what was accepted; each is kept from being called."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    """Old and new name of what is otherwise the same tool."""

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self.added or self.removed or self.changed or self.renamed)

    @property
    def withheld(self) -> Mapping[str, str]:
        """Return the accepted tools that must not be called, each with the reason."""
        return {
            **dict.fromkeys(self.removed, "the server has it no more"),
            **dict.fromkeys(self.changed, "the server has changed what it says of it"),
            **{old: f"the server has renamed it to {new}" for old, new in self.renamed},
        }

    def told(self) -> str:
        """Return them as a line for people."""
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("changed", self.changed),
                ("renamed", [f"{old} → {new}" for old, new in self.renamed]),
            )
            if names
        ]
        return "; ".join(parts)


def differences(accepted: AcceptedServer, listing: Listing) -> Differences:
    """Compare a server's list with what was accepted of it."""
    known = {tool: one.digest for tool, one in accepted.definitions.items()} | dict(accepted.declined)
    now = {tool: one.digest for tool, one in listing.definitions.items()}
    removed = sorted(accepted.definitions.keys() - now.keys())
    added = sorted(now.keys() - known.keys())
    changed = sorted(tool for tool in known.keys() & now.keys() if known[tool] != now[tool])
    nameless = {_nameless(listing.definitions[tool]): tool for tool in added}
    renamed = tuple(
        (tool, nameless[_nameless(accepted.definitions[tool])])
        for tool in removed
        if _nameless(accepted.definitions[tool]) in nameless
    )
    old, new = {pair[0] for pair in renamed}, {pair[1] for pair in renamed}
    return Differences(
        added=tuple(tool for tool in added if tool not in new),
        removed=tuple(tool for tool in removed if tool not in old),
        changed=tuple(changed),
        renamed=renamed,
    )


def _nameless(definition: Definition) -> str:
    return digest_of({key: value for key, value in definition.raw.items() if key not in ("name", "title")})


def read_acceptance(path: Path) -> dict[str, AcceptedServer]:
    """Read the file of accepted tools; where there is none, nothing was accepted.

    Raises:
        AcceptanceDamaged: it cannot be read, or a definition is not the one that was accepted.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise AcceptanceDamaged(f"{path}: it cannot be read: {error}") from error
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise AcceptanceDamaged(f"{path}: format: another version of Cartrita wrote it; accept anew")
        return {name: _server(path, name, plain) for name, plain in document["servers"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AcceptanceDamaged(
            f"{path}: it is no file of accepted tools ({type(error).__name__}: {error}); "
            "remove it, and accept each server anew with `cartrita tools accept`"
        ) from error


def write_acceptance(path: Path, servers: Mapping[str, AcceptedServer]) -> None:
    """Write the file of accepted tools, whole or not at all."""
    document = {
        "format": FORMAT,
        "servers": {name: _plain(server) for name, server in sorted(servers.items())},
    }
    beside = path.with_name(path.name + ".new")
    beside.write_text(json.dumps(document, indent=1, ensure_ascii=True) + "\n", encoding="utf-8")
    beside.chmod(0o644)
    beside.replace(path)


def _plain(server: AcceptedServer) -> dict[str, object]:
    return {
        "version": server.version,
        "program_sha256": server.program_sha256,
        "tools": {
            tool: {"digest": one.digest, "definition": one.raw}
            for tool, one in sorted(server.definitions.items())
        },
        "declined": dict(sorted(server.declined.items())),
    }


def _server(path: Path, name: str, plain: Mapping[str, object]) -> AcceptedServer:
    tools, declined = plain["tools"], plain["declined"]
    if not isinstance(tools, dict) or not isinstance(declined, dict):
        raise TypeError(f"servers.{name}: tools and declined are tables")
    definitions = {}
    for tool, entry in tools.items():
        where = f"{path}: servers.{name}.tools.{tool}"
        try:
            definition = read_definition(name, entry["definition"])
        except DefinitionUnusable as error:
            raise AcceptanceDamaged(f"{where}: {error}; accept the server anew") from error
        if definition.tool != tool or definition.digest != entry["digest"]:
            raise AcceptanceDamaged(
                f"{where}: the definition is not the one whose digest stands beside it; "
                f"accept the server anew: `cartrita tools accept {name}`"
            )
        definitions[tool] = definition
    program = plain["program_sha256"]
    return AcceptedServer(
        definitions=definitions,
        declined={str(tool): str(digest) for tool, digest in declined.items()},
        program_sha256=None if program is None else str(program),
        version=str(plain["version"]),
    )
