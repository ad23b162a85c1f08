"""The events catalogue: docs/events.md, written from the contracts."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Final, cast, get_args, get_type_hints

from schemas.wire.avro_schema import derived_schema
from schemas.words import Word, meanings_of
from topics.catalog import HOUR_MS, TOPICS, Topic

_INTRODUCTION: Final = """# Events

Every record on every topic is one Avro record: the envelope's fields, then `body`, a union of the topic's
facts. The contracts are the files `schemas/avro/<topic>.avsc`; the subject in the schema registry is the
topic's name and `-value`. Values use the Confluent wire format; headers follow the CloudEvents Kafka binding,
plus `cartrita_schema`, the schema's fingerprint (CRC-64-AVRO), by which a record can be read when its
registry is gone.

This page is written from the schemas by `cartrita schemas document`; do not edit it.

## Producing an input

Any client in any language can post to `user.inputs`, with any key and any partitioner. `body` is all that
must be given; give `session_id` (a UUID) to speak in a session that exists, and `event_id` (a UUID, the
message id) so that a repeated delivery is dropped. With Confluent's Python client:

```python
import uuid
from confluent_kafka import Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

registry = SchemaRegistryClient({"url": "http://127.0.0.1:8081/apis/ccompat/v7"})
schema = registry.get_latest_version("user.inputs-value").schema
serialize = AvroSerializer(registry, schema.schema_str, conf={"auto.register.schemas": False})
message = {
    "event_id": str(uuid.uuid4()),
    "session_id": str(uuid.uuid4()),
    "body": ("cartrita.events.MessageReceived", {"text": "What does the ingress shell do?"}),
}
producer = Producer({"bootstrap.servers": "127.0.0.1:9092"})
producer.produce(
    "user.inputs",
    serialize(message, SerializationContext("user.inputs", MessageField.VALUE)),
)
producer.flush()
```

[producers.md](producers.md) has the same in other languages, what differs between their Avro libraries, and
all bounds.

A schema of your own is read too, when the registry has it: fields that are not in this page are read past,
and `int` or `float` may stand where `long` or `double` is promised. All else must be of the type that
stands here, in every field: null where text is promised, a double for an integer or a date for a time puts
the record aside in `dead.letters` as `not_avro`, with the field's name. So does a schema that leads back to
itself, that has more than 32 levels, or in which a list's items take no bytes.
"""


def events_markdown() -> str:
    """Return the text of docs/events.md."""
    parts = [_INTRODUCTION, "## The envelope\n", _fields_table(_envelope_fields()), *_topics()]
    return "\n".join(parts)


def _topics() -> Iterator[str]:
    yield "## Topics\n"
    yield "| topic | keyed by | kept | written by | acted on by |\n|---|---|---|---|---|"
    for topic in TOPICS:
        link = f"[{topic.name}](#{_anchor(topic.name)})"
        yield f"| {link} | {topic.keying} | {_kept(topic)} | {topic.writers} | {_readers(topic)} |"
    yield ""
    yield from _words()
    told: set[str] = set()
    for topic in TOPICS:
        yield f"## {topic.name}\n\n{topic.purpose}\n"
        for record in _facts(topic):
            name = str(record["name"])
            if name in told:
                yield f"### {name}\n\nAs above.\n"
                continue
            told.add(name)
            yield f"### {name}\n\n{record['doc']}\n"
            yield _fields_table(cast("list[Mapping[str, object]]", record["fields"]))


def _words() -> Iterator[str]:
    yield (
        "## Words\n\nFields that can have one of a few values. A newer program may say others: "
        "read them as text, and keep them.\n"
    )
    words = {word for topic in TOPICS for fact in topic.facts for word in _words_in(fact)}
    for word in sorted(words, key=lambda word: word.__name__):
        yield f"### {word.__name__}\n\n{' '.join((inspect.getdoc(word) or '').split())}\n"
        rows = [f"| `{text}` | {meaning} |" for text, meaning in meanings_of(word).items()]
        yield "\n".join(["| value | meaning |", "|---|---|", *rows]) + "\n"


def _words_in(hint: object) -> Iterator[type[Word]]:
    """Find the words that a type's values hold, at any depth."""
    if isinstance(hint, type) and issubclass(hint, Word):
        yield hint
    elif isinstance(hint, type) and is_dataclass(hint):
        for inner in get_type_hints(hint).values():
            yield from _words_in(inner)
    else:
        for inner in get_args(hint):
            yield from _words_in(inner)


def _envelope_fields() -> list[Mapping[str, object]]:
    fields = cast("list[Mapping[str, object]]", derived_schema(TOPICS[0])["fields"])
    return [field for field in fields if field["name"] != "body"]


def _facts(topic: Topic) -> list[Mapping[str, object]]:
    fields = cast("list[Mapping[str, object]]", derived_schema(topic)["fields"])
    return cast("list[Mapping[str, object]]", fields[-1]["type"])


def _fields_table(fields: list[Mapping[str, object]]) -> str:
    if not fields:
        return "It has no fields.\n"
    rows = ["| field | type | meaning |", "|---|---|---|"]
    for field in fields:
        text = str(field.get("doc", "")).replace("|", "\\|")
        optional = " (optional)" if "default" in field else ""
        rows.append(f"| `{field['name']}` | {_type(field['type'])}{optional} | {text} |")
    return "\n".join(rows) + "\n"


def _type(schema: object) -> str:
    if isinstance(schema, str):
        return schema.rpartition(".")[2]
    if isinstance(schema, list):
        return " or ".join(_type(branch) for branch in schema)
    kind = cast("Mapping[str, object]", schema)
    match kind["type"]:
        case "array":
            return f"array of {_type(kind['items'])}"
        case "map":
            return f"map of {_type(kind['values'])}"
        case "record":
            return str(kind["name"])
        case _:
            return str(kind.get("logicalType", kind["type"]))


def _kept(topic: Topic) -> str:
    if topic.cleanup == "compact":
        return "newest by key"
    return "for ever" if topic.is_truth else f"{topic.retention_ms // HOUR_MS} hours"


def _readers(topic: Topic) -> str:
    return ", ".join(f"{shell} shell" for shell in topic.readers) or "no shell"


def _anchor(name: str) -> str:
    return name.replace(".", "")
