"""Repeats of inputs: the latest are known, in a text of bounded length, and what it lets go of is told."""

from processors.repeats import LET_GO, SEEN_MAX, has_seen, let_go, mark_of, with_mark
from schemas.ids import derived_id

MARKS = [mark_of(derived_id("input", str(number))) for number in range(3 * SEEN_MAX)]


def test_each_of_the_latest_inputs_is_known_and_none_that_never_came() -> None:
    seen = ""
    for mark in MARKS[:SEEN_MAX]:
        seen = with_mark(seen, mark)

    assert all(has_seen(seen, mark) for mark in MARKS[:SEEN_MAX])
    assert not any(has_seen(seen, mark) for mark in MARKS[SEEN_MAX:])


def test_every_input_is_in_the_text_or_was_let_go_of_in_its_order() -> None:
    seen, gone = "", list[str]()
    for number, mark in enumerate(MARKS, start=1):
        before, seen = seen, with_mark(seen, mark)
        gone += let_go(before, seen)
        assert gone == MARKS[: len(gone)]
        assert seen == "".join(MARKS[len(gone) : number])
        assert len(seen) <= 8 * SEEN_MAX

    assert len(gone) % LET_GO == 0
    assert len(gone) >= len(MARKS) - SEEN_MAX


def test_a_longer_text_of_an_earlier_program_lets_go_of_all_that_is_too_much() -> None:
    before = "".join(MARKS[:-1])

    after = with_mark(before, MARKS[-1])

    assert let_go(before, after) == tuple(MARKS[: len(MARKS) - len(after) // 8])
    assert len(after) == 8 * (SEEN_MAX - LET_GO + 1)


def test_a_text_that_did_not_change_lets_go_of_nothing() -> None:
    seen = with_mark("", MARKS[0])

    assert let_go(seen, seen) == ()
    assert let_go("", seen) == ()


def test_a_mark_that_begins_inside_another_is_not_taken_for_it() -> None:
    seen = with_mark(with_mark("", "abcdefgh"), "ijklmnop")

    assert not has_seen(seen, "efghijkl")
    assert has_seen(with_mark(seen, "efghijkl"), "efghijkl")
