"""What the checker makes of a changelog's records that move nothing on."""

import pytest

from tests.chaos.evidence import StateRecord
from tests.chaos.positions import forward

KEY = ("session", "one")
REFUSED = {KEY: {("model.results", 8)}}


def written(*offsets: int) -> list[StateRecord]:
    return [
        StateRecord(shell=KEY[0], key=KEY[1], positions={"session.inputs": 3, "model.results": offset})
        for offset in offsets
    ]


def test_a_record_is_written_again_before_an_input_behind_it_is_put_aside() -> None:
    assert not list(forward(written(5, 7, 7, 8), REFUSED))
    # A crash after the letter has it done again.
    assert not list(forward(written(7, 7, 7, 8), REFUSED))


@pytest.mark.parametrize(
    ("offsets", "refused"),
    [
        ((5, 7, 7, 8), {}),
        ((5, 7, 7, 8), {("session", "another"): {("model.results", 8)}}),
        ((5, 7, 7, 8), {("account", "one"): {("model.results", 8)}}),
        ((5, 7, 7, 8), {KEY: {("session.inputs", 3)}}),
        ((7, 8, 8), REFUSED),
        ((8, 9, 9), REFUSED),
        ((5, 9, 9), REFUSED),
    ],
)
def test_any_other_record_that_moves_nothing_on_applied_an_input_again(
    offsets: tuple[int, ...], refused: dict[tuple[str, str], set[tuple[str, int]]]
) -> None:
    (violation,) = forward(written(*offsets), refused)

    assert violation.invariant == "I1"
    assert "applies nothing new" in violation.message


def test_a_record_that_goes_back_is_never_right() -> None:
    (violation,) = forward(written(7, 5), REFUSED)

    assert "goes back" in violation.message
