"""The codec: events to and from Kafka records, in Confluent's wire format.

A value is a zero byte, the schema's id (4 bytes, big endian) and the Avro binary. Headers follow the
CloudEvents Kafka binding, plus the schema's fingerprint, by which a record can be read when the
registry that gave the id is gone.
"""

import io
import json
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from fastavro.types import Schema

from schemas.envelope import Envelope
from schemas.plain import decoder_of, members_of
from schemas.wire.avro_schema import schema_text, without_logical_types
from schemas.wire.binary import Reader, Writer, reader_of, writer_of
from schemas.wire.registry import SchemaRegistry, SchemaUnknown
from schemas.wire.subject import Subject

Headers = list[tuple[str, bytes]]

FINGERPRINT_HEADER: Final = "cartrita_schema"
COMPATIBILITY: Final = "BACKWARD_TRANSITIVE"
_HEAD: Final = struct.Struct(">bI")
_FACTS: Final = {cls.__name__: cls for cls in members_of(Envelope.__dataclass_fields__["body"].type)}
_READ_ENVELOPE: Final = cast("Callable[[Mapping[str, object]], Envelope]", decoder_of(Envelope))


class UndecodableError(Exception):
    """A record cannot be read, now or ever; `code` is a dead letter's."""

    def __init__(self, code: str, reason: str) -> None:
        """Note why, in a word and in a sentence."""
        super().__init__(reason)
        self.code = code
        self.reason = reason


