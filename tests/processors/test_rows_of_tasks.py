"""What a session tells of its tasks, so that an owner's questions are answered by rows."""

import json
from collections.abc import Iterable

import pytest

from schemas.events.inputs import SessionCancelled
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, AnswerReason, ApprovalRequested, ProgressReported
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.snapshots import GraphSnapshotTaken, Node
from schemas.events.tasks import TaskCompleted, TaskCreated, TaskRetried, TaskStarted
from schemas.events.tools import Retrieval, RetrievedDocument, ToolCallCompleted, ToolCallRequested
from schemas.frozen import replace
from tests.processors.world import (
    ModelOutcome,
    World,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
)

PLAN = plan_text(task("a", priority=7), task("b", needs=["a"]), task("c", parent="b"))
FOUND = Retrieval(
    query="what",
    query_embedding=(),
    k_initial=4,
    k_rerank=2,
    retrieval_latency_ms=3,
    rerank_latency_ms=1,
    context_tokens_before=40,
    context_tokens_after=20,
    documents=(
        RetrievedDocument(document="a#1", score=0.9, tokens=10, used=True),
        RetrievedDocument(document="b#1", score=0.8, tokens=10, used=True),
        RetrievedDocument(document="c#1", score=0.2, tokens=20, used=False),
    ),
)


def searching(call: ToolCallRequested) -> ToolCallCompleted:
    return replace(tool_completed(call), retrieval=FOUND)


def test_each_attempt_of_a_task_is_started() -> None:
    refused: list[str] = []

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and not refused:
            refused.append(call.task_id)
            return failed(call, "provider_error")
        return obliging(PLAN)(call)

    world = World(answer, limits=small(retry_delay_ms=10))
    world.say()
    world.run()

    kinds = [
        type(event.body).__name__
        for event in world.events
        if isinstance(event.body, TaskRetried | TaskStarted | TaskCompleted)
        and event.body.task_id == refused[0]
    ]
    (again,) = [fact for fact in world.facts(TaskStarted) if fact.task_id == refused[0]]
    assert kinds == ["TaskRetried", "TaskStarted", "TaskCompleted"]
    assert again.attempt == 2


@pytest.mark.parametrize("text", ["Why is the sky blue?", "x" * 2_000])
def test_the_root_task_carries_the_request(text: str) -> None:
    world = World(obliging(PLAN))

    world.say(text)
    world.run()

    root = world.facts(TaskCreated)[0]
    assert root.parent_id is None
    assert root.intent == (text if len(text) <= 500 else "x" * 499 + "…")


def test_the_plan_is_in_every_snapshot_from_where_there_is_one() -> None:
    world = World(obliging(PLAN))

    world.say("please do it")
    world.run()

    shots = {shot.node: json.loads(shot.snapshot_json) for shot in world.facts(GraphSnapshotTaken)}
    created = {fact.intent: fact for fact in world.facts(TaskCreated)}
    assert all(shot["request"] == "please do it" for shot in shots.values())
    assert shots[Node.INTAKE]["tasks"] == []
    for node in (Node.PLAN, Node.CRITIQUE, Node.EXECUTE, Node.ANSWER):
        told = {one["key"]: one for one in shots[node]["tasks"]}
        assert set(told) == {"a", "b", "c"}
        for one in told.values():
            fact = created[one["intent"]]
            assert (one["task_id"], one["parent_id"]) == (fact.task_id, fact.parent_id)
            assert one["priority"] == fact.priority
        assert told["b"]["edges"] == [{"relation": "depends_on", "task": "a"}]


def searched() -> World:
    """Return a session in which a task has just got what it searched for."""
    world = World(obliging(PLAN, tools=["analyze"]), tool=searching)
    world.say()
    while not world.state.turn or not any(one.retrievals for one in world.state.turn.tasks.values()):
        world.reply(world.open_calls.pop(0))
    return world


def test_searches_of_dropped_and_of_stopped_tasks_are_measured_too() -> None:
    cancelled, late = searched(), searched()
    cancelled.post(SessionCancelled())
    late.now_ms += late.limits.turn_deadline_ms
    late.fire_next_timer()
    for world in (cancelled, late):
        world.run()

    for world, status in ((cancelled, "aborted"), (late, "pruned")):
        measured = world.facts(RetrievalMeasured)
        assert status in {json.loads(fact.feedback_json)["task_status"] for fact in measured}
        assert all(fact.documents == FOUND.documents for fact in measured)
        searches = {
            event.body.call_id for event, _ in world.inputs if isinstance(event.body, ToolCallCompleted)
        }
        assert {fact.call_id for fact in measured} == searches


def asked(limits_ms: int) -> World:
    world = World(
        obliging(plan_text(task("a")), tools=["guarded"]),
        limits=small(turn_deadline_ms=limits_ms, approval_ms=10_000_000, stall_ms=1_000),
    )
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop(0))
    return world


def test_the_deadline_of_a_turn_rests_while_a_person_is_asked() -> None:
    world = asked(60_000)
    (request,) = world.facts(ApprovalRequested)
    assert not [timer for timer in world.decider.timers(world.state) if timer.kind == "turn_deadline"]

    world.now_ms += 5_000_000
    assert world.fire_next_timer()
    assert world.state.turn is not None
    world.decide(request)

    (timer,) = [timer for timer in world.decider.timers(world.state) if timer.kind == "turn_deadline"]
    assert 0 < timer.due_at_ms - world.now_ms <= 60_000
    world.run()
    assert world.facts(AnswerGiven)[0].complete


def test_after_the_answer_of_a_person_the_rest_of_the_time_is_what_it_was() -> None:
    world = asked(60_000)
    (request,) = world.facts(ApprovalRequested)
    world.now_ms += 5_000_000
    world.decide(request)

    world.open_calls.clear()
    world.now_ms += 60_001
    while not world.facts(AnswerGiven) and world.fire_next_timer():
        pass

    assert world.facts(AnswerGiven)[0].reason is AnswerReason.DEADLINE


def test_progress_names_every_phase_in_words_for_people() -> None:
    world = World(obliging(PLAN))
    world.say()
    world.run()

    told = [(fact.stage.value, fact.detail) for fact in world.facts(ProgressReported)]

    assert [stage for stage, _ in told if stage != "execute"] == ["plan", "critique", "synthesize"]
    assert told[0] == ("plan", "the work is planned")
    assert ("execute", "the work begins: 3 tasks") in told
    assert told[-1] == ("synthesize", "the answer is written")


def budgets(tasks: Iterable[dict[str, object]]) -> list[TaskCreated]:
    world = World(obliging(plan_text(*tasks)))
    world.say()
    world.run()
    return world.facts(TaskCreated)[1:]


def test_the_budget_of_a_task_follows_from_its_estimate() -> None:
    plain, wide = budgets([task("a", agent="writer"), task("b", agent="worker")])

    assert plain.estimated_tokens < wide.estimated_tokens
    assert plain.budget_tokens < wide.budget_tokens
    # Three attempts, the longest answer, and the most that a tool uses in one call.
    assert plain.budget_tokens == 3 * plain.estimated_tokens + 300
    assert wide.budget_tokens == 3 * wide.estimated_tokens + 300 + 1_500
