"""Records with schemas that are not this program's own: older, newer, or somebody else's.

fastavro reads them. Its readers are compiled C without a bound on their depth, so a schema is bounded before
anything is read with it: one that leads back to itself would let a record of 20 KB end the process.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from fastavro.types import Schema

from schemas.envelope import Envelope
from schemas.plain import members_of
from schemas.wire.avro_schema import without_logical_types
from schemas.wire.conformity import Unfit, fitted, fitted_fields

DEPTH_MAX: Final = 32
"""Levels of records, lists and unions; an event of this program has seven."""
_FACTS: Final = {cls.__name__: cls for cls in members_of(Envelope.__dataclass_fields__["body"].type)}
_BODY: Final = frozenset({"body"})


class Unreadable(Exception):
    """A schema or a record cannot be read, now or ever; the message is for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A schema with which records were written."""

    schema: Schema
    fingerprint: bytes
    sole_fact: str | None
    """The name of the body's only fact, which Avro then does not repeat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownFact:
    """A record of a fact that this program does not know, in plain values."""

    name: str
    plain: Mapping[str, object]
    """The envelope's fields, all as promised, and the body as it was read."""


def written_with(text: str) -> Written:
    """Parse a schema's text.

    Raises:
        Unreadable: it is none, or not one of an event, or one whose records could not be bounded.
    """
    try:
        plain = without_logical_types(json.loads(text))
        if not isinstance(plain, dict):
            raise Unreadable("an event's schema is a record")
        body: object = next((field["type"] for field in plain["fields"] if field["name"] == "body"), [])
        branches = body if isinstance(body, list) else []
        names = [branch["name"] for branch in branches if isinstance(branch, dict)]
        mark = fingerprint(to_parsing_canonical_form(plain), "CRC-64-AVRO").encode()
        schema = fastavro.parse_schema(plain)
        _Bounds().height_of(schema)
    except Unreadable:
        raise
    except Exception as error:
        # Anything may be registered as a schema, and what that breaks in fastavro is no closed list.
        raise Unreadable(f"it is no Avro schema of an event: {type(error).__name__}") from error
    return Written(schema=schema, fingerprint=mark, sole_fact=str(names[0]) if len(names) == 1 else None)


def read(value: bytes, at: int, written: Written) -> Envelope | UnknownFact:
    """Read the record that begins at `at` and ends where the value does.

    Raises:
        Unreadable: it does not fit its schema, or is not what an event promises.
    """
    buffer = io.BytesIO(value)
    buffer.seek(at)
    try:
        plain = fastavro.schemaless_reader(
            buffer, written.schema, None, return_record_name=True, return_record_name_override=True
        )
    except Exception as error:
        # fastavro raises what the bytes happen to break: EOFError, IndexError, UnicodeDecodeError and others.
        raise Unreadable(f"the value does not fit its schema: {type(error).__name__}") from error
    if buffer.tell() != len(value):
        raise Unreadable("the value goes on after the record's end")
    if not isinstance(plain, dict):
        raise Unreadable("the value is not a record")
    try:
        return _envelope(cast("dict[str, object]", plain), written)
    except Unfit as error:
        raise Unreadable(str(error)) from error


def _envelope(plain: dict[str, object], written: Written) -> Envelope | UnknownFact:
    body = plain.get("body")
    if isinstance(body, dict) and written.sole_fact is not None:
        body = (written.sole_fact, body)
    if not isinstance(body, tuple):
        raise Unreadable("the record's schema has no body of a known form")
    name = str(body[0]).rpartition(".")[2]
    # What the writer called it is not what it is.
    head = {**fitted_fields(Envelope, plain, _BODY), "type": name}
    fact = _FACTS.get(name)
    if fact is None:
        return UnknownFact(name=name, plain={**head, "body": body[1]})
    return Envelope(**head, body=fitted(fact, body[1], name))  # type: ignore[arg-type]  # fitted to them


class _Bounds:
    """Walks a schema once, and knows of each named type how deep it goes and whether it takes any bytes."""

    def __init__(self) -> None:
        self._heights: dict[str, int] = {}
        self._weightless: set[str] = set()

    def height_of(self, schema: object, within: tuple[str, ...] = (), *, in_union: bool = False) -> int:
        """Return how many levels of values a schema's records have.

        Raises:
            Unreadable: too many, or more than their bytes account for.
        """
        if isinstance(schema, list):
            height = 1 + max((self.height_of(one, within, in_union=True) for one in schema), default=0)
        elif isinstance(schema, str):
            if schema in within:
                raise Unreadable(f"its schema leads back to itself at {schema}")
            self._demand_weight(schema == "null" or schema in self._weightless, in_union)
            height = self._heights.get(schema, 0)
        else:
            height = self._height_of_type(cast("Mapping[str, object]", schema), within, in_union)
        if height > DEPTH_MAX:
            raise Unreadable(f"its schema has more than {DEPTH_MAX} levels")
        return height

    def _height_of_type(self, schema: Mapping[str, object], within: tuple[str, ...], in_union: bool) -> int:
        kind = schema["type"]
        if kind == "array":
            return 1 + self.height_of(schema["items"], within)
        if kind == "map":
            return 1 + self.height_of(schema["values"], within)
        if kind not in ("record", "error", "fixed", "enum"):
            return self.height_of(kind, within, in_union=in_union)
        name, inner = str(schema["name"]), cast("list[dict[str, object]]", schema.get("fields", []))
        if (kind in ("record", "error") and not inner) or schema.get("size") == 0:
            self._weightless.add(name)
        self._demand_weight(name in self._weightless, in_union)
        heights = (self.height_of(field["type"], (*within, name)) for field in inner)
        self._heights[name] = 1 + max(heights, default=0)
        return self._heights[name]

    @staticmethod
    def _demand_weight(weightless: bool, in_union: bool) -> None:
        # As a union's member it costs the byte that names the member; else a few bytes could stand for
        # a list of billions of values.
        if weightless and not in_union:
            raise Unreadable("its schema has values that take no bytes")
