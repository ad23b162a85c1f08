"""Output models: the JSON Schema that an agent's answer has to fit, and what is wrong where it does not.

A part of JSON Schema (2020-12) is understood, and a model with anything else is refused before it decides:
what a decider finds must be the same in every replay, whichever library would check more.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from processors.outputs import DETAIL_CHARACTERS_MAX, FAULTS_TOLD_MAX
from processors.structured import values_in

DEPTH_MAX: Final = 6
"""How deep objects and lists of an output model may stand in one another."""
_MODELS_REMEMBERED: Final = 256
_TYPES: Final = ("object", "array", "string", "integer", "number", "boolean", "null")
_ARTICLES: Final = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_COUNTS: Final = ("minItems", "maxItems", "minLength", "maxLength")
_BOUNDS: Final = ("minimum", "maximum")
_NOTES: Final = ("title", "description")

Schema = Mapping[str, object]


def answer_fault(text: str, model_json: str) -> str | None:
    """Tell what is wrong with an answer; None: some JSON in it fits the model.

    Args:
        text: as a model wrote it, perhaps with words around the JSON.
        model_json: the output model, which `model_faults` found sound.
    """
    model = _read(model_json)
    found = values_in(text)
    if not found:
        return "the answer: there is no JSON in it"
    told = ""
    for value in found:
        faults = list(_faults(value, model, ""))
        if not faults:
            return None
        # Of several, the last one counts, unless it is of another kind altogether.
        told = told or "; ".join(faults[:FAULTS_TOLD_MAX])[:DETAIL_CHARACTERS_MAX]
    return told


def model_faults(model: object) -> list[str]:
    """Return what an output model says that is not understood, each with its place; empty: it can be used."""
    faults = list(_model_faults(model, "output", 0))
    if not faults and isinstance(model, Mapping) and model.get("type") != "object":
        faults.append("output.type: an answer must be an object; write object")
    return faults


@lru_cache(maxsize=_MODELS_REMEMBERED)
def _read(model_json: str) -> Schema:
    model: Schema = json.loads(model_json)
    return model


def _faults(value: object, schema: Schema, place: str) -> Iterator[str]:
    types = _types_of(schema)
    if types and not any(_IS[name](value) for name in types):
        yield f"{place or 'the answer'}: this must be {_any_of([_ARTICLES[name] for name in types])}"
        return
    yield from _value_faults(value, schema, place or "the answer")
    if isinstance(value, Mapping):
        yield from _object_faults(value, schema, place)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, Mapping):
        for number, item in enumerate(value):
            yield from _faults(item, items, _inner(place, str(number)))


def _object_faults(value: Mapping[str, object], schema: Schema, place: str) -> Iterator[str]:
    properties = schema.get("properties")
    known: Mapping[str, Schema] = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required")
    for name in required if isinstance(required, list) else ():
        if name not in value:
            yield f"{_inner(place, name)}: this is missing"
    for name, inner in value.items():
        if name in known:
            yield from _faults(inner, known[name], _inner(place, name))
        elif schema.get("additionalProperties") is False:
            yield f"{place or 'the answer'}: nothing but {_any_of(known, 'and')} may stand in it"


def _value_faults(value: object, schema: Schema, place: str) -> Iterator[str]:
    choices = schema.get("enum")
    if isinstance(choices, list) and not any(_equal(value, choice) for choice in choices):
        yield f"{place}: this must be {_any_of([str(choice) for choice in choices])}"
    if isinstance(value, str | list):
        least, most, of = (
            ("minLength", "maxLength", "characters")
            if isinstance(value, str)
            else (
                "minItems",
                "maxItems",
                "entries",
            )
        )
        if len(value) < _number(schema, least, 0):
            yield f"{place}: this must have at least {schema[least]} {of}"
        if len(value) > _number(schema, most, math.inf):
            yield f"{place}: this may have at most {schema[most]} {of}"
    if _is_number(value):
        if value < _number(schema, "minimum", -math.inf):  # type: ignore[operator]  # it is a number
            yield f"{place}: this must be at least {schema['minimum']}"
        if value > _number(schema, "maximum", math.inf):  # type: ignore[operator]  # likewise
            yield f"{place}: this must be at most {schema['maximum']}"


def _model_faults(model: object, place: str, depth: int) -> Iterator[str]:
    if not isinstance(model, Mapping):
        yield f"{place}: it must be a table"
        return
    if depth > DEPTH_MAX:
        yield f"{place}: it is more than {DEPTH_MAX} levels deep"
        return
    for key, value in model.items():
        sound = _SOUND.get(key)
        if sound is None:
            yield f"{place}.{key}: it is not understood; there are {', '.join(_SOUND)}"
        elif not sound(value):
            yield f"{place}.{key}: it cannot be {json.dumps(value, default=str)}"
    properties = model.get("properties")
    for name, inner in properties.items() if isinstance(properties, Mapping) else ():
        yield from _model_faults(inner, f"{place}.properties.{name}", depth + 1)
    required = model.get("required")
    for name in required if isinstance(required, list) else ():
        if not isinstance(properties, Mapping) or name not in properties:
            yield f"{place}.required: {name} is none of the properties"
    if "items" in model:
        yield from _model_faults(model["items"], f"{place}.items", depth + 1)


def _types_of(schema: Schema) -> list[str]:
    types = schema.get("type", [])
    return (
        [types]
        if isinstance(types, str)
        else [str(name) for name in types]
        if isinstance(types, list)
        else []
    )


def _any_of(names: Iterable[str], word: str = "or") -> str:
    *others, last = [*names] or ["nothing"]
    return f"{', '.join(others)} {word} {last}" if others else last


def _inner(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _number(schema: Schema, key: str, default: float) -> float:
    value = schema.get(key, default)
    return value if isinstance(value, int | float) else default


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: object) -> bool:
    return _is_number(value) and value == int(value)  # type: ignore[call-overload]  # it is a number


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_types(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in _TYPES for name in names)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_choices(value: object) -> bool:
    # Where an enumeration has anything but texts and numbers, two may be equal that look different.
    return isinstance(value, list) and bool(value) and all(isinstance(one, str | int) for one in value)


def _equal(value: object, choice: object) -> bool:
    return isinstance(value, bool) == isinstance(choice, bool) and value == choice


_IS: Final[Mapping[str, Callable[[object], bool]]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": _is_whole,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_SOUND: Final[Mapping[str, Callable[[object], bool]]] = {
    "type": _are_types,
    "properties": lambda value: isinstance(value, Mapping),
    "required": _are_texts,
    "additionalProperties": lambda value: isinstance(value, bool),
    "items": lambda value: isinstance(value, Mapping),
    "enum": _are_choices,
    **dict.fromkeys(_COUNTS, _is_count),
    **dict.fromkeys(_BOUNDS, _is_number),
    **dict.fromkeys(_NOTES, lambda value: isinstance(value, str)),
}
