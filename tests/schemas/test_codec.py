"""The codec: what is written is read, older and newer records too, and nothing else is."""

import contextlib
import io
import struct
from dataclasses import FrozenInstanceError

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived, SessionClosed
from schemas.wire.avro_schema import derived_schema, without_logical_types
from schemas.wire.codec import FINGERPRINT_HEADER, Codec, UndecodableError, UnknownFactError
from tests.aliens import FixedRegistry
from tests.schemas.events import topics_and_envelopes
from topics import catalog
from topics.catalog import TOPICS, Topic

CODEC = Codec.offline(TOPICS)


def written(schema: dict[str, object], record: dict[str, object], schema_id: int) -> bytes:
    """Write a record as another program would."""
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, schema_id))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(schema), record)
    return buffer.getvalue()


def plain_schema(topic: Topic) -> dict[str, object]:
    schema = without_logical_types(derived_schema(topic))
    assert isinstance(schema, dict)
    return schema


@given(topics_and_envelopes())
@settings(max_examples=300)
async def test_what_is_written_is_read(drawn: tuple[Topic, Envelope]) -> None:
    topic, envelope = drawn
    assert await CODEC.decode(CODEC.encode(topic, envelope)) == envelope


@given(st.binary(max_size=200))
@settings(max_examples=300)
async def test_any_bytes_are_an_event_or_undecodable_and_nothing_else(value: bytes) -> None:
    head = struct.pack(">bI", 0, 1)
    for attempt in (value, head + value):
        with contextlib.suppress(UndecodableError):
            assert isinstance(await CODEC.decode(attempt), Envelope)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, "no_value"),
        (b"", "not_avro"),
        (b"{}", "not_avro"),
        (b"\x00\x00\x00\x27\x0fx", "unknown_schema"),
    ],
)
async def test_what_cannot_be_read_says_why(value: bytes | None, code: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        await CODEC.decode(value)

    assert caught.value.code == code


async def test_a_record_that_goes_on_after_its_end_is_refused() -> None:
    value = CODEC.encode(catalog.USER_INPUTS, Envelope(body=SessionClosed()))

    with pytest.raises(UndecodableError, match="goes on"):
        await CODEC.decode(value + b"\x00")


async def test_an_older_record_gets_the_defaults_of_fields_that_it_lacks() -> None:
    schema = plain_schema(catalog.USER_INPUTS)
    fields = schema["fields"]
    assert isinstance(fields, list)
    old = {
        **schema,
        "fields": [field for field in fields if field["name"] not in ("traceparent", "evidence_ids")],
    }
    value = written(old, {"session_id": "s", "body": ("cartrita.events.SessionClosed", {})}, 99)
    codec = Codec(TOPICS, FixedRegistry({99: old}), {})

    read = await codec.decode(value)

    assert read == Envelope(session_id="s", type="SessionClosed", body=SessionClosed())


async def test_a_newer_record_is_read_without_the_fields_that_it_adds() -> None:
    schema = plain_schema(catalog.USER_INPUTS)
    fields = schema["fields"]
    assert isinstance(fields, list)
    new = {**schema, "fields": [{"name": "mood", "type": "string", "default": ""}, *fields]}
    body = ("cartrita.events.MessageReceived", {"text": "hello"})
    value = written(new, {"mood": "fine", "body": body}, 99)

    read = await Codec(TOPICS, FixedRegistry({99: new}), {}).decode(value)

    assert read.body == MessageReceived(text="hello")


async def test_a_fact_of_a_newer_program_is_kept_but_not_understood() -> None:
    schema = plain_schema(catalog.SESSION_TIMERS)
    fields = schema["fields"]
    assert isinstance(fields, list)
    fact = {"type": "record", "name": "SunRose", "namespace": "cartrita.events", "fields": []}
    fields[-1] = {"name": "body", "type": [*fields[-1]["type"], fact]}
    value = written(schema, {"event_id": "e", "body": ("cartrita.events.SunRose", {})}, 99)

    with pytest.raises(UnknownFactError) as caught:
        await Codec(TOPICS, FixedRegistry({99: schema}), {}).decode(value)

    assert caught.value.name == "SunRose"
    assert caught.value.plain["event_id"] == "e"


async def test_the_fingerprint_outlives_the_registry_that_gave_the_id() -> None:
    envelope = Envelope(type="MessageReceived", body=MessageReceived(text="hello"))
    value = CODEC.encode(catalog.USER_INPUTS, envelope)
    headers = CODEC.headers(catalog.USER_INPUTS, envelope)
    other = Codec(TOPICS, FixedRegistry({1: {"type": "string"}}), {})

    assert await other.decode(value, headers) == envelope


async def test_an_id_that_another_registry_gave_to_another_schema_yields_to_the_fingerprint() -> None:
    envelope = Envelope(type="MessageReceived", body=MessageReceived(text="hello"))
    value = CODEC.encode(catalog.USER_INPUTS, envelope)
    names = {topic.name: number for number, topic in enumerate(reversed(catalog.TOPICS), start=1)}
    other = Codec(TOPICS, None, names)

    assert await other.decode(value, CODEC.headers(catalog.USER_INPUTS, envelope)) == envelope


async def test_a_schema_that_is_no_event_makes_the_record_undecodable() -> None:
    with pytest.raises(UndecodableError):
        await Codec(TOPICS, FixedRegistry({7: {"type": "string"}}), {}).decode(b"\x00\x00\x00\x00\x07\x02a")


def test_headers_follow_the_cloudevents_binding() -> None:
    envelope = Envelope(event_id="e", producer="p", traceparent="00-a-b-01", body=SessionClosed())

    headers = dict(CODEC.headers(catalog.USER_INPUTS, envelope))

    assert headers["ce_specversion"] == b"1.0"
    assert (headers["ce_id"], headers["ce_source"], headers["ce_type"]) == (b"e", b"p", b"SessionClosed")
    assert headers["content-type"] == b"application/avro"
    assert len(headers[FINGERPRINT_HEADER]) == 16


async def test_what_is_read_is_frozen_as_what_was_made() -> None:
    made = Envelope(session_id="s", body=MessageReceived(text="Hi"))

    read = await CODEC.decode(CODEC.encode(catalog.SESSION_INPUTS, made))

    assert isinstance(read.body, MessageReceived)
    assert hash(read.body) == hash(made.body)
    for record, field in ((read, "session_id"), (read.body, "text")):
        with pytest.raises(FrozenInstanceError):
            setattr(record, field, "other")
