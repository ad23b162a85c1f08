"""Takes out of texts, JSON and events what is kept off the log: credentials, and text that nobody sees."""

import json
import re
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Final, TypeVar, cast

from processors.redaction.finding import WORD_ENDS, Span, find, may_have, merged
from processors.redaction.kinds import KEY_NAMES
from processors.redaction.streaming import Pieces
from schemas.events.inputs import Attachment
from schemas.frozen import replace
from schemas.hidden_text import without_hidden
from schemas.privacy import Privacy, privacy_of

CONFIGURED: Final = "configured secret"
CONFIGURED_CHARACTERS_MIN: Final = 12
"""A shorter secret of the configuration is looked for nowhere: it may be a word, or part of many."""
_IN_WORD: Final = re.compile(f"[^{WORD_ENDS}]+")
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_COLON: Final = re.compile(r"[ \t\r\n]*:")
_NAMED: Final = re.compile(rf"(?:{KEY_NAMES})$", re.IGNORECASE)
_Record = TypeVar("_Record")
_KEPT: Final = frozenset({"provider_state_json", "state_json"})
"""Fields that are kept as they are: providers and digests hold on to each byte, and nobody writes them."""


class Redactor:
    """Takes credentials out of what goes on the log; one knows the secrets of one process."""

    def __init__(self) -> None:
        """Know no secret of the configuration yet."""
        self._known: dict[str, None] = {}

    def know(self, secret: str) -> None:
        """Take this secret out too wherever it stands; one that is short, or made of short parts, is not."""
        parts: list[str] = _IN_WORD.findall(secret)
        self._known.update(dict.fromkeys(part for part in parts if len(part) >= CONFIGURED_CHARACTERS_MIN))

    def text(self, text: str) -> str:
        """Return a text without hidden text, and with each credential replaced by what kind it was of."""
        return self.file(without_hidden(text))

    def file(self, text: str) -> str:
        """Return a file's text with each credential replaced; what is hidden in it stays."""
        known = any(one in text for one in self._known)
        if not known and "PRIVATE KEY" not in text and not may_have(text):
            return text
        pieces = Pieces(self._find if self._known else find, is_file=True)
        return pieces.push(text) + pieces.finish()

    def pieces(self) -> Pieces:
        """Return what does the same for a text that comes in pieces."""
        return Pieces(self._find if self._known else find)

    def json(self, text: str) -> str:
        """Return JSON with the same done to its strings and names; all else stays as it is, to the byte.

        What a string is named by says what it is, as before a colon in a text. What is no JSON is a text.
        """
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return self.text(text)
        name, names = "", set[str]()

        def replaced(found: re.Match[str]) -> str:
            nonlocal name
            said: str = json.loads(found[0])
            if _COLON.match(text, found.end()):
                name = said
                told = _unlike(self.text(said), said, names)
            else:
                told, name = self._named(name, said), ""
            return found[0] if told == said else json.dumps(told, ensure_ascii=False)

        return _STRING.sub(replaced, text)

    def fact(self, fact: _Record) -> _Record:
        """Return an event's body with the same done to each text that may hold a person's words."""
        changed: dict[str, object] = {}
        cls: type = type(fact)
        for name, privacy in _texts_of(cls).items():
            value = getattr(fact, name)
            if cls is Attachment and name == "text":
                told: object = self.file(value)
            else:
                told = self._value(name, value) if privacy is Privacy.PERSONAL else self._inner(value)
            if told is not value and told != value:
                changed[name] = told
        return cast("_Record", replace(cast("object", fact), **changed)) if changed else fact  # type: ignore[type-var]

    def _value(self, name: str, value: object) -> object:
        if not isinstance(value, str):
            return self._inner(value)
        if name in _KEPT:
            return value
        told = self.json(value) if name.endswith("_json") else self.text(value)
        return value if told == value else told

    def _inner(self, value: object) -> object:
        if isinstance(value, tuple) and any(map(is_dataclass, value)):
            told = tuple(self.fact(one) if is_dataclass(one) else one for one in value)
            return value if all(a is b for a, b in zip(told, value, strict=True)) else told
        return self.fact(value) if is_dataclass(value) and not isinstance(value, type) else value

    def _named(self, name: str, said: str) -> str:
        told = self.text(said)
        if told != said or not _NAMED.search(name) or not _IN_WORD.fullmatch(said):
            return told
        before = f'{name}: "'
        return self.text(f'{before}{said}"')[len(before) : -1]

    def _find(self, text: str) -> list[Span]:
        known = [
            Span(found.start(), found.end(), CONFIGURED)
            for one in self._known
            if one in text
            for found in re.finditer(re.escape(one), text)
        ]
        return merged(known, find(text))


PATTERNS_ALONE: Final = Redactor()
"""Knows no secret, so that what it takes out hangs on the text alone."""


def _unlike(told: str, said: str, names: set[str]) -> str:
    """Return a name that no other has: two credentials of one kind would else be one member."""
    if told == said:
        return told
    number, one = 1, told
    while one in names:
        number += 1
        one = f"{told} {number}"
    names.add(one)
    return one


@cache
def _texts_of(cls: type) -> dict[str, Privacy]:
    """Return the fields of a record that are looked at: those that may hold a person's words, and records."""
    told = privacy_of(cls)
    return {field.name: told.get(field.name, Privacy.IMPERSONAL) for field in fields(cls)}