class UnknownFactError(UndecodableError):
    """A record of a newer program carries a fact that this one does not know: stored, not applied."""

    def __init__(self, name: str, plain: Mapping[str, object]) -> None:
        """Keep the record's plain values, envelope included."""
        super().__init__("unknown_fact", f"this program does not know the fact {name}")
        self.name = name
        self.plain = plain


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """A schema with which records were written."""

    schema: Schema
    sole_fact: str | None
    """The name of the body's only fact, which Avro then does not repeat."""
    read: Reader | None = None
    """Reads them at once, where the schema is this program's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoding:
    """What encoding to one topic takes."""

    write: Writer
    head: bytes
    fingerprint: bytes


class Codec:
    """Reads and writes events; made by `connect`, or by `offline` where no registry is needed."""

    def __init__(
        self, subjects: Iterable[Subject], registry: SchemaRegistry | None, ids: Mapping[str, int]
    ) -> None:
        """Take the topics, the registry, and by topic the id of the schema with which this program writes."""
        self._registry = registry
        self._subjects: dict[str, _Encoding] = {}
        self._by_id: dict[int, _Written] = {}
        self._by_fingerprint: dict[bytes, _Written] = {}
        for topic in subjects:
            written, mark = _parsed(schema_text(topic), reader_of(topic))
            self._by_fingerprint[mark] = written
            if topic.name in ids:
                self._by_id[ids[topic.name]] = written
                head = _HEAD.pack(0, ids[topic.name])
                self._subjects[topic.name] = _Encoding(write=writer_of(topic), head=head, fingerprint=mark)

    @classmethod
    async def connect(
        cls, subjects: Sequence[Subject], registry: SchemaRegistry, topic_prefix: str = ""
    ) -> "Codec":
        """Register the schemas that this program writes, and return a codec.

        Raises:
            SchemaIncompatible: the registry has a schema whose readers could not read ours.
            RegistryUnavailable: no answer.
        """
        ids: dict[str, int] = {}
        for topic in subjects:
            subject = f"{topic_prefix}{topic.name}-value"
            ids[topic.name] = await registry.register(subject, schema_text(topic))
            await registry.demand_compatibility(subject, COMPATIBILITY)
        return cls(subjects, registry, ids)

    @classmethod
    def offline(cls, subjects: Sequence[Subject]) -> "Codec":
        """Return a codec with ids of its own, for tests and files; it reads by fingerprint or those ids."""
        return cls(subjects, None, {topic.name: number for number, topic in enumerate(subjects, start=1)})

    def encode(self, topic: Subject, envelope: Envelope) -> bytes:
        """Return the value of the record that carries `envelope` on `topic`."""
        subject = self._subjects[topic.name]
        return subject.head + subject.write(envelope)

    def headers(self, topic: Subject, envelope: Envelope) -> Headers:
        """Return the headers of the record that carries `envelope` on `topic`."""
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", envelope.event_id.encode()),
            ("ce_source", envelope.producer.encode() or b"cartrita"),
            ("ce_type", type(envelope.body).__name__.encode()),
            ("content-type", b"application/avro"),
            (FINGERPRINT_HEADER, self._subjects[topic.name].fingerprint),
        ]
        if envelope.traceparent:
            headers.append(("ce_traceparent", envelope.traceparent.encode()))
        return headers

    async def decode(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()) -> Envelope:
        """Read a record's value.

        Raises:
            UndecodableError: it can never be read.
            UnknownFactError: it carries a fact that this program does not know.
            RegistryUnavailable: its schema is not known here, and the registry does not answer.
        """
        if value is None:
            raise UndecodableError("no_value", "the record has no value")
        if len(value) < _HEAD.size or value[0] != 0:
            raise UndecodableError(
                "not_avro",
                "the value is not in Confluent's wire format: it lacks the zero byte and schema id",
            )
        written = self._by_id.get(_HEAD.unpack_from(value)[1])
        for name, mark in headers:
            if name == FINGERPRINT_HEADER and mark is not None:
                # The fingerprint says more than an id, which a new registry may have given to another schema.
                written = self._by_fingerprint.get(mark, written)
        if written is None:
            written = await self._look_up(_HEAD.unpack_from(value)[1])
        if written.read is not None:
            try:
                envelope, end = written.read(value, _HEAD.size)
            except (IndexError, KeyError, ValueError, struct.error):
                return _read(value, written)
            if end == len(value):
                return envelope
        return _read(value, written)

    async def _look_up(self, schema_id: int) -> _Written:
        if self._registry is None:
            raise UndecodableError("unknown_schema", f"schema id {schema_id} is not known")
        try:
            text = await self._registry.schema_of(schema_id)
        except SchemaUnknown as error:
            raise UndecodableError(
                "unknown_schema", f"the registry has no schema of id {schema_id}"
            ) from error
        try:
            written, _ = _parsed(text)
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise UndecodableError(
                "not_avro", f"schema id {schema_id} is no Avro schema of an event"
            ) from error
        self._by_id[schema_id] = written
        return written


def _parsed(text: str, read: Reader | None = None) -> tuple[_Written, bytes]:
    plain = without_logical_types(json.loads(text))
    if not isinstance(plain, dict):
        raise TypeError("an event's schema is a record")
    mark = fingerprint(to_parsing_canonical_form(plain), "CRC-64-AVRO").encode()
    body: object = next((field["type"] for field in plain["fields"] if field["name"] == "body"), [])
    names = [branch["name"] for branch in body if isinstance(branch, dict)] if isinstance(body, list) else []
    sole = str(names[0]) if len(names) == 1 else None
    return _Written(schema=fastavro.parse_schema(plain), sole_fact=sole, read=read), mark


def _read(value: bytes, written: _Written) -> Envelope:
    buffer = io.BytesIO(value)
    buffer.seek(_HEAD.size)
    try:
        read = fastavro.schemaless_reader(
            buffer, written.schema, None, return_record_name=True, return_record_name_override=True
        )
    except Exception as error:
        # fastavro raises what the bytes happen to break: EOFError, IndexError, UnicodeDecodeError and others.
        raise UndecodableError(
            "not_avro", f"the value does not fit its schema: {type(error).__name__}"
        ) from error
    if buffer.tell() != len(value):
        raise UndecodableError("not_avro", "the value goes on after the record's end")
    if not isinstance(read, dict):
        raise UndecodableError("not_avro", "the value is not a record")
    return _envelope(cast("dict[str, object]", read), written)


def _envelope(read: dict[str, object], written: _Written) -> Envelope:
    body = read.get("body")
    if isinstance(body, dict) and written.sole_fact is not None:
        body = (written.sole_fact, body)
    if not isinstance(body, tuple):
        raise UndecodableError("not_avro", "the record's schema has no body of a known form")
    name = str(body[0]).rpartition(".")[2]
    read["type"] = name
    if name not in _FACTS:
        raise UnknownFactError(name, {**read, "body": body[1]})
    read["body"] = (name, body[1])
    try:
        return _READ_ENVELOPE(read)
    except (KeyError, TypeError) as error:
        raise UndecodableError("not_avro", f"the record lacks what {name} needs: {error}") from error
