"""The contract: `.avsc` files and typed events say the same, and a released schema is never edited."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

import schemas
from schemas.wire.avro_schema import derived_schema, rendered, schema_text, without_logical_types
from topics.catalog import TOPICS, Topic

AVRO = Path(schemas.__file__).parent / "avro"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_contract_of_each_topic_is_what_its_typed_events_derive(topic: Topic) -> None:
    assert schema_text(topic) == rendered(derived_schema(topic)), (
        f"schemas/avro/{topic.name}.avsc and the typed events differ; "
        "if the events changed on purpose, write it anew with `cartrita schemas write`"
    )


def test_there_is_no_contract_without_a_topic() -> None:
    names = {path.stem for path in AVRO.glob("*.avsc")}
    assert names == {topic.name for topic in TOPICS}


def test_every_record_and_fact_is_documented() -> None:
    for topic in TOPICS:
        for record in _records(derived_schema(topic)):
            assert record.get("doc"), f"{record['name']} says nothing of itself"


def test_times_are_timestamps_for_others_and_integers_for_us() -> None:
    field = {"type": "long", "logicalType": "timestamp-millis"}
    assert without_logical_types({"type": field}) == {"type": "long"}
    assert '"timestamp-millis"' in schema_text(TOPICS[0])


def test_a_released_schema_is_never_edited() -> None:
    """`released.json` holds the SHA-256 of each file that a release froze."""
    released: dict[str, str] = json.loads((AVRO / "released.json").read_text(encoding="utf-8"))
    for name, expected in released.items():
        actual = sha256((AVRO / name).read_bytes()).hexdigest()
        assert actual == expected, f"{name} was released and must not change: add a field with a default"


def _records(schema: object) -> list[dict[str, object]]:
    if isinstance(schema, dict):
        found = [schema] if schema.get("type") == "record" else []
        return found + [record for value in schema.values() for record in _records(value)]
    if isinstance(schema, list):
        return [record for item in schema for record in _records(item)]
    return []
