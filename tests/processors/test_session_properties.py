"""What holds for every session, whatever its models, tools and people do, in whatever order."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.state import SessionStatus
from schemas.envelope import Fact
from schemas.events.budgets import BudgetCharged
from schemas.events.models import ModelCallCancelled, ModelCallFailed, ModelCallRequested
from schemas.events.outputs import AnswerGiven, SessionEnded, TurnStarted
from schemas.events.tasks import (
    CallGivenUp,
    CallRetried,
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskRetried,
    TaskStarted,
)
from schemas.events.tools import ToolCallRequested
from schemas.words import Word
from tests.processors.world import (
    World,
    decided_again,
    obliging,
    plan_text,
    task,
)
from tests.processors.worlds import worlds

ENDS = (TaskCompleted, TaskFailed, TaskPruned, TaskAborted)


@given(worlds())
@settings(max_examples=150)
def test_replay_equals_live(world: World) -> None:
    assert decided_again(world) == world.events


@given(worlds(), st.data())
@settings(max_examples=100)
def test_a_redelivered_input_causes_nothing(world: World, data: st.DataObject) -> None:
    again = data.draw(st.sampled_from(world.inputs))[0]
    before = world.state

    caused = world.apply(again)

    assert caused == ()
    assert world.state == before


def calls_of(world: World) -> list[ModelCallRequested | ToolCallRequested]:
    return [
        event.body for event in world.events if isinstance(event.body, ModelCallRequested | ToolCallRequested)
    ]


@given(worlds())
@settings(max_examples=200)
def test_no_budget_is_ever_overshot(world: World) -> None:
    budget = world.state.budget
    assert budget.tokens_used <= budget.tokens_granted
    assert budget.nanodollars_used <= budget.nanodollars_granted
    for call in calls_of(world):
        assert call.session_tokens_left >= 0
        assert call.session_nanodollars_left >= 0
        assert call.task_tokens_left >= 0


@given(worlds())
@settings(max_examples=100)
def test_every_call_is_made_with_a_reservation_that_is_settled_once(world: World) -> None:
    calls = calls_of(world)
    reserved = {call.call_id for call in calls if call.reserved_tokens > 0}
    assert len({call.call_id for call in calls}) == len(calls)
    assert all(call.reserved_tokens > 0 for call in world.facts(ModelCallRequested))
    charged = [fact.reservation_id for fact in world.facts(BudgetCharged)]
    assert len(charged) == len(set(charged))
    assert set(charged) | set(world.state.budget.reservations) == reserved
    assert not world.state.budget.reservations


@given(worlds())
@settings(max_examples=150)
def test_every_task_ends_exactly_once_and_every_turn_with_one_answer_or_the_sessions_end(
    world: World,
) -> None:
    created = [fact.task_id for fact in world.facts(TaskCreated)]
    ended = [event.body.task_id for event in world.events if isinstance(event.body, ENDS)]
    assert sorted(created) == sorted(ended)
    assert world.state.turn is None
    answers = world.facts(AnswerGiven)
    cancelled = any(fact.reason == "cancelled" for fact in world.facts(SessionEnded))
    assert len(world.facts(TurnStarted)) - len(answers) in ((0, 1) if cancelled else (0,))
    if world.state.status is SessionStatus.ENDED:
        assert len(world.facts(SessionEnded)) == 1


def words_in(value: object) -> Iterator[Word]:
    """Find the words of the contract that a fact says, at any depth."""
    if isinstance(value, Word):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from words_in(getattr(value, field.name))
    elif isinstance(value, tuple):
        for item in value:
            yield from words_in(item)


@given(worlds())
@settings(max_examples=100)
def test_every_word_that_is_said_is_one_that_the_contract_names(world: World) -> None:
    for event in world.events:
        assert all(word.is_known for word in words_in(event.body)), event.body


@given(worlds())
@settings(max_examples=100)
def test_every_failed_model_call_is_told_to_be_retried_given_up_late_or_the_end_of_its_task(
    world: World,
) -> None:
    """What follows a failure is an event of the step that took it, so that each decision can be traced."""
    told = (CallRetried, CallGivenUp, TaskRetried, TaskFailed)
    caused: dict[str | None, list[Fact]] = {}
    for event in world.events:
        caused.setdefault(event.causation_id, []).append(event.body)
    cancelled = {fact.call_id for fact in world.facts(ModelCallCancelled)}
    for event, _ in world.inputs:
        if isinstance(event.body, ModelCallFailed) and event.body.call_id not in cancelled:
            assert any(isinstance(fact, told) for fact in caused.get(event.event_id, []))


@given(worlds())
@settings(max_examples=100)
def test_each_task_is_told_once_to_run_at_first_and_only_if_it_does(world: World) -> None:
    born = [fact.task_id for fact in world.facts(TaskCreated) if fact.started]
    later = [fact.task_id for fact in world.facts(TaskStarted) if fact.attempt == 1]
    assert len({*born, *later}) == len(born) + len(later)
    called = {fact.task_id for fact in world.facts(ModelCallRequested)}
    assert called <= {*born, *later}


@given(worlds(), st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
@settings(max_examples=100)
def test_every_event_is_accepted_in_every_state(world: World, picks: list[int]) -> None:
    """Events of one life are thrown at another session, in any order: it never raises."""
    pool: list[Fact] = [event.body for event, _ in world.inputs] + [event.body for event in world.events]
    other = World(obliging(plan_text(task("a"))), limits=world.limits)
    other.say()

    for pick in picks:
        other.post(pool[pick % len(pool)])

    assert [event.sequence for event in other.events] == list(range(1, len(other.events) + 1))


@given(worlds())
@settings(max_examples=60)
def test_ids_of_events_are_unique_and_their_causes_are_inputs(world: World) -> None:
    ids = [event.event_id for event in world.events]
    assert len(ids) == len(set(ids))
    inputs = {event.event_id for event, _ in world.inputs}
    known = inputs | set(ids)
    for event in world.events:
        assert event.causation_id in inputs
        assert set(event.evidence_ids) <= known
        assert event.correlation_id is not None


def test_the_state_stays_small_however_many_turns_there_are() -> None:
    world = World(obliging(plan_text(task("a"), task("b", needs=["a"])), tools=["look"]))
    sizes = []
    for _ in range(60):
        world.say(budget_tokens=10_000_000)
        world.run()
        sizes.append(len(world.decider.encode(world.state)))

    assert sizes[-1] <= sizes[9] + 60 * 9  # the marks of seen inputs alone
