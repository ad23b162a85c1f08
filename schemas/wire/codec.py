"""The codec: events to and from Kafka records, in Confluent's wire format.

A value is a zero byte, the schema's id (4 bytes, big endian) and the Avro binary. Headers follow the
CloudEvents Kafka binding, plus the schema's fingerprint, by which a record can be read when the
registry that gave the id is gone.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from schemas.envelope import Envelope
from schemas.wire import foreign
from schemas.wire.avro_schema import schema_text
from schemas.wire.binary import Reader, Writer, reader_of, writer_of
from schemas.wire.conformity import Unfit, demand_fit
from schemas.wire.foreign import Unreadable, Written, written_with
from schemas.wire.registry import SchemaRegistry, SchemaUnknown
from schemas.wire.subject import Subject

Headers = list[tuple[str, bytes]]

FINGERPRINT_HEADER: Final = "cartrita_schema"
COMPATIBILITY: Final = "BACKWARD_TRANSITIVE"
_HEAD: Final = struct.Struct(">bI")


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


class UnencodableError(ValueError):
    """An event cannot be written: a value is not of the type that is promised; the message says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A schema with which records were written, and what reads them at once where it is our own."""

    written: Written
    read: Reader | None = None


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
        self._by_id: dict[int, _Known] = {}
        self._unusable: dict[int, str] = {}
        self._by_fingerprint: dict[bytes, _Known] = {}
        for topic in subjects:
            known = _Known(written=written_with(schema_text(topic)), read=reader_of(topic))
            mark = known.written.fingerprint
            self._by_fingerprint[mark] = known
            if topic.name in ids:
                self._by_id[ids[topic.name]] = known
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
        """Return the value of the record that carries `envelope` on `topic`.

        Raises:
            UnencodableError: the event holds what its class does not allow.
        """
        subject = self._subjects[topic.name]
        try:
            return subject.head + subject.write(envelope)
        except (
            AttributeError,
            TypeError,
            KeyError,
            OverflowError,
            UnicodeEncodeError,
            struct.error,
        ) as error:
            _tell_unencodable(envelope, error)

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
        known = self._by_id.get(_HEAD.unpack_from(value)[1])
        for name, mark in headers:
            if name == FINGERPRINT_HEADER and mark is not None:
                # The fingerprint says more than an id, which a new registry may have given to another schema.
                known = self._by_fingerprint.get(mark, known)
        if known is None:
            known = await self._look_up(_HEAD.unpack_from(value)[1])
        if known.read is not None:
            try:
                envelope, end = known.read(value, _HEAD.size)
            except (IndexError, KeyError, ValueError, struct.error):
                return _read(value, known.written)
            if end == len(value):
                return envelope
        return _read(value, known.written)

    async def _look_up(self, schema_id: int) -> _Known:
        if self._registry is None:
            raise UndecodableError("unknown_schema", f"schema id {schema_id} is not known")
        if schema_id in self._unusable:
            raise UndecodableError("not_avro", self._unusable[schema_id])
        try:
            text = await self._registry.schema_of(schema_id)
        except SchemaUnknown as error:
            raise UndecodableError(
                "unknown_schema", f"the registry has no schema of id {schema_id}"
            ) from error
        try:
            known = _Known(written=written_with(text))
        except Unreadable as error:
            self._unusable[schema_id] = f"schema id {schema_id} cannot be used: {error}"
            raise UndecodableError("not_avro", self._unusable[schema_id]) from error
        self._by_id[schema_id] = known
        return known


def _read(value: bytes, written: Written) -> Envelope:
    try:
        found = foreign.read(value, _HEAD.size, written)
    except Unreadable as error:
        raise UndecodableError("not_avro", str(error)) from error
    if isinstance(found, foreign.UnknownFact):
        raise UnknownFactError(found.name, found.plain)
    return found


def _tell_unencodable(envelope: Envelope, error: Exception) -> NoReturn:
    name = type(envelope.body).__name__
    try:
        demand_fit(envelope)
    except Unfit as unfit:
        raise UnencodableError(f"{name} cannot be written: {unfit}") from error
    raise UnencodableError(f"{name} cannot be written: {type(error).__name__}") from error
