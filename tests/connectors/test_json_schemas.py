"""Schemas of tools that validate and cannot be used are refused; those that can are left alone."""

import json
import socket

import pytest

from connectors.tools.json_schemas import SchemaUnusable, faults_of, usable_validator

DEEP: dict[str, object] = {}
for _ in range(3_000):
    DEEP = {"child": DEEP}
TREE = {
    "type": "object",
    "properties": {"node": {"$ref": "#/$defs/node"}},
    "$defs": {"node": {"type": "object", "properties": {"child": {"$ref": "#/$defs/node"}}}},
}


def of(value: object) -> dict[str, object]:
    """Return parameters with one property."""
    return {"type": "object", "properties": {"a": value}}


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (of({"$ref": "#/$defs/missing"}), "leads nowhere"),
        (of({"$ref": "#anchor"}), "leads nowhere"),
        (of({"$dynamicRef": "#anchor"}), "leads nowhere"),
        (of({"$ref": "http://127.0.0.1:9/schema.json"}), "leads nowhere"),
        (of({"$ref": "file:///etc/passwd"}), "leads nowhere"),
        (of({"$ref": "other.json#/a"}), "leads nowhere"),
        ({"type": "object", "$id": "http://example.com/a", **of({"$ref": "b"})}, "leads nowhere"),
        ({**of(True), "$defs": {"unused": {"$ref": "#/$defs/missing"}}}, "leads nowhere"),
        (of({"items": [1], "$ref": "#/properties/a/items"}), "no JSON Schema"),
        (of({"enum": [1], "$ref": "#/properties/a/enum"}), "leads to what is no schema"),
        ({"type": "object", "$ref": "#"}, "without an end"),
        ({"type": "object", "allOf": [{"$ref": "#"}]}, "without an end"),
        (of({"anyOf": [{"type": "string"}, {"$ref": "#/properties/a"}]}), "without an end"),
        (of({"not": {"$ref": "#/properties/a"}}), "without an end"),
        (of({"if": True, "then": {"$ref": "#/properties/a"}}), "without an end"),
        (of({"dependentSchemas": {"b": {"$ref": "#/properties/a"}}}), "without an end"),
        (
            {**of({"$ref": "#/$defs/x"}), "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}},
            "without an end",
        ),
        ({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}, "nested without end"),
        (
            {
                **of({"$ref": "#/$defs/list"}),
                "required": ["a"],
                "$defs": {"list": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/list"}}},
            },
            "nested without end",
        ),
        ({"type": "array"}, "must describe an object"),
        (True, "must describe an object"),
        (of({"type": "strin"}), "no JSON Schema"),
        (of({"pattern": "("}), "no JSON Schema"),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_used_are_refused(schema: object, told: str) -> None:
    with pytest.raises(SchemaUnusable, match=told):
        usable_validator(json.dumps(schema), of_object=True)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"not":' * 5_000 + "{}" + "}" * 5_000])
def test_text_that_is_no_schema_is_refused(text: str) -> None:
    with pytest.raises(SchemaUnusable):
        usable_validator(text, of_object=True)


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"type": "object"},
        {},
        of({"$ref": "#/$defs/a"}) | {"$defs": {"a": {"type": "string"}}},
        of({"$ref": "#name"}) | {"$defs": {"a": {"$anchor": "name", "type": "string"}}},
        of({"$ref": "b"}) | {"$id": "http://example.com/a", "$defs": {"b": {"$id": "b"}}},
        of({"$ref": "#/definitions/a"}) | {"definitions": {"a": {}}},
        {"type": "object", "properties": {"$ref": {"type": "string"}}},
        of({"default": {"$ref": "#/nowhere"}, "enum": [{"$ref": "#/nowhere"}]}),
        of({"anyOf": [{"type": "null"}, {"$ref": "#"}]}),
        {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        },
        {**of({"items": {"$ref": "#"}, "type": "array"}), "required": ["a"]},
        {"type": "object", "required": ["b"], "properties": {"a": {"$ref": "#"}}},
    ],
    ids=str,
)
def test_parameters_that_can_be_used_are_taken(schema: object) -> None:
    assert not faults_of(usable_validator(json.dumps(schema), of_object=True), {"b": 1}) or "a" in str(schema)


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("somebody connects")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    with pytest.raises(SchemaUnusable):
        usable_validator(json.dumps(of({"$ref": "http://example.com/a.json"})), of_object=True)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (TREE, {"node": DEEP}),
        (of({"multipleOf": 0.1}), {"a": 10**400}),
        (of({"uniqueItems": True, "type": "array"}), {"a": [DEEP, DEEP]}),
    ],
)
def test_a_value_on_which_the_validator_gives_up_does_not_fit(schema: object, value: object) -> None:
    assert faults_of(usable_validator(json.dumps(schema), of_object=True), value)
