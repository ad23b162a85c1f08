"""Repeats of user inputs: the latest are known, in a text of bounded length."""

from processors.repeats import SEEN_MAX, has_seen, mark_of, with_mark
from schemas.ids import derived_id

MARKS = [mark_of(derived_id("input", str(number))) for number in range(2 * SEEN_MAX)]


def test_each_of_the_latest_inputs_is_known_and_none_that_never_came() -> None:
    seen = ""
    for mark in MARKS[:SEEN_MAX]:
        seen = with_mark(seen, mark)

    assert all(has_seen(seen, mark) for mark in MARKS[:SEEN_MAX])
    assert not any(has_seen(seen, mark) for mark in MARKS[SEEN_MAX:])


def test_the_oldest_leaves_when_there_are_too_many() -> None:
    seen = ""
    for mark in MARKS:
        seen = with_mark(seen, mark)

    assert len(seen) == 8 * SEEN_MAX
    assert not has_seen(seen, MARKS[0])
    assert has_seen(seen, MARKS[SEEN_MAX])


def test_a_mark_that_begins_inside_another_is_not_taken_for_it() -> None:
    seen = with_mark(with_mark("", "abcdefgh"), "ijklmnop")

    assert not has_seen(seen, "efghijkl")
    assert has_seen(with_mark(seen, "efghijkl"), "efghijkl")
