"""Quick records: made and changed as the standard library makes and changes them."""

import dataclasses
from dataclasses import FrozenInstanceError, asdict, dataclass, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.state import SessionState, Task
from schemas.envelope import Envelope
from schemas.events.inputs import SessionClosed
from schemas.frozen import hastened, replace
from tests.schemas.events import topics_and_envelopes
from topics.catalog import Topic


@given(topics_and_envelopes(), st.text(), st.integers())
@settings(max_examples=200)
def test_a_copy_differs_in_what_was_named_alone(
    drawn: tuple[Topic, Envelope], producer: str, sequence: int
) -> None:
    _, envelope = drawn

    copied = replace(envelope, producer=producer, sequence=sequence)

    assert copied == dataclasses.replace(envelope, producer=producer, sequence=sequence)
    assert replace(envelope) == envelope


def test_a_copy_is_frozen_and_its_original_untouched() -> None:
    original = Envelope(body=SessionClosed())

    copied = replace(original, producer="x")

    assert original.producer == ""
    assert type(copied) is Envelope
    with pytest.raises(FrozenInstanceError):
        copied.producer = "y"  # type: ignore[misc]  # what is tested


def test_a_field_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AttributeError, match="mood"):
        replace(Envelope(body=SessionClosed()), mood="fine")  # type: ignore[call-arg]  # what is tested


@pytest.mark.parametrize("cls", [SessionState, Task])
def test_states_have_no_field_that_a_copy_would_lack(cls: type) -> None:
    assert {field.name for field in fields(cls)} <= set(cls.__dict__["__slots__"])


def test_a_class_whose_making_does_more_is_refused() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            raise AssertionError

    with pytest.raises(TypeError, match="Checked"):
        replace(object.__new__(Checked), number=2)


def test_a_hastened_constructor_does_what_the_usual_one_does() -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Usual:
        text: str
        count: int = 3

    @hastened
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Quick:
        text: str
        count: int = 3

    assert asdict(Quick(text="a")) == asdict(Usual(text="a"))
    assert Quick(text="a", count=4) == dataclasses.replace(Quick(text="a"), count=4)
    with pytest.raises(TypeError, match="text"):
        Quick()  # type: ignore[call-arg]  # what is tested
    with pytest.raises(TypeError, match="mood"):
        Quick(text="a", mood="fine")  # type: ignore[call-arg]  # what is tested
    with pytest.raises(FrozenInstanceError):
        Quick(text="a").text = "b"  # type: ignore[misc]  # what is tested
