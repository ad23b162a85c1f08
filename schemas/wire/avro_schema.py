"""Avro schemas of the typed events: derived from the classes, kept as `.avsc` files, held equal by a test."""

import ast
import inspect
import json
import textwrap
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from importlib import resources
from itertools import pairwise
from typing import Final, cast, get_args, get_origin, get_type_hints

from schemas.envelope import Envelope
from schemas.plain import NAMESPACE, Dialect, full_name, optional_of, to_plain
from schemas.wire.subject import Subject
from schemas.words import Word, listed

Schema = dict[str, object]

_PRIMITIVES: Final[Mapping[object, str]] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
}
_PROMISED_LOGICAL_TYPES: Final = (("long", "timestamp-millis"), ("string", "uuid"))


def derived_schema(topic: Subject) -> Schema:
    """Derive the schema of a topic's records: the envelope, and as its body a union of the topic's facts."""
    defined: set[type] = set()
    record = _record(Envelope, defined, {"body": list(topic.facts)})
    record["name"] = "".join(part.title() for part in topic.name.replace("_", ".").split(".")) + "Record"
    record["doc"] = topic.doc
    return record


def schema_text(topic: Subject) -> str:
    """Return the contract: the text of the topic's `.avsc` file."""
    return resources.files("schemas").joinpath("avro", f"{topic.name}.avsc").read_text(encoding="utf-8")


def rendered(schema: Schema) -> str:
    """Write a schema as it stands in a file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def without_logical_types(schema: object) -> object:
    """Drop the logical types that events promise, so that times stay integers and ids texts in Python.

    The binary form is the same. Others stay: what is of another unit or form must be seen to be so.
    """
    if isinstance(schema, dict):
        if (schema.get("type"), schema.get("logicalType")) in _PROMISED_LOGICAL_TYPES:
            return schema["type"]
        return {key: without_logical_types(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [without_logical_types(item) for item in schema]
    return schema


def field_docs(cls: type) -> dict[str, str]:
    """Read the texts beneath the fields of a class."""
    body = cast("ast.ClassDef", ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]).body
    docs: dict[str, str] = {}
    for field, following in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            docs[field.target.id] = " ".join(str(following.value.value).split())
    return docs


def word_doc(cls: type[Word]) -> str:
    """Say which texts a word of the contract can be; readers take any other text of a newer program too."""
    return f"{' '.join((inspect.getdoc(cls) or '').split())} One of {listed(cls)}."


def _record(cls: type, defined: set[type], unions: Mapping[str, list[type]]) -> Schema:
    defined.add(cls)
    hints = get_type_hints(cls)
    docs = field_docs(cls)
    return {
        "type": "record",
        "name": cls.__name__,
        "namespace": NAMESPACE,
        "doc": " ".join((inspect.getdoc(cls) or "").split()),
        "fields": [
            _field(field, unions.get(field.name, hints[field.name]), docs.get(field.name), defined)
            for field in cast("tuple[Field[object], ...]", fields(cls))
        ],
    }


def _field(field: Field[object], hint: object, doc: str | None, defined: set[type]) -> Schema:
    described: Schema = {"name": field.name, "type": _type(hint, field.name, defined)}
    word = optional_of(hint) or hint
    if isinstance(word, type) and issubclass(word, Word):
        doc = " ".join(filter(None, (doc, word_doc(word))))
    if doc:
        described["doc"] = doc
    if field.default is not MISSING:
        described["default"] = _default(field.default)
    return described


def _default(value: object) -> object:
    if isinstance(value, tuple):
        return list(value)
    if is_dataclass(value):
        return to_plain(value, Dialect.AVRO)
    if isinstance(value, Word):
        return value.value
    return value


def _type(hint: object, name: str, defined: set[type]) -> object:
    inner = optional_of(hint)
    if inner is not None:
        return ["null", _type(inner, name, defined)]
    if isinstance(hint, list):
        return [_type(member, name, defined) for member in hint]
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        # Embeddings are the only arrays of numbers, and providers give them in single precision.
        return {"type": "array", "items": "float" if item is float else _type(item, name, defined)}
    if get_origin(hint) in (dict, Mapping):
        return {"type": "map", "values": _type(get_args(hint)[1], name, defined)}
    if isinstance(hint, type) and is_dataclass(hint):
        return full_name(hint) if hint in defined else _record(hint, defined, {})
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return "string"
    if hint is int and name.endswith("_at_ms"):
        return {"type": "long", "logicalType": "timestamp-millis"}
    return _PRIMITIVES[hint]
