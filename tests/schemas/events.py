"""Strategies that draw events of every kind, for property tests."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from schemas.envelope import Envelope
from schemas.plain import optional_of
from schemas.words import Word
from topics.catalog import TOPICS, Topic

INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, width=64)
SINGLES = st.floats(allow_nan=False, width=32)
TEXTS = st.text(max_size=40)


# Strategies are made once: making one costs many times what drawing from it does, since a new one is looked
# through before its first draw.
@cache
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


@cache
def envelopes(topic: Topic) -> st.SearchStrategy[Envelope]:
    """Return a strategy for envelopes that `topic` may carry."""
    hints = get_type_hints(Envelope)
    around = {name: values(hint) for name, hint in hints.items() if name not in ("type", "body")}

    def of_fact(fact: type) -> st.SearchStrategy[Envelope]:
        own = {"type": st.just(fact.__name__), "body": values(fact)}
        return st.builds(Envelope, **{**around, **own})

    return st.one_of([of_fact(fact) for fact in topic.facts])


@cache
def topics_and_envelopes() -> st.SearchStrategy[tuple[Topic, Envelope]]:
    """Return a strategy for topics, each with an envelope that it may carry."""
    return st.one_of([st.tuples(st.just(topic), envelopes(topic)) for topic in TOPICS])
