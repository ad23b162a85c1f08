"""What a server says that its tools are: read one by one, checked, named, and told apart by a digest.

All of it is text of strangers. A tool that cannot be used is put aside with the reason and costs no other one
anything. What a model or a person reads of a definition is cleaned and bounded; the digest is of what the
server sent, so that a change in what is not shown is a change all the same.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from connectors.mcp.server import SEPARATOR
from connectors.sandbox.cleaning import clean, clean_line
from connectors.tools.json_schemas import SchemaUnusable, usable_validator

NAME_CHARACTERS_MAX: Final = 64
"""Of server, separator and tool together: what all providers of models take."""
DESCRIPTION_CHARACTERS_MAX: Final = 1_000
PART_CHARACTERS_MAX: Final = 300
"""Of a description within a schema."""
DEFINITION_BYTES_MAX: Final = 64_000
TOOLS_MAX: Final = 200
_DIGESTED: Final = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9_-]")
_NAME: Final = re.compile(r"[A-Za-z0-9_.\-/]{1,128}")
_FREE_TEXT: Final = ("description", "title")
_DROPPED: Final = ("$comment", "examples")
_DEPTH_MAX: Final = 40


class DefinitionUnusable(Exception):
    """A tool's definition cannot be used; the message says why, without quoting what may mislead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A tool as its server defines it."""

    tool: str
    """The name that the server gives it."""
    name: str
    """The name that agents and policies use: server__tool."""
    raw: Mapping[str, object]
    """What the digest is of, as the server sent it."""
    digest: str
    """SHA-256 of `raw` as canonical JSON, hexadecimal."""
    description: str
    """What a model reads: cleaned, bounded, and marked as the server's words."""
    parameters_json: str
    """JSON Schema of the arguments, with its descriptions cleaned."""
    output_schema_json: str | None
    """JSON Schema of the structured result, where the server promises one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """A tool that is put aside."""

    tool: str
    """Its name, cleaned and on one line, or its place in the list."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A server's whole list of tools."""

    definitions: Mapping[str, Definition]
    """By the name that the server gives each."""
    unusable: tuple[Unusable, ...]

    @property
    def digest(self) -> str:
        """Return one digest of all that can be used; a person accepts what it stands for."""
        return digest_of({tool: definition.digest for tool, definition in self.definitions.items()})


def read_listing(server: str, entries: Iterable[object]) -> Listing:
    """Read a server's list of tools one by one; what cannot be used is put aside with the reason."""
    definitions: dict[str, Definition] = {}
    unusable: list[Unusable] = []
    names: dict[str, str] = {}
    for number, entry in enumerate(entries, start=1):
        shown = _shown_name(entry, number)
        if number > TOOLS_MAX:
            unusable.append(Unusable(tool="…", reason=f"only the first {TOOLS_MAX} tools of a server count"))
            break
        try:
            definition = read_definition(server, entry)
        except DefinitionUnusable as error:
            unusable.append(Unusable(tool=shown, reason=str(error)))
            continue
        if definition.name in names:
            # None of them: which one a call would reach is the server's choice.
            reason = f"another tool has its name, {definition.name}"
            first = definitions.pop(names[definition.name], None)
            unusable += [Unusable(tool=one.tool, reason=reason) for one in (first, definition) if one]
            continue
        names[definition.name] = definition.tool
        definitions[definition.tool] = definition
    return Listing(definitions=definitions, unusable=tuple(unusable))


