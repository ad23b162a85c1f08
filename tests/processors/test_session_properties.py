"""What holds for every session, whatever its models, tools and people do, in whatever order."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.state import SessionStatus
from schemas.envelope import Fact
from schemas.events.budgets import BudgetCharged
from schemas.events.inputs import ApprovalReceived, SessionCancelled, SessionClosed
from schemas.events.models import ModelCallCancelled, ModelCallFailed, ModelCallRequested
from schemas.events.outputs import AnswerGiven, ApprovalRequested, SessionEnded, TurnStarted
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
    ModelOutcome,
    ToolOutcome,
    World,
    completed,
    decided_again,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
)

ENDS = (TaskCompleted, TaskFailed, TaskPruned, TaskAborted)
TOOLS = ("look", "buy", "analyze", "guarded", "nonsense")


@st.composite
def plans(draw: st.DrawFn) -> str:
    """Draw a sound plan: each task may need any of those before it."""
    count = draw(st.integers(1, 6))
    tasks = []
    for number in range(count):
        earlier = [f"t{other}" for other in range(number)]
        needs = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=2)) if earlier else []
        tasks.append(
            task(
                f"t{number}",
                needs=needs,
                agent=draw(st.sampled_from(["worker", "writer", "finder"])),
                priority=draw(st.integers(1, 10)),
            )
        )
    return plan_text(*tasks)


def moody_model(draw: st.DrawFn, plan: str) -> Callable[[ModelCallRequested], ModelOutcome]:
    """Draw a model that answers, asks for tools, fails or talks nonsense."""
    kind = obliging(plan, tools=draw(st.lists(st.sampled_from(TOOLS), max_size=3)))
    moods = draw(
        st.lists(st.sampled_from(["well"] * 6 + ["fail", "bill", "refuse", "blank", "long"]), min_size=20)
    )
    turn = iter(moods * 200)

    def answer(call: ModelCallRequested) -> ModelOutcome:
        match next(turn):
            case "fail":
                return failed(call, "rate_limited")
            case "bill":
                return failed(call, "timeout", maybe_billed=True)
            case "refuse":
                return failed(call, "refused", retryable=False)
            case "blank":
                return completed(call, " ")
            case "long":
                return failed(call, "prompt_too_long", retryable=False, counted=call.input_tokens_max + 50)
            case _:
                return kind(call)

    return answer


def moody_tool(draw: st.DrawFn) -> Callable[[ToolCallRequested], ToolOutcome]:
    """Draw a tool that works, fails, or leaves its effect unknown."""
    moods = iter(draw(st.lists(st.sampled_from(["well", "well", "fail", "unknown"]), min_size=10)) * 200)

    def run(call: ToolCallRequested) -> ToolOutcome:
        match next(moods):
            case "fail":
                return tool_failed(call, "execution_error")
            case "unknown":
                return tool_failed(call, "unknown", maybe_effected=not call.idempotent)
            case _:
                return tool_completed(call)

    return run


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Draw a session's whole life, run to its rest."""
    limits = small(
        running_max=draw(st.integers(1, 4)),
        attempts_max=draw(st.integers(1, 3)),
        steps_max=draw(st.integers(1, 4)),
        failure_policy=draw(st.sampled_from(["prune", "fail"])),
        turn_deadline_ms=draw(st.sampled_from([2_000, 900_000])),
        queue_max=2,
    )
    world = World(
        moody_model(draw, draw(plans())),
        tool=moody_tool(draw),
        seed=draw(st.integers(0, 2**16)),
        limits=limits,
    )
    budget_tokens = draw(st.sampled_from([None, 10, 600, 2_000, 6_000, 50_000]))
    budget_nanodollars = draw(st.sampled_from([None, 1_000, 500_000, 5_000_000]))
    world.say(budget_tokens=budget_tokens, budget_nanodollars=budget_nanodollars)
    for act in draw(
        st.lists(st.sampled_from(["step", "step", "say", "approve", "cancel", "close"]), max_size=12)
    ):
        _act(world, act)
    return world.run()


def _act(world: World, act: str) -> None:
    match act:
        case "say":
            world.say()
        case "cancel":
            world.post(SessionCancelled())
        case "close":
            world.post(SessionClosed())
        case "approve":
            asked = world.facts(ApprovalRequested)
            # The latest, which may wait no longer; or one that nobody asked for.
            approval_id = asked[-1].approval_id if asked else "nobody's"
            world.post(ApprovalReceived(approval_id=approval_id, approved=len(world.inputs) % 3 > 0))
        case _:
            if world.open_calls:
                world.reply(world.open_calls.pop(0))


@given(worlds())
@settings(max_examples=150, deadline=None)
def test_replay_equals_live(world: World) -> None:
    assert decided_again(world) == world.events


@given(worlds(), st.data())
@settings(max_examples=100, deadline=None)
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
@settings(max_examples=200, deadline=None)
def test_no_budget_is_ever_overshot(world: World) -> None:
    budget = world.state.budget
    assert budget.tokens_used <= budget.tokens_granted
    assert budget.nanodollars_used <= budget.nanodollars_granted
    for call in calls_of(world):
        assert call.session_tokens_left >= 0
        assert call.session_nanodollars_left >= 0
        assert call.task_tokens_left >= 0


@given(worlds())
@settings(max_examples=100, deadline=None)
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
@settings(max_examples=150, deadline=None)
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
@settings(max_examples=100, deadline=None)
def test_every_word_that_is_said_is_one_that_the_contract_names(world: World) -> None:
    for event in world.events:
        assert all(word.is_known for word in words_in(event.body)), event.body


@given(worlds())
@settings(max_examples=100, deadline=None)
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
@settings(max_examples=100, deadline=None)
def test_each_task_is_told_once_to_run_at_first_and_only_if_it_does(world: World) -> None:
    born = [fact.task_id for fact in world.facts(TaskCreated) if fact.started]
    later = [fact.task_id for fact in world.facts(TaskStarted) if fact.attempt == 1]
    assert len({*born, *later}) == len(born) + len(later)
    called = {fact.task_id for fact in world.facts(ModelCallRequested)}
    assert called <= {*born, *later}


@given(worlds(), st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_every_event_is_accepted_in_every_state(world: World, picks: list[int]) -> None:
    """Events of one life are thrown at another session, in any order: it never raises."""
    pool: list[Fact] = [event.body for event, _ in world.inputs] + [event.body for event in world.events]
    other = World(obliging(plan_text(task("a"))), limits=world.limits)
    other.say()

    for pick in picks:
        other.post(pool[pick % len(pool)])

    assert [event.sequence for event in other.events] == list(range(1, len(other.events) + 1))


@given(worlds())
@settings(max_examples=60, deadline=None)
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
