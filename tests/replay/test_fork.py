"""A session can be forked at every event of its past, and the fork is as whole as any session."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.state import SessionStatus, ToolCallStatus
from schemas.configuration import Policy, PolicyRule
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, ApprovalRequested, ErrorReported, TurnStarted
from schemas.events.policies import PolicyDecided
from schemas.events.tasks import TaskCompleted, TaskCreated, TaskFailed, TaskStarted
from schemas.events.tools import ToolCallCompleted, ToolCallRequested
from schemas.ids import outcome_id
from schemas.plain import to_plain
from streams.history.fork import ForkImpossible, ForkPoint, fork_point
from tests.processors.world import ModelOutcome, World, decided_again, failed, obliging, plan_text, task
from tests.replay.worlds import PLAN, recorded, world

FORK = "00000000-0000-4000-8000-00000000f0f0"


def finished(seed: int = 0) -> World:
    made = world(seed)
    made.say()
    return made.run()


def begun(
    point: ForkPoint,
    *,
    message: str | None = None,
    tool_result: str | None = None,
    model: str | None = None,
    policy_json: str | None = None,
    budget_tokens: int | None = None,
) -> SessionForked:
    """Ask for a fork, and begin it."""
    request = point.requested(
        message=message,
        tool_result=tool_result,
        model=model,
        policy_json=policy_json,
        budget_tokens=budget_tokens,
    )
    return point.forked(request)


def forked(point: ForkPoint, body: SessionForked | None = None, *, seed: int = 0) -> World:
    """Begin a fork in a world of its own."""
    made = World(obliging(PLAN, tools=["look"]), seed=seed, session_id=FORK)
    made.post(body or begun(point), causation_id=point.event.event_id)
    return made


def point_at(made: World, kind: type, number: int = 0) -> ForkPoint:
    inputs = (one for one, _ in made.inputs)
    found = [event for event in (*made.events, *inputs) if isinstance(event.body, kind)]
    return fork_point(recorded(made), found[number].event_id)


def answers(made: World) -> list[AnswerGiven]:
    return made.facts(AnswerGiven)


@given(seed=st.integers(0, 2**16), share=st.floats(0, 1), is_input=st.booleans())
@settings(max_examples=60)
def test_a_fork_at_any_event_comes_to_an_answer_of_its_own(seed: int, share: float, is_input: bool) -> None:
    origin = finished(seed)
    events: list[Envelope] = [one for one, _ in origin.inputs] if is_input else origin.events
    at = events[min(int(share * len(events)), len(events) - 1)]
    point = fork_point(recorded(origin), at.event_id)
    message = None if point.state.turn is not None else "and what else?"

    fork = forked(point, begun(point, message=message), seed=seed + 1).run()

    assert [answer.complete for answer in answers(fork)] == [True]
    assert fork.state.status is SessionStatus.OPEN
    assert fork.state.turn is None
    assert not fork.state.budget.reservations
    assert decided_again(fork) == fork.events
    created = {fact.task_id for fact in fork.facts(TaskCreated)}
    assert not created & {fact.task_id for fact in origin.facts(TaskCreated)}
    ended = {fact.task_id for fact in fork.facts(TaskCompleted)}
    assert ended == created
    assert len({event.event_id for event in (*fork.events, *origin.events)}) == len(fork.events) + len(
        origin.events
    )


def test_tasks_that_had_ended_keep_their_results_and_cost_the_fork_nothing() -> None:
    origin = finished()
    point = point_at(origin, TaskCompleted, 1)
    assert point.state.turn is not None
    done = [task for task in point.state.turn.tasks.values() if task.result is not None]
    assert len(done) == 2

    fork = forked(point)

    taken = {fact.excerpt: fact for fact in fork.facts(TaskCompleted)}
    assert sorted(taken) == sorted(task.excerpt for task in done)
    assert {fact.actual_tokens for fact in taken.values()} == {0}
    assert fork.state.turn is not None
    assert [task.result for task in fork.state.turn.tasks.values() if task.result] == [
        task.result for task in done
    ]
    asked = [call for call in fork.facts(ModelCallRequested) if call.purpose == "step"]
    assert len(asked) == 1
    ended = [event for event in fork.events if isinstance(event.body, TaskCompleted)]
    assert {task.ended_event_id for task in done} == {event.evidence_ids[0] for event in ended}


def test_the_fork_has_a_budget_of_its_own() -> None:
    origin = finished()
    point = point_at(origin, TaskCompleted, 2)
    assert point.state.budget.tokens_used > 0

    fork = forked(point, begun(point, budget_tokens=30_000)).run()

    assert [grant.tokens for grant in fork.facts(BudgetGranted)] == [30_000]
    assert fork.state.budget.tokens_used == sum(charge.tokens for charge in fork.facts(BudgetCharged))


def test_a_result_that_caused_nothing_by_itself_is_in_the_forks_past() -> None:
    origin = world()
    origin.answer = obliging(plan_text(task("a")), tools=["look", "look"])
    origin.say()
    origin.run()
    results = [event for event, _ in origin.inputs if isinstance(event.body, ToolCallCompleted)]

    fork = forked(fork_point(recorded(origin), results[1].event_id))

    assert len(results) == 2
    assert len(fork.facts(ToolCallRequested)) == 1


def test_another_message_takes_the_place_of_the_turn_in_progress() -> None:
    origin = finished()
    origin.say("a second question")
    origin.run()
    started = [event for event in origin.events if isinstance(event.body, TurnStarted)]
    point = fork_point(recorded(origin), started[1].event_id)

    fork = forked(point, begun(point, message="another second question")).run()

    turns = fork.facts(TurnStarted)
    assert [turn.turn for turn in turns] == [2]
    assert [answer.input_id for answer in answers(fork)] == [fork.inputs[0][0].event_id]
    planner = fork.facts(ModelCallRequested)[0]
    sources = [message.source for message in planner.messages if message.source is not None]
    assert sources[0].event_id == origin.inputs[0][0].event_id
    assert sources[-1].event_id == fork.inputs[0][0].event_id


def test_at_a_message_the_fork_stands_before_it_as_if_it_had_not_come() -> None:
    origin = finished()
    origin.say("a second question")
    origin.run()
    message = [one for one, _ in origin.inputs if isinstance(one.body, MessageReceived)][1]

    point = fork_point(recorded(origin), message.event_id)

    assert point.state.turn is None
    assert point.state.turns == 1
    with pytest.raises(ForkImpossible, match="nothing was in progress"):
        begun(point)


def test_another_tool_result_is_what_the_model_reads() -> None:
    origin = finished()
    point = point_at(origin, ToolCallRequested)
    body = point.event.body
    assert isinstance(body, ToolCallRequested)

    fork = forked(point, begun(point, tool_result='{"found": false}'))

    assert not any(call.tool_call_id == body.tool_call_id for call in fork.facts(ToolCallRequested))
    steps = [call for call in fork.facts(ModelCallRequested) if call.purpose == "step"]
    read = [message for call in steps for message in call.messages if message.role == "tool"]
    assert [message.source and message.source.event_id for message in read] == [fork.inputs[0][0].event_id]
    assert answers(fork.run())[0].complete


def test_at_a_result_the_call_is_open_and_is_made_again_without_another_one() -> None:
    origin = finished()
    point = point_at(origin, ToolCallRequested)
    assert isinstance(point.event.body, ToolCallRequested)
    given_id = outcome_id(point.event.body.call_id)
    before = fork_point(recorded(origin), given_id)
    assert before.call_at() == point.event.body.call_id

    fork = forked(before)

    made = fork.facts(ToolCallRequested)
    assert point.event.body.tool_call_id in [call.tool_call_id for call in made]
    assert point.event.body.call_id not in [call.call_id for call in made]


def test_the_fork_uses_the_one_model_it_is_told_to_use() -> None:
    origin = finished()
    point = point_at(origin, TurnStarted)

    fork = forked(point, begun(point, model="gpt-3.5-turbo")).run()

    assert {call.model for call in origin.facts(ModelCallRequested)} == {"gpt-4o", "gpt-4o-mini"}
    assert {call.model for call in fork.facts(ModelCallRequested)} == {"gpt-3.5-turbo"}
    assert answers(fork)[0].complete


def test_the_fork_decides_tool_calls_by_the_policy_it_brings_after_a_restart_too() -> None:
    origin = finished()
    point = point_at(origin, TurnStarted)
    policy = Policy(rules=(PolicyRule(name="nothing", decision="deny", reason="no tool today"),))

    fork = forked(point, begun(point, policy_json=orjson.dumps(to_plain(policy)).decode()))
    fork.state = fork.decider.decode(fork.decider.encode(fork.state))
    fork.run()

    assert {decided.rule for decided in fork.facts(PolicyDecided)} == {"nothing"}
    assert not fork.facts(ToolCallRequested)
    assert answers(fork)[0].complete


def test_a_policy_that_the_fork_brings_allows_nothing_that_is_not_allowed_anyway() -> None:
    origin = world()
    origin.answer = obliging(PLAN, tools=["guarded", "nonsense"])
    origin.say()
    point = fork_point(recorded(origin), origin.events[0].event_id)
    policy = Policy(rules=(PolicyRule(name="anything goes", decision="allow", reason="because I say so"),))

    fork = World(origin.answer, session_id=FORK)
    policy_json = orjson.dumps(to_plain(policy)).decode()
    fork.post(begun(point, message="do it", policy_json=policy_json), causation_id=point.event.event_id)
    fork.run()

    assert fork.facts(ApprovalRequested)
    assert "anything goes" not in {decided.rule for decided in fork.facts(PolicyDecided)}
    assert not fork.facts(ToolCallRequested)


def test_an_approval_given_in_the_origin_does_not_count_in_the_fork() -> None:
    origin = world()
    origin.answer = obliging(PLAN, tools=["guarded"])
    origin.say()
    while not origin.facts(ApprovalRequested):
        origin.reply(origin.open_calls.pop(0))
    asked = origin.facts(ApprovalRequested)[0]
    origin.decide(asked)
    point = point_at(origin, ToolCallRequested)

    fork = forked(point)

    assert fork.state.turn is not None
    calls = [call for task in fork.state.turn.tasks.values() for call in task.tool_calls]
    assert [call.status for call in calls] == [ToolCallStatus.ESCALATED]


def test_a_failed_task_stays_failed_in_the_fork() -> None:
    origin = world()
    plain = origin.answer

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and any("Task b" in (message.text or "") for message in call.messages):
            return failed(call, "refused", retryable=False)
        return plain(call)

    origin.answer = answer
    origin.say()
    origin.run()
    point = point_at(origin, TaskFailed)

    fork = forked(point)

    failed_tasks = fork.facts(TaskFailed)
    assert failed_tasks[0].error_kind == "refused"
    assert "it was refused" in failed_tasks[0].error


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"origin_digest": "0" * 16}, "fork_invalid"),
        ({"state_json": "[]"}, "fork_invalid"),
        ({"model": "gpt-nonsense"}, "fork_invalid"),
        ({"policy_json": "[1]"}, "fork_invalid"),
        ({"text": "x", "call_id": FORK}, "fork_invalid"),
    ],
)
def test_a_fork_that_cannot_begin_is_refused_with_the_reason(change: dict[str, str], code: str) -> None:
    point = point_at(finished(), TaskStarted, 1)
    body = begun(point)
    plain = {**to_plain(body), **change}

    fork = forked(point, SessionForked(**plain))  # type: ignore[arg-type]  # fields of the same record

    assert [error.code for error in fork.facts(ErrorReported)] == [code]
    assert fork.state.status is SessionStatus.NEW


def test_a_session_that_exists_cannot_become_a_fork() -> None:
    origin = finished()
    point = point_at(origin, TaskStarted, 1)
    before = origin.state

    origin.post(begun(point))

    assert origin.facts(ErrorReported)[-1].code == "session_exists"
    assert origin.state.turns == before.turns


def test_an_event_that_is_not_the_sessions_is_no_point() -> None:
    with pytest.raises(ForkImpossible, match="no event"):
        fork_point(recorded(finished()), FORK)
