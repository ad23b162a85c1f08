"""Schemas of others: what may be read with them is read, and none lets a small record take the process."""

import io
import json
import struct
from collections.abc import Mapping
from typing import cast

import fastavro
import pytest

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.wire import foreign
from schemas.wire.avro_schema import derived_schema
from schemas.wire.codec import Codec, UndecodableError, UnknownFactError
from schemas.wire.foreign import DEPTH_MAX, Unreadable, written_with
from tests.aliens import FixedRegistry
from topics.catalog import TOPICS, USER_INPUTS

NODE = {"type": "record", "name": "Node", "fields": [{"name": "next", "type": ["null", "Node"]}]}
NOTHING = {"type": "record", "name": "Nothing", "fields": []}


def beside(extra: object) -> dict[str, object]:
    """Return the schema of user.inputs with a field more."""
    schema = derived_schema(USER_INPUTS)
    fields = cast("list[object]", schema["fields"])
    return {**schema, "fields": [{"name": "extra", "type": extra}, *fields]}


def chain(length: int) -> list[object]:
    """Return types of which each holds the one before, as flat as they can be written."""
    types: list[object] = [{"type": "record", "name": "R0", "fields": [{"name": "a", "type": "int"}]}]
    types += [
        {"type": "record", "name": f"R{n}", "fields": [{"name": "a", "type": f"R{n - 1}"}]}
        for n in range(1, length)
    ]
    return ["null", *types]


def doubling(levels: int) -> list[object]:
    """Return types of which each holds the one before twice: 2 to the `levels` values without a byte."""
    types: list[object] = [{"type": "record", "name": "L0", "fields": [{"name": "a", "type": "null"}]}]
    types += [
        {
            "type": "record",
            "name": f"L{n}",
            "fields": [{"name": "a", "type": f"L{n - 1}"}, {"name": "b", "type": f"L{n - 1}"}],
        }
        for n in range(1, levels)
    ]
    return ["null", *types]


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        (NODE, "leads back to itself"),
        (["null", NODE], "leads back to itself"),
        ({"type": "array", "items": NODE}, "leads back to itself"),
        ({"type": "array", "items": "null"}, "no bytes"),
        ({"type": "array", "items": {"type": "null"}}, "no bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "no bytes"),
        ({"type": "array", "items": NOTHING}, "no bytes"),
        (
            {
                "type": "record",
                "name": "Two",
                "fields": [
                    {"name": "first", "type": ["null", NOTHING]},
                    {"name": "then", "type": {"type": "array", "items": "Nothing"}},
                ],
            },
            "no bytes",
        ),
        (doubling(8), "no bytes"),
        (chain(DEPTH_MAX + 2), "levels"),
    ],
)
def test_a_schema_whose_records_have_no_bound_is_refused(extra: object, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        written_with(json.dumps(beside(extra)))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '"string"', "{}", '{"fields": 3}', '{"type":"record","fields":[3]}', "[" * 100_000],
)
def test_what_is_no_schema_of_an_event_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        written_with(text)


@pytest.mark.parametrize(
    ("extra", "value"),
    [
        ("int", 1),
        (["null", NOTHING], None),
        (chain(DEPTH_MAX - 3), None),
        ({"type": "array", "items": {"type": "map", "values": ["null", "bytes"]}}, [{"a": None}]),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "A"),
    ],
)
async def test_what_a_producer_adds_is_read_past(extra: object, value: object) -> None:
    schema = beside(extra)
    body = ("cartrita.events.MessageReceived", {"text": "hello"})
    assert await read_with(schema, {"extra": value, "body": body}) == Envelope(
        type="MessageReceived", body=MessageReceived(text="hello")
    )


async def read_with(schema: dict[str, object], record: Mapping[str, object]) -> Envelope:
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, 900))
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(json.loads(json.dumps(schema))), record)
    return await Codec(TOPICS, FixedRegistry({900: schema}), {}).decode(buffer.getvalue())


async def test_a_record_of_twenty_kilobytes_cannot_end_the_process() -> None:
    schema = {"type": "record", "name": "X", "fields": [{"name": "body", "type": NODE}]}
    codec = Codec(TOPICS, FixedRegistry({900: schema}), {})

    for _ in range(2):
        with pytest.raises(
            UndecodableError, match="schema id 900 cannot be used: its schema leads back to itself"
        ):
            await codec.decode(struct.pack(">bI", 0, 900) + b"\x02" * 20_000 + b"\0")


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ({"type": "string", "logicalType": "uuid"}, "5b8a2f3e-0000-4000-8000-000000000000", None),
        ({"type": "long", "logicalType": "timestamp-millis", "adjust": True}, 5, "an integer"),
        ({"type": "enum", "name": "E", "symbols": ["hello"]}, "hello", None),
        ({"type": "fixed", "name": "F", "size": 2}, b"ab", "bytes"),
    ],
)
async def test_text_in_another_form_is_read_where_it_is_text(
    kind: object, value: object, found: str | None
) -> None:
    schema = json.loads(json.dumps(derived_schema(USER_INPUTS)))
    body = next(field for field in schema["fields"] if field["name"] == "body")
    message = next(one for one in body["type"] if one["name"] == "MessageReceived")
    next(field for field in message["fields"] if field["name"] == "text")["type"] = kind
    record = {"body": ("cartrita.events.MessageReceived", {"text": value})}

    if found is None:
        event = await read_with(schema, record)
        assert isinstance(event.body, MessageReceived)
        assert event.body.text == value
    else:
        with pytest.raises(UndecodableError, match=f"text is {found}; it must be text"):
            await read_with(schema, record)


async def test_a_newer_fact_in_an_envelope_of_other_types_is_refused_and_not_stored() -> None:
    fact = {"type": "record", "name": "Newer", "fields": [{"name": "a", "type": "double"}]}
    schema: dict[str, object] = {
        "type": "record",
        "name": "X",
        "fields": [{"name": "sequence", "type": ["null", "long"]}, {"name": "body", "type": ["null", fact]}],
    }

    with pytest.raises(UndecodableError, match="sequence is null; it must be an integer"):
        await read_with(schema, {"sequence": None, "body": {"a": 0.5}})
    with pytest.raises(UnknownFactError) as caught:
        await read_with(schema, {"sequence": 3, "body": {"a": 0.5}})
    assert caught.value.plain["sequence"] == 3
    assert caught.value.plain["tenant_id"] == "default"


def test_every_topics_own_schema_is_within_the_bounds() -> None:
    for topic in TOPICS:
        assert foreign.written_with(json.dumps(derived_schema(topic)))
