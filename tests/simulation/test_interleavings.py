"""All interleavings of a small session's inputs with crashes and a replaced owner, counted and checked."""

import pytest

from schemas.envelope import Envelope, Fact
from schemas.events.inputs import ApprovalReceived, SessionOpened
from schemas.events.timers import TimerFired, TimerKind
from schemas.ids import derived_id
from tests.simulation.interleavings import Search
from tests.simulation.invariants import Violated
from tests.simulation.life import Kinds
from tests.simulation.mutants import CommitFirst, DedupeOff, OutboxSkipped
from topics.catalog import SESSION_INPUTS, SESSION_TIMERS

SESSION = derived_id("session", "small")
STEPS = {"session.idle", "session.store", "session.stored", "session.publish", "session.published"}


def given(body: Fact, number: int) -> Envelope:
    return Envelope(
        event_id=derived_id("small", str(number)),
        type=type(body).__name__,
        session_id=SESSION,
        occurred_at_ms=1_000,
        body=body,
    )


INPUTS = (
    (given(SessionOpened(), 1), SESSION_INPUTS),
    (given(ApprovalReceived(approval_id=derived_id("approval"), approved=True), 2), SESSION_INPUTS),
    (given(TimerFired(timer_id=derived_id("timer"), kind=TimerKind.STALL, due_at_ms=5), 3), SESSION_TIMERS),
)


def test_without_faults_two_topics_can_be_mixed_in_three_ways() -> None:
    assert Search(inputs=INPUTS, crashes=0, zombies=0).run().interleavings == 3


@pytest.mark.parametrize(("crashes", "zombies"), [(1, 0), (2, 0)])
def test_states_that_are_entered_once_give_the_same_count_as_playing_every_history(
    crashes: int, zombies: int
) -> None:
    remembering = Search(inputs=INPUTS, crashes=crashes, zombies=zombies).run()

    every = Search(inputs=INPUTS, crashes=crashes, zombies=zombies, remembers=False).run()

    assert remembering.interleavings == every.interleavings > 0
    assert remembering.states < every.states


def test_three_inputs_and_one_replaced_owner_keep_every_promise_in_every_order() -> None:
    found = Search(inputs=INPUTS, crashes=0, zombies=1).run()

    assert found.interleavings > 40_000
    assert all(found.replacements[step] > 0 for step in STEPS)


@pytest.mark.slow
def test_three_inputs_two_crashes_and_one_replaced_owner_keep_every_promise_in_every_order() -> None:
    found = Search(inputs=INPUTS, crashes=2, zombies=1).run()

    assert found.interleavings > 40_000_000
    assert found.rests > 0
    for step in STEPS:
        assert found.crashes[step] > 0
        assert found.replacements[step] > 0


@pytest.mark.parametrize(
    ("kinds", "crashes", "zombies"),
    [
        (Kinds(stateful=CommitFirst), 1, 0),
        (Kinds(stateful=OutboxSkipped), 1, 0),
        (Kinds(stateful=DedupeOff), 1, 0),
        (Kinds(fenced=False), 0, 1),
    ],
    ids=["commit first", "outbox skipped", "dedupe off", "fence off"],
)
def test_some_order_shows_that_a_promise_is_missing(kinds: Kinds, crashes: int, zombies: int) -> None:
    with pytest.raises(Violated, match="after owner:"):
        Search(inputs=INPUTS, crashes=crashes, zombies=zombies, kinds=kinds).run()
