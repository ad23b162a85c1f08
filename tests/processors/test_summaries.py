"""A summary that fails, is late, comes twice or is no good, and sessions that never had one."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from processors.memory.summaries import HISTORY_MAX
from processors.session import SessionDecider
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.inputs import SessionCancelled, SessionClosed
from schemas.events.models import CallPurpose, FinishReason, ModelCallRequested
from schemas.events.outputs import AnswerGiven
from tests.processors.conversations import Conversation
from tests.processors.test_memory import FACT, RICH, keeping
from tests.processors.world import ModelOutcome, completed, decided_again, failed, obliging

WORDS = "words " * 60


def conversation() -> Conversation:
    """Return a session whose models sum up well, where they are let."""
    return Conversation(obliging(""), limits=RICH, says=keeping)


def with_summaries(
    world: Conversation, instead: Callable[[ModelCallRequested], ModelOutcome], times: int = 1
) -> list[ModelCallRequested]:
    """Let the first summaries come out otherwise; returns all calls for one, as they come."""
    asked: list[ModelCallRequested] = []
    inner = world.answer

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose is not CallPurpose.SUMMARIZE:
            return inner(call)
        asked.append(call)
        return instead(call) if len(asked) <= times else inner(call)

    world.answer = answer
    return asked


def until_summary(world: Conversation) -> Envelope:
    """Talk until a summary is asked for, and keep its call from being answered."""
    for number in range(1, 20):
        world.say(FACT if number == 1 else f"{number} {WORDS}")
        if (call := without_summary(world)) is not None:
            return call
    raise AssertionError("no summary was asked for")


def without_summary(world: Conversation) -> Envelope | None:
    """Answer all calls but that for a summary, which is returned."""
    held = None
    while world.open_calls:
        call = world.open_calls.pop(0)
        assert isinstance(call.body, ModelCallRequested)
        if call.body.purpose is CallPurpose.SUMMARIZE:
            held = call
        else:
            world.reply(call)
    return held


def without_summaries() -> SessionDecider:
    """Return what decides where no summaries are to be made."""
    return Conversation(obliging(""), limits=replace(RICH, summary_output_tokens_max=0)).decider


def planned(world: Conversation) -> str:
    """Return what the planner of the latest turn read."""
    return world.prompts[CallPurpose.PLAN][-1][1]


@pytest.mark.parametrize(
    "instead",
    [
        lambda call: failed(call, "rate_limited"),
        lambda call: failed(call, "interrupted", maybe_billed=True),
        lambda call: failed(call, "refused", retryable=False),
        lambda call: completed(call, " \n"),
        lambda call: replace(completed(call, "Half of"), finish_reason=FinishReason.CONTENT_FILTER),
    ],
)
def test_a_summary_that_is_none_leaves_the_turns_and_is_asked_for_again(
    instead: Callable[[ModelCallRequested], ModelOutcome],
) -> None:
    world = conversation()
    asked = with_summaries(world, instead, times=2)
    for number in range(1, 16):
        world.talk(FACT if number == 1 else f"{number} {WORDS}")

    assert len(asked) >= 3
    assert len({call.turn for call in asked}) == len(asked)
    assert world.state.summary is not None
    assert FACT in planned(world)
    assert len(world.state.history) <= HISTORY_MAX
    assert len(world.facts(AnswerGiven)) == 15
    assert not world.state.budget.reservations
    assert decided_again(world) == world.events


def test_a_prompt_that_was_counted_to_be_longer_is_reserved_so_after_the_next_turn() -> None:
    world = conversation()
    counted: list[int] = []

    def too_long(call: ModelCallRequested) -> ModelOutcome:
        counted.append(call.input_tokens_max + 300)
        return failed(call, "prompt_too_long", retryable=False, counted=counted[-1])

    asked = with_summaries(world, too_long)
    for number in range(1, 16):
        world.talk(FACT if number == 1 else f"{number} {WORDS}")

    first, second, *_ = asked
    assert second.input_tokens_max > counted[0]
    assert len(second.messages) > len(first.messages)
    assert world.state.summary is not None
    assert world.state.summary_tokens_missed == 0


def test_a_summary_that_comes_twice_is_charged_and_taken_once() -> None:
    world = conversation()
    call = until_summary(world)
    world.reply(call)
    state, charged = world.state, len(world.facts(BudgetCharged))
    assert state.summary is not None

    world.reply(call)

    assert world.state == state
    assert len(world.facts(BudgetCharged)) == charged


@pytest.mark.parametrize("turns", [1, 5, HISTORY_MAX + 4])
def test_a_summary_that_is_late_takes_the_place_of_no_more_than_it_tells_of(turns: int) -> None:
    world = conversation()
    call = until_summary(world)
    for number in range(turns):
        world.say(f"<late {number}> {WORDS}")
        assert without_summary(world) is None
    known = world.state.history
    assert world.state.summary_call is not None
    of_old = world.state.summary_call.exchanges
    assert (of_old == 0) == (turns > HISTORY_MAX)

    world.reply(call)

    assert world.state.history == known[of_old:]
    world.talk("go on")
    assert FACT in planned(world)
    assert decided_again(world) == world.events


def test_a_summary_that_is_longer_than_was_asked_for_is_told_within_its_bound() -> None:
    world = conversation()

    def rambling(call: ModelCallRequested) -> ModelOutcome:
        return replace(completed(call, FACT + " blah" * 9_000), output_tokens=9_000)

    with_summaries(world, rambling, times=100)
    longest = 0
    for number in range(1, 40):
        world.talk(FACT if number == 1 else f"{number} {WORDS}")
        longest = max(
            longest, *(call.input_tokens_max for calls in world.prompts.values() for call, _ in calls)
        )

    assert world.state.summary is not None
    assert FACT in planned(world)
    assert longest < RICH.history_tokens_max + RICH.summary_output_tokens_max + 1_000


def test_a_summary_that_is_written_no_more_is_told_no_more() -> None:
    world = conversation()
    world.reply(until_summary(world))
    assert world.state.summary is not None
    state = world.state
    world.decider = without_summaries()

    world.talk("go on")

    assert world.state.summary == state.summary
    assert "Summary of turns" not in planned(world)


@pytest.mark.parametrize("words", [10, 60, 20_000])
def test_a_session_from_before_there_were_summaries_goes_on_within_the_bound(words: int) -> None:
    world = conversation()
    decider, world.decider = world.decider, without_summaries()
    for number in range(1, 4):
        world.talk(f"<{number}> " + "old " * words)
    world.decider = decider
    world.state = decider.decode(as_before(decider.encode(world.state)))
    assert not any(one.message_characters or one.answer_characters for one in world.state.history)

    longest, read = 0, ""
    for number in range(4, 40):
        world.talk(f"<{number}> {WORDS}")
        (call, _), *_ = world.prompts[CallPurpose.PLAN]
        longest = max(longest, call.input_tokens_max)
        read += "".join(prompt for _, prompt in world.prompts.get(CallPurpose.SUMMARIZE, ()))

    assert all(f"<{earlier}>" in read for earlier in range(1, 4))
    assert world.state.summary is not None
    assert longest < RICH.history_tokens_max + RICH.summary_output_tokens_max + 1_000


def as_before(encoded: bytes) -> bytes:
    """Return a state as it was written before turns were noted with their lengths."""
    state = json.loads(encoded)
    state["history"] = [
        {name: one[name] for name in ("message", "answer") if name in one} for one in state["history"]
    ]
    return json.dumps(state).encode()


@pytest.mark.parametrize("ending", [SessionCancelled(reason="enough"), SessionClosed()])
def test_a_session_that_ends_while_its_summary_is_written_pays_for_it_and_can_leave(ending: object) -> None:
    world = conversation()
    held = until_summary(world)
    world.post(ending)  # type: ignore[arg-type]  # one of the two above
    assert world.decider.ended_at_ms(world.state) is None

    world.reply(held)

    assert world.decider.ended_at_ms(world.state) is not None
    assert not world.state.budget.reservations
    assert decided_again(world) == world.events
