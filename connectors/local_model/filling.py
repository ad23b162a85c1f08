"""Answers in a form: the fields of an output model are filled with what a text says, and read back as a text.

Nothing is understood: the first field for free text gets it whole, lists get one entry for each sentence, and
of fixed words the one that the text has, or the last.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from connectors.text.words import sentences

ENTRIES_MAX: Final = 3
TEXT_CHARACTERS_MAX: Final = 1_200
"""Of the one text that stands for all: with its marks it must fit the limit of an answer."""
_MODEL = re.compile(r"^Answer with JSON alone, which fits this JSON Schema: (\{.*\})$", re.MULTILINE)


def output_model(prompt: str) -> Mapping[str, object] | None:
    """Return the output model that a system prompt asks for; None when it asks for none."""
    match = _MODEL.search(prompt)
    if match is None:
        return None
    try:
        model = json.loads(match.group(1))
    except ValueError:
        return None
    return model if isinstance(model, Mapping) else None


def filled(model: Mapping[str, object], text: str) -> str:
    """Return JSON that fits `model` and says what `text` says."""
    return json.dumps(_value(model, _shortened(text), _Said()), ensure_ascii=False)


def spoken(text: str) -> str:
    """Return what a result says: of an object its texts, each entry of a list on a line; else itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return "\n".join(_lines(value)) if isinstance(value, dict) else text


class _Said:
    """Whether the text stands somewhere already."""

    def __init__(self) -> None:
        self.whole = False

    def take(self, text: str) -> str:
        """Return the text the first time."""
        told, self.whole = "" if self.whole else text, True
        return told


def _value(schema: Mapping[str, object], text: str, said: _Said) -> object:
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        lowered = text.lower()
        return next((one for one in choices if str(one).lower() in lowered), choices[-1])
    kinds = schema.get("type", "string")
    match kinds[0] if isinstance(kinds, list) else kinds:
        case "object":
            properties = schema.get("properties")
            named = properties if isinstance(properties, Mapping) else {}
            return {name: _value(inner, text, said) for name, inner in named.items()}
        case "array":
            return _entries(schema, text, said)
        case "integer" | "number":
            return _bound(schema, "minimum", 0)
        case "boolean":
            return False
        case "null":
            return None
        case _:
            least, most = int(_bound(schema, "minLength", 0)), int(_bound(schema, "maxLength", len(text)))
            told = said.take(text) or (text if least else "")
            return told[:most].ljust(least, ".")


def _entries(schema: Mapping[str, object], text: str, said: _Said) -> list[object]:
    items = schema.get("items")
    inner = items if isinstance(items, Mapping) else {}
    least, most = int(_bound(schema, "minItems", 0)), int(_bound(schema, "maxItems", ENTRIES_MAX))
    parts = [] if said.whole else _parts(text)[: min(most, max(ENTRIES_MAX, least))]
    parts += [text] * (least - len(parts))
    entries = [_value(inner, part, _Said()) for part in parts]
    said.whole = said.whole or bool(entries)
    return entries


def _parts(text: str) -> list[str]:
    return sentences(text) or [text]


def _bound(schema: Mapping[str, object], key: str, default: float) -> float:
    value = schema.get(key, default)
    return value if isinstance(value, int | float) else default


def _shortened(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"


def _lines(value: object) -> Iterator[str]:
    match value:
        case str():
            if value:
                yield value
        case Mapping():
            for inner in value.values():
                yield from _lines(inner)
        case Sequence():
            for inner in value:
                if entry := " — ".join(_lines(inner)):
                    yield f"- {entry}"
        case _:
            pass
