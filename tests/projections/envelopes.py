"""Envelopes for tests: readable ones, and any that a valid record can hold."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType
from typing import Final, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from processors.projections.rows import Place
from schemas.envelope import Envelope, Fact
from schemas.events.imports import ImportFact
from schemas.ids import derived_id
from schemas.words import Word
from tests.schemas.events import words
from topics.catalog import TOPICS, Topic, topic_of

SESSION = "11111111-1111-4111-8111-111111111111"
ROOT = "22222222-2222-4222-8222-222222222222"
TASK = "33333333-3333-4333-8333-333333333333"
CALL = "44444444-4444-4444-8444-444444444444"
NOON_MS = 1_767_268_800_000
"""2026-01-01 12:00 UTC."""


def event_id(number: int) -> str:
    """Return the id of a test's event."""
    return str(uuid.UUID(int=number, version=4))


def event(fact: Fact, number: int = 1, **fields: object) -> Envelope:
    """Wrap a fact as the event of that number, which happened so many seconds after noon."""
    values: dict[str, object] = {
        "event_id": event_id(number),
        "type": type(fact).__name__,
        "session_id": SESSION,
        "tenant_id": "acme",
        "user_id": "ann",
        "occurred_at_ms": NOON_MS + number * 1_000,
        "producer": "test",
        **fields,
    }
    return Envelope(**values, body=fact)  # type: ignore[arg-type]  # mypy cannot see the fields of a dict


def place_of(envelope: Envelope, offset: int = 0) -> Place:
    """Return where the event stands."""
    return Place(topic=topic_of(envelope.body).name, partition=0, offset=offset, timestamp_ms=NOON_MS)


KINDS: Final = tuple((topic, fact) for topic in TOPICS if topic.is_truth for fact in topic.facts)
"""What records of the truth can hold, each with its topic."""


def any_event(kinds: Sequence[tuple[Topic, type]] = KINDS) -> st.SearchStrategy[tuple[Topic, Envelope]]:
    """Make any event of one of these kinds that a record of the truth can hold, with ids that often meet."""
    return st.sampled_from(kinds).flatmap(lambda kind: st.tuples(st.just(kind[0]), _envelopes(kind[1])))


def _envelopes(fact: type) -> st.SearchStrategy[Envelope]:
    # The rows of what came over from V1 have ids of its own or names of theirs: they meet each other alone.
    ids = {name: _IMPORTED_IDS for name in get_type_hints(fact) if name.endswith("_id")}
    body = _records(fact, ids if fact in get_args(ImportFact) else {})
    given = {"body": body, "event_id": st.one_of(st.uuids().map(str), _IDS)}
    return cast("st.SearchStrategy[Envelope]", _records(Envelope, given))


_IDS = st.one_of(
    st.sampled_from([SESSION, ROOT, TASK, CALL, "task-1", "", "\x00", SESSION.upper()]),
    st.uuids().map(str),
    st.text(max_size=20),
)
_IMPORTED_IDS = st.integers(0, 9).map(lambda number: derived_id("import", "v1", str(number)))
_TEXTS = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["\x00", "a\x00b", "depends_on", "session", "allow", "safe", "light", "x" * 300, "é" * 3_000]
    ),
)
_JSON = st.one_of(
    st.sampled_from(
        [
            "{}",
            '{"a": "\\u0000"}',
            '{"\\u0000": 1}',
            '"\\ud800"',
            "1e400",
            "123456789012345678901234567890",
            "NaN",
            "[" * 2_000,
            "[" * 300 + "]" * 300,
            '{"a": 1, "a": 2}',
            "not json \x00",
            '{"a": "\\\\u0000"}',
        ]
    ),
    st.text(max_size=20),
)
_LONGS = st.one_of(st.integers(0, 12), st.integers(-(2**63), 2**63 - 1))
_DOUBLES = st.one_of(st.floats(), st.sampled_from([0.0, 0.005, 0.995, 1.0, 9.995, 100.0, 999_999.995]))
_EMBEDDINGS = st.one_of(
    st.just(()),
    st.tuples(st.floats(), st.floats()),
    st.floats().map(lambda number: (number,) * 1_536),
    st.sampled_from([1e-300, 5e-324, 3.4e38, 1e39, 0.0, -0.0, 1e-45]).map(lambda number: (number,) * 1_536),
)


def _records(cls: type, given: Mapping[str, st.SearchStrategy[object]]) -> st.SearchStrategy[object]:
    hints = get_type_hints(cls)
    parts = {
        f.name: given[f.name] if f.name in given else _values(f.name, hints[f.name]) for f in fields(cls)
    }
    return st.builds(cls, **parts)


def _values(name: str, hint: object) -> st.SearchStrategy[object]:
    if name == "query_embedding":
        return cast("st.SearchStrategy[object]", _EMBEDDINGS)
    arguments = get_args(hint)
    if NoneType in arguments:
        inner = next(item for item in arguments if item is not NoneType)
        return st.none() | _values(name, inner)
    if get_origin(hint) is tuple:
        return st.lists(_values(name, arguments[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and is_dataclass(hint):
        return _records(hint, {})
    if hint is str:
        if name.endswith(("_id", "_ids")):
            return _IDS
        return _JSON if name.endswith("_json") else _TEXTS
    if isinstance(hint, type) and issubclass(hint, Word):
        return words(hint, _TEXTS)
    simple: dict[object, st.SearchStrategy[object]] = {
        int: _LONGS,
        float: _DOUBLES,
        bool: st.booleans(),
        bytes: st.binary(max_size=20),
    }
    return simple[hint]
