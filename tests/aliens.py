"""Records that Avro can read and that are not what the events promise, of every topic, field and type."""

import copy
import io
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Final, cast, get_args, get_origin, get_type_hints

import fastavro
from fastavro.types import Schema

from schemas.envelope import Envelope
from schemas.ids import derived_id
from schemas.plain import Dialect, optional_of, to_plain
from schemas.wire.avro_schema import derived_schema
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry, SchemaUnknown
from schemas.words import Word
from topics.catalog import TOPICS, Topic

ID: Final = derived_id("alien", "x")
_BODY: Final = "body"

# A union holds one type of a kind, so that each family of logical types is a schema of its own.
FAMILIES: Final[tuple[tuple[tuple[object, object], ...], ...]] = (
    (
        ("null", None),
        ("boolean", True),
        ("double", 2.5),
        ("string", "text"),
        ("bytes", b"\xff\x00"),
        ({"type": "array", "items": "string"}, ["a"]),
        ({"type": "map", "values": "long"}, {"a": 1}),
    ),
    (
        ({"type": "long", "logicalType": "timestamp-micros"}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("1.25")),
        ({"type": "int", "logicalType": "date"}, date(2026, 1, 1)),
    ),
    (
        ({"type": "long", "logicalType": "time-micros"}, time(1, 2, 3)),
        ("float", 0.5),
        ("int", 7),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alien:
    """One record of another producer."""

    topic: Topic
    fact: str
    path: tuple[str, ...]
    """Of the field with the other type; it begins with `body` where it is the fact's."""
    kind: str
    value: bytes
    key: bytes

    def __str__(self) -> str:
        return f"{self.topic.name} {self.fact} {'.'.join(self.path)}: {self.kind}"


class FixedRegistry(SchemaRegistry):
    """A registry that knows the schemas that it was given, by id."""

    def __init__(self, schemas: Mapping[int, object]) -> None:
        super().__init__("http://127.0.0.1:9")
        self.schemas = dict(schemas)

    async def schema_of(self, schema_id: int) -> str:
        if schema_id not in self.schemas:
            raise SchemaUnknown(str(schema_id))
        return json.dumps(self.schemas[schema_id])


def record_of(cls: type) -> object:
    """Return a small record of a class, in which every field holds something."""
    hints = get_type_hints(cls)
    return cls(**{field.name: _value(hints[field.name]) for field in fields(cls)})


def envelope_of(fact: type) -> Envelope:
    """Return a sound event of a fact."""
    return Envelope(
        event_id=ID,
        type=fact.__name__,
        session_id=ID,
        tenant_id="tenant",
        user_id="user",
        sequence=1,
        causation_id=ID,
        correlation_id=ID,
        evidence_ids=(ID,),
        occurred_at_ms=1_000,
        producer="another",
        traceparent="00-0-0-00",
        source="topic/0/0",
        state_digest="0",
        body=record_of(fact),  # type: ignore[arg-type]  # one of the facts
    )


def codec_and_aliens(topic: Topic, key: bytes) -> tuple[Codec, list[Alien]]:
    """Return a topic's alien records, and a codec that knows the schemas with which they are written."""
    schemas: dict[int, object] = {}
    found: list[Alien] = []
    for number, family in enumerate(FAMILIES):
        schema_id = 1_000 + number
        schema = _widened(derived_schema(topic), [kind for kind, _ in family])
        schemas[schema_id] = schema
        parsed = fastavro.parse_schema(copy.deepcopy(cast("dict[str, object]", schema)))
        found += _aliens(topic, key, family, schema_id, parsed)
    ids = {one.name: place for place, one in enumerate(TOPICS, start=1)}
    return Codec(TOPICS, FixedRegistry(schemas), ids), found


def _aliens(
    topic: Topic, key: bytes, family: tuple[tuple[object, object], ...], schema_id: int, parsed: Schema
) -> Iterator[Alien]:
    for fact in topic.facts:
        plain = to_plain(envelope_of(fact), Dialect.AVRO)
        # The envelope's fields are those of every fact: one fact stands for all.
        around = [path for path in _paths(Envelope) if path != (_BODY,)] if fact is topic.facts[0] else []
        for path in (*around, *((_BODY, *rest) for rest in _paths(fact))):
            for kind, value in family:
                if isinstance(value, list) and isinstance(_at(plain, path), list):
                    continue  # a list of texts cannot be written beside a list of records
                changed = copy.deepcopy(plain)
                _put(changed, path, value)
                buffer = io.BytesIO(struct.pack(">bI", 0, schema_id))
                buffer.seek(5)
                fastavro.schemaless_writer(buffer, parsed, changed)
                name = kind if isinstance(kind, str) else json.dumps(kind)
                yield Alien(
                    topic=topic, fact=fact.__name__, path=path, kind=name, value=buffer.getvalue(), key=key
                )


def _paths(cls: type) -> Iterator[tuple[str, ...]]:
    """Name every field of a record, and of the records within."""
    for name, hint in get_type_hints(cls).items():
        yield (name,)
        inner = optional_of(hint) or hint
        item = get_args(inner)[0] if get_origin(inner) is tuple else inner
        if isinstance(item, type) and is_dataclass(item):
            yield from ((name, *rest) for rest in _paths(item))


def _put(plain: object, path: tuple[str, ...], value: object) -> None:
    record = _record_in(plain)
    if len(path) == 1:
        record[path[0]] = value
    else:
        _put(record[path[0]], path[1:], value)


def _at(plain: object, path: tuple[str, ...]) -> object:
    record = _record_in(plain)
    return record[path[0]] if len(path) == 1 else _at(record[path[0]], path[1:])


def _record_in(plain: object) -> dict[str, object]:
    """Return the record that a union, a list or neither holds."""
    while not isinstance(plain, dict):
        plain = cast("tuple[object, ...]", plain)[1 if isinstance(plain, tuple) else 0]
    return plain


def _widened(schema: object, kinds: list[object], *, is_body: bool = False) -> object:
    """Let every field of a schema be of other types too."""
    if isinstance(schema, list):
        return [_widened(one, kinds) for one in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: _widened(part, kinds) for name, part in schema.items() if name != "fields"}
    if schema.get("type") == "record":
        changed["fields"] = [
            {
                "name": field["name"],
                "type": _widened(field["type"], kinds)
                if field["name"] == _BODY
                else _union(_widened(field["type"], kinds), kinds),
            }
            for field in cast("list[dict[str, object]]", schema["fields"])
        ]
    return changed


def _union(own: object, kinds: list[object]) -> list[object]:
    """Return a union of a field's own type and others; of one kind there is only one: of lists, its own."""
    members = own if isinstance(own, list) else [own]
    lists = [one for one in members if _kind_of(one) == "array"]
    others = [kind for kind in kinds if not lists or _kind_of(kind) != "array"]
    taken = {_kind_of(kind) for kind in others}
    return [one for one in members if _kind_of(one) not in taken] + others


def _kind_of(schema: object) -> str:
    if isinstance(schema, dict):
        kind = schema["type"]
        return str(schema["name"]) if kind in ("record", "fixed", "enum") else _kind_of(kind)
    return str(schema)


def _value(hint: object) -> object:
    inner = optional_of(hint)
    if inner is not None:
        return _value(inner)
    if get_origin(hint) is tuple:
        return (_value(get_args(hint)[0]),)
    if isinstance(hint, type) and is_dataclass(hint):
        return record_of(hint)
    if isinstance(hint, type) and issubclass(hint, Word):
        return next(iter(hint))
    return _VALUES[cast("type", hint)]


_VALUES: Final[Mapping[type, object]] = {str: ID, int: 1, float: 0.5, bool: False, bytes: b"bytes"}