def read_definition(server: str, entry: object) -> Definition:
    """Read one tool as a server defines it.

    Raises:
        DefinitionUnusable: it cannot be offered to a model, or its arguments cannot be checked.
    """
    if not isinstance(entry, Mapping):
        raise DefinitionUnusable("it is no JSON object")
    tool = entry.get("name")
    if not isinstance(tool, str) or _NAME.fullmatch(tool) is None:
        raise DefinitionUnusable("its name is not 1 to 128 letters, digits and '_', '-', '.', '/'")
    raw = {key: entry[key] for key in _DIGESTED if entry.get(key) is not None}
    try:
        digest = digest_of(raw)
        size_bytes = len(json.dumps(raw).encode())
    except (ValueError, TypeError, RecursionError) as error:
        raise DefinitionUnusable("it is no plain JSON") from error
    if size_bytes > DEFINITION_BYTES_MAX:
        raise DefinitionUnusable(f"it has {size_bytes:,} bytes; the most is {DEFINITION_BYTES_MAX:,}")
    name = f"{server}{SEPARATOR}{_NOT_IN_NAMES.sub('_', tool)}"
    if len(name) > NAME_CHARACTERS_MAX:
        raise DefinitionUnusable(f"with its server's name it has over {NAME_CHARACTERS_MAX} characters")
    for key, kind in (("title", str), ("description", str), ("annotations", Mapping)):
        if key in raw and not isinstance(raw[key], kind):
            raise DefinitionUnusable(f"its {key} is no {'text' if kind is str else 'JSON object'}")
    return Definition(
        tool=tool,
        name=name,
        raw=raw,
        digest=digest,
        description=_description(server, str(raw.get("description") or raw.get("title") or "")),
        parameters_json=_schema(raw.get("inputSchema"), "inputSchema"),
        output_schema_json=_schema(raw["outputSchema"], "outputSchema") if "outputSchema" in raw else None,
    )


def digest_of(value: object) -> str:
    """Return the SHA-256 of a JSON value in a form that does not depend on the order of its keys.

    Raises:
        ValueError: it holds numbers that JSON lacks.
        TypeError: it holds what is no JSON.
        RecursionError: it is nested too deep.
    """
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def _shown_name(entry: object, number: int) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return clean_line(name, NAME_CHARACTERS_MAX) if isinstance(name, str) and name else f"number {number}"


def _description(server: str, text: str) -> str:
    said = clean(text[: 4 * DESCRIPTION_CHARACTERS_MAX]).strip()
    if len(said) > DESCRIPTION_CHARACTERS_MAX:
        said = said[:DESCRIPTION_CHARACTERS_MAX] + " …"
    return f"Tool of the server {server}, described by it and not by us: {said or 'no description'}"


def _schema(schema: object, what: str) -> str:
    if not isinstance(schema, Mapping):
        raise DefinitionUnusable(f"its {what} is no JSON object")
    try:
        cleaned = json.dumps(_cleaned(schema, what, 0), ensure_ascii=False)
        usable_validator(cleaned, of_object=True)
    except SchemaUnusable as error:
        raise DefinitionUnusable(f"its {what} cannot be used: {clean_line(str(error), 200)}") from error
    except RecursionError as error:
        raise DefinitionUnusable(f"its {what} is nested too deep") from error
    return cleaned


def _cleaned(value: object, what: str, depth: int, *, names: bool = False) -> object:
    """Return a part of a schema with its descriptions cleaned; what means something must be clean already.

    Args:
        value: the part.
        what: the schema, for messages.
        depth: of the part.
        names: True where the keys are names of the schema's own, as below `properties`: one of them may be
            `description`.
    """
    if depth > _DEPTH_MAX:
        raise DefinitionUnusable(f"its {what} is nested too deep")
    if isinstance(value, Mapping):
        parts: dict[str, object] = {}
        for key, part in value.items():
            if not names and key in _DROPPED:
                continue
            _demand_clean(key, what)
            if not names and key in _FREE_TEXT:
                parts[key] = clean_line(str(part), PART_CHARACTERS_MAX)
            else:
                below = not names and key in ("properties", "$defs", "definitions", "patternProperties")
                parts[key] = _cleaned(part, what, depth + 1, names=below)
        return parts
    if isinstance(value, list):
        return [_cleaned(part, what, depth + 1) for part in value]
    if isinstance(value, str):
        _demand_clean(value, what)
    return value


def _demand_clean(text: str, what: str) -> None:
    if clean(text) != text:
        raise DefinitionUnusable(f"its {what} has characters in it that are not shown")
