"""Strategies that draw events of every kind, for property tests."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.envelope import Envelope, Fact
from schemas.plain import optional_of
from schemas.words import Word
from topics.catalog import TOPICS, Topic

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, width=64)
SINGLES = st.floats(allow_nan=False, width=32)
TEXTS = st.text(max_size=40)


def values(hint: object, *, in_array: bool = False) -> st.SearchStrategy[object]:
    """Return a strategy for values of a field's type."""
    inner = optional_of(hint)
    if inner is not None:
        return st.none() | values(inner)
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0], in_array=True), max_size=3).map(tuple)
    if get_origin(hint) in (dict, Mapping):
        return st.dictionaries(TEXTS, values(get_args(hint)[1]), max_size=3)
    if isinstance(hint, type) and is_dataclass(hint):
        return records(hint)
    if isinstance(hint, type) and issubclass(hint, Word):
        return words(hint)
    plain: dict[object, st.SearchStrategy[object]] = {
        str: TEXTS,
        int: INTS,
        float: SINGLES if in_array else FLOATS,
        bool: st.booleans(),
        bytes: st.binary(max_size=40),
    }
    return plain[hint]


@st.composite
def words(draw: st.DrawFn, cls: type[Word], others: st.SearchStrategy[str] = TEXTS) -> Word:
    """Draw a word of this program, or with one of the texts `others` a word of a newer one."""
    return draw(st.sampled_from(list(cls))) if draw(st.booleans()) else cls(draw(others))


def records(cls: type) -> st.SearchStrategy[object]:
    """Return a strategy for instances of a record class."""
    hints = get_type_hints(cls)
    return st.builds(cls, **{field.name: values(hints[field.name]) for field in fields(cls)})


@st.composite
def envelopes(draw: st.DrawFn, topic: Topic) -> Envelope:
    """Draw an envelope that `topic` may carry."""
    hints = get_type_hints(Envelope)
    fact = draw(st.sampled_from(topic.facts))
    more = {name: draw(values(hint)) for name, hint in hints.items() if name not in ("body", "type")}
    body: Fact = draw(records(fact))  # type: ignore[assignment]  # drawn by its class
    return Envelope(**more, type=fact.__name__, body=body)  # type: ignore[arg-type]  # drawn by their types


@st.composite
def topics_and_envelopes(draw: st.DrawFn) -> tuple[Topic, Envelope]:
    """Draw a topic, and an envelope that it may carry."""
    topic = draw(st.sampled_from(TOPICS))
    return topic, draw(envelopes(topic))
