"""The compiled form of events: what fastavro makes of the same schemas, byte by byte, and no more than it."""

import contextlib
import io
import json
import struct
from typing import cast

import fastavro
import pytest
from fastavro.types import Schema
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope, Versions
from schemas.events.inputs import MessageReceived, SessionClosed
from schemas.frozen import replace
from schemas.plain import Dialect, from_plain, to_plain
from schemas.wire.avro_schema import schema_text, without_logical_types
from schemas.wire.binary import reader_of, writer_of
from schemas.wire.codec import Codec
from tests.builders import SEARCHED
from tests.schemas.events import topics_and_envelopes
from tests.sinks.whole_session import whole_session
from topics.catalog import SESSION_TIMERS, TOOL_RESULTS, TOPICS, USER_INPUTS, Topic, topic_of

SCHEMAS = {
    topic.name: fastavro.parse_schema(
        cast("dict[str, object]", without_logical_types(json.loads(schema_text(topic))))
    )
    for topic in TOPICS
}
WRITERS = {topic.name: writer_of(topic) for topic in TOPICS}
READERS = {topic.name: reader_of(topic) for topic in TOPICS}
REFUSALS = (IndexError, KeyError, ValueError, struct.error)


def by_fastavro(schema: Schema, envelope: Envelope) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, to_plain(envelope, Dialect.AVRO))
    return buffer.getvalue()


def read_by_fastavro(topic: Topic, value: bytes) -> Envelope:
    """Read a whole value, or raise whatever its bytes break."""
    buffer = io.BytesIO(value)
    read = fastavro.schemaless_reader(
        buffer, SCHEMAS[topic.name], None, return_record_name=True, return_record_name_override=True
    )
    assert buffer.tell() == len(value)
    plain = cast("dict[str, object]", read)
    body = plain["body"]
    name, fact = body if isinstance(body, tuple) else (topic.facts[0].__name__, body)
    name = name.rpartition(".")[2]
    return from_plain(Envelope, {**plain, "type": name, "body": (name, fact)})


@given(topics_and_envelopes())
@settings(max_examples=500)
def test_an_event_is_written_as_fastavro_writes_it(drawn: tuple[Topic, Envelope]) -> None:
    topic, envelope = drawn
    assert WRITERS[topic.name](envelope) == by_fastavro(SCHEMAS[topic.name], envelope)


@given(topics_and_envelopes())
@settings(max_examples=500)
def test_an_event_of_fastavro_is_read_to_its_end(drawn: tuple[Topic, Envelope]) -> None:
    topic, envelope = drawn
    value = by_fastavro(SCHEMAS[topic.name], envelope)
    assert READERS[topic.name](value, 0) == (envelope, len(value))


@given(topics_and_envelopes(), st.data())
@settings(max_examples=1000)
def test_what_is_read_of_broken_bytes_is_what_fastavro_reads(
    drawn: tuple[Topic, Envelope], data: st.DataObject
) -> None:
    topic, envelope = drawn
    value = bytearray(WRITERS[topic.name](envelope))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
        if not value:
            return
    broken = bytes(value)
    try:
        read, end = READERS[topic.name](broken, 0)
    except REFUSALS:
        return
    if end == len(broken):
        assert repr(read) == repr(
            read_by_fastavro(topic, broken)
        )  # NaN differs from itself, its text does not


def test_every_shorter_value_is_refused_or_ends_elsewhere() -> None:
    for event in whole_session():
        topic = topic_of(event.body)
        value = WRITERS[topic.name](event)
        for length in range(len(value)):
            try:
                _, end = READERS[topic.name](value[:length], 0)
            except REFUSALS:
                continue
            assert end > length


def test_numbers_beyond_single_precision_are_written_as_fastavro_writes_them() -> None:
    assert SEARCHED.retrieval is not None
    embedded = replace(SEARCHED.retrieval, query_embedding=(1e39, -1e39, 1e-50, 0.1))
    event = Envelope(body=replace(SEARCHED, retrieval=embedded))

    assert WRITERS[TOOL_RESULTS.name](event) == by_fastavro(SCHEMAS[TOOL_RESULTS.name], event)


def test_what_was_cut_off_is_not_taken_for_what_comes_next() -> None:
    def event(tools: str) -> Envelope:
        return Envelope(type="SessionClosed", versions=Versions(tools=tools), body=SessionClosed())

    write, read = WRITERS[USER_INPUTS.name], READERS[USER_INPUTS.name]
    for length in range(len(write(event("abc")))):
        assert read(write(event("other")), 0)[0] == event("other")
        with contextlib.suppress(*REFUSALS):
            read(write(event("abc"))[:length], 0)
        assert read(write(event("abc")), 0)[0] == event("abc")


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1])
def test_an_integer_of_more_than_64_bits_is_not_written(number: int) -> None:
    with pytest.raises(OverflowError):
        WRITERS[USER_INPUTS.name](Envelope(occurred_at_ms=number, body=SessionClosed()))


def test_a_fact_of_another_topic_is_not_written() -> None:
    with pytest.raises(KeyError):
        WRITERS[SESSION_TIMERS.name](Envelope(body=MessageReceived(text="hello")))


def test_a_number_that_never_ends_is_refused() -> None:
    endless = b"\xff" * 100
    for reader in READERS.values():
        with pytest.raises(REFUSALS):
            reader(endless, 0)


async def test_what_avro_allows_and_writers_seldom_make_is_left_to_fastavro() -> None:
    # A list in a block that tells its size in bytes, by a negative count.
    envelope = Envelope(type="SessionClosed", evidence_ids=("a", "b"), body=SessionClosed())
    codec = Codec.offline(TOPICS)
    value = codec.encode(USER_INPUTS, envelope)
    plain = b"\x04\x02a\x02b\x00"
    assert value.count(plain) == 1
    sized = value.replace(plain, b"\x03\x08\x02a\x02b\x00")

    with pytest.raises(REFUSALS):
        READERS[USER_INPUTS.name](sized, 5)
    assert await codec.decode(sized) == envelope
