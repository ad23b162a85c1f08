"""The composed session: from a message to an answer, through every path that a turn can take."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from processors.state import SessionStatus
from schemas.events.budgets import (
    BudgetCharged,
    BudgetDownshifted,
    BudgetExhausted,
    BudgetWarned,
)
from schemas.events.inputs import ApprovalReceived, MessageReceived, SessionCancelled, SessionClosed
from schemas.events.models import (
    CallPurpose,
    FinishReason,
    ModelCallCancelled,
    ModelCallFailed,
    ModelCallRequested,
    ModelFailureKind,
)
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalRequested,
    ErrorReported,
    ProgressReported,
    SessionEnded,
    TurnStarted,
)
from schemas.events.plans import PlanAccepted, PlanCriticised, PlanProposed, PlanRejected
from schemas.events.policies import PolicyDecided
from schemas.events.snapshots import GraphSnapshotTaken
from schemas.events.tasks import (
    CallGivenUp,
    CallRetried,
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFailed,
    TaskPruned,
    TaskRetried,
    TaskStalled,
    TaskStarted,
)
from schemas.events.timers import TimerFired, TimerKind
from schemas.events.tools import ToolCallRequested
from schemas.ids import derived_id
from tests.processors.world import (
    ModelOutcome,
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

DIAMOND = plan_text(task("a"), task("b", needs=["a"]), task("c", needs=["a"]), task("d", needs=["b", "c"]))


def answer_of(world: World) -> AnswerGiven:
    (answer,) = world.facts(AnswerGiven)
    return answer


def test_a_message_becomes_a_plan_tasks_and_an_answer_that_cites_them() -> None:
    world = World(obliging(DIAMOND, tools=["look"]))

    world.say()
    world.run()

    answer = answer_of(world)
    assert answer.complete
    assert answer.reason == "answered"
    assert [citation.intent for citation in answer.citations] == ["do a", "do b", "do c", "do d"]
    assert len(world.facts(TaskCompleted)) == 5  # four tasks and the root
    assert [fact.node for fact in world.facts(GraphSnapshotTaken)] == [
        "intake",
        "plan",
        "critique",
        "execute",
        "synthesize",
        "answer",
    ]
    assert world.state.turn is None
    assert not world.state.budget.reservations


def test_tasks_start_only_when_what_they_need_is_complete() -> None:
    world = World(obliging(DIAMOND))

    world.say()
    world.run()

    order = [
        (type(event.body).__name__, event.body.task_id)
        for event in world.events
        if isinstance(event.body, TaskStarted | TaskCompleted)
    ]
    ids = {fact.intent: fact.task_id for fact in world.facts(TaskCreated) if isinstance(fact, TaskCreated)}
    for later, earlier in (("b", "a"), ("c", "a"), ("d", "b"), ("d", "c")):
        started = order.index(("TaskStarted", ids[f"do {later}"]))
        assert order.index(("TaskCompleted", ids[f"do {earlier}"])) < started


def test_no_more_tasks_run_at_once_than_the_limit_and_the_urgent_ones_first() -> None:
    plan = plan_text(*(task(f"t{number}", priority=number) for number in range(1, 9)))
    world = World(obliging(plan), limits=small(running_max=3))

    world.say()
    world.run()

    running = {fact.task_id for fact in world.facts(TaskCreated) if fact.started and fact.parent_id}
    most = len(running)
    for event in world.events:
        if isinstance(event.body, TaskStarted) and event.body.task_id in world_task_ids(world):
            running.add(event.body.task_id)
        elif isinstance(event.body, TaskCompleted):
            running.discard(event.body.task_id)
        most = max(most, len(running))
    assert most == 3
    intents = {
        fact.task_id: fact.intent for fact in world.facts(TaskCreated) if isinstance(fact, TaskCreated)
    }
    called = [intents[call.task_id] for call in world.facts(ModelCallRequested) if call.purpose == "step"]
    assert called[:3] == ["do t8", "do t7", "do t6"]


def world_task_ids(world: World) -> set[str]:
    created = list(world.facts(TaskCreated))
    return {fact.task_id for fact in created if fact.parent_id is not None}


def test_a_plan_that_is_no_json_is_repaired_with_the_error_quoted() -> None:
    texts = iter(["that is no plan", DIAMOND])

    def answer(call: ModelCallRequested) -> ModelOutcome:
        return completed(call, next(texts)) if call.purpose == "plan" else obliging(DIAMOND)(call)

    world = World(answer)
    world.say()
    world.run()

    (rejected,) = world.facts(PlanRejected)
    assert (rejected.reason, rejected.final) == ("parse_error", False)
    second = [fact for fact in world.facts(ModelCallRequested) if fact.purpose == "plan"][1]
    assert rejected.detail in (second.messages[-1].text or "")
    assert answer_of(world).complete


def test_a_plan_is_repaired_at_most_twice_then_one_task_of_the_default_agent_answers() -> None:
    world = World(obliging(plan_text(task("a", needs=["b"]), task("b", needs=["a"]))))

    world.say()
    world.run()

    rejected = world.facts(PlanRejected)
    assert [fact.final for fact in rejected] == [False, False, True]
    assert "a → b → a" in rejected[-1].detail or "b → a → b" in rejected[-1].detail
    answer = answer_of(world)
    assert (answer.complete, answer.reason) == (True, "unplanned")
    (accepted,) = world.facts(PlanAccepted)
    assert accepted.reason == "default_task"
    assert [fact.agent for fact in world.facts(TaskCreated) if fact.plan_id] == ["writer"]
    assert any("no plan could be had" in fact.detail for fact in world.facts(ProgressReported))
    assert decided_again(world) == world.events


@pytest.mark.parametrize(
    ("reason", "words"),
    [("length", "cut off at its limit"), ("content_filter", "content filter"), ("stop", "wrote nothing")],
)
def test_a_planner_that_writes_nothing_is_not_asked_to_repair_it(reason: str, words: str) -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "plan":
            return replace(completed(call, ""), finish_reason=FinishReason(reason))
        return obliging(DIAMOND)(call)

    world = World(answer)
    world.say()
    world.run()

    (rejected,) = world.facts(PlanRejected)
    assert (rejected.reason, rejected.final) == ("empty", True)
    assert words in rejected.detail
    assert answer_of(world).reason == "unplanned"
    assert [call.purpose for call in world.facts(ModelCallRequested)] == ["plan", "step", "synthesize"]


@pytest.mark.parametrize(("kind", "reason"), [("invalid_request", "unplanned"), ("refused", "model_failed")])
def test_a_planners_call_that_is_refused_leaves_a_plan_to_the_default_agent_where_others_may_pass(
    kind: str, reason: str
) -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        return failed(call, kind, retryable=False) if call.purpose == "plan" else obliging(DIAMOND)(call)

    world = World(answer)
    world.say()
    world.run()

    assert answer_of(world).reason == reason


def test_a_default_task_that_fails_is_no_answer() -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "plan":
            return completed(call, "I would rather not.")
        return failed(call, "invalid_request", retryable=False)

    world = World(answer)
    world.say()
    world.run()

    assert (answer_of(world).complete, answer_of(world).reason) == (False, "tasks_failed")


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_step_that_was_cut_off_before_any_text_is_not_repeated(reason: str) -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step":
            return replace(completed(call, ""), finish_reason=FinishReason(reason))
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    (failure,) = [fact for fact in world.facts(TaskFailed) if fact.error_kind == "empty_answer"]
    assert "cut off" in failure.error or "filter" in failure.error
    assert not world.facts(TaskRetried)


def test_a_poor_plan_is_revised_at_most_twice() -> None:
    plans = iter(plan_text(task(key)) for key in "abc")

    def answer(call: ModelCallRequested) -> ModelOutcome:
        plan = next(plans) if call.purpose == "plan" else DIAMOND
        return obliging(plan, score=0.2)(call)

    world = World(answer)

    world.say()
    world.run()

    assert len(world.facts(PlanProposed)) == 3
    assert len(world.facts(PlanCriticised)) == 3
    (accepted,) = world.facts(PlanAccepted)
    assert accepted.reason == "revisions_used_up"


def test_a_tool_that_the_agent_may_not_use_is_denied_and_the_model_is_told() -> None:
    world = World(obliging(plan_text(task("a", agent="writer")), tools=["look"]))

    world.say()
    world.run()

    (decided,) = world.facts(PolicyDecided)
    assert (decided.decision, decided.rule) == ("deny", "listed")
    assert not world.facts(ToolCallRequested)
    last = list(world.facts(ModelCallRequested))[-2]
    assert "denied by policy" in (last.messages[-1].text or "")


def test_a_finders_task_ends_with_the_result_of_its_one_tool_call() -> None:
    world = World(obliging(plan_text(task("a", agent="finder")), tools=["look"]))
    world.say()
    world.run()

    calls = world.facts(ModelCallRequested)
    completed, _root = world.facts(TaskCompleted)
    synthesis = calls[-1].messages[-1]

    assert [call.purpose for call in calls] == ["plan", "critique", "step", "synthesize"]
    assert completed.excerpt == '{"found": true}'
    assert synthesis.source is not None
    assert (synthesis.source.topic, synthesis.source.tokens) == ("tool.results", 12)


@pytest.mark.parametrize("tools", [["look", "look"], ["buy"]])
def test_a_finder_goes_on_when_it_asked_for_several_calls_or_its_call_failed(tools: list[str]) -> None:
    world = World(
        obliging(plan_text(task("a", agent="finder")), tools=tools),
        tool=lambda call: tool_completed(call) if call.tool == "look" else tool_failed(call, "timeout"),
    )
    world.say()
    world.run()

    purposes = [call.purpose for call in world.facts(ModelCallRequested)]

    assert purposes == ["plan", "critique", "step", "step", "synthesize"]


def test_every_tool_call_is_decided_before_it_is_made() -> None:
    world = World(obliging(DIAMOND, tools=["look", "buy"]))

    world.say()
    world.run()

    decided: set[str] = set()
    for event in world.events:
        if isinstance(event.body, PolicyDecided):
            decided.add(event.body.call_id)
        elif isinstance(event.body, ToolCallRequested):
            assert event.body.call_id in decided
    # What acts outside is asked about where other tasks' results led to it.
    assert len(world.facts(ToolCallRequested)) + len(world.facts(ApprovalRequested)) == 8


def test_a_restricted_tool_waits_for_a_person_who_may_approve_it() -> None:
    world = World(obliging(plan_text(task("a")), tools=["guarded"]))
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop())
    (asked,) = world.facts(ApprovalRequested)
    assert not world.facts(ToolCallRequested)

    world.decide(asked)
    world.run()

    assert len(world.facts(ToolCallRequested)) == 1
    assert answer_of(world).complete


def test_an_approval_that_nobody_gives_expires_and_the_turn_goes_on() -> None:
    world = World(obliging(plan_text(task("a")), tools=["guarded"]), limits=small(approval_ms=5_000))

    world.say()
    world.run()

    (asked,) = world.facts(ApprovalRequested)
    assert world.state.now_ms >= asked.expires_at_ms
    assert not world.facts(ToolCallRequested)
    assert answer_of(world).complete


def test_a_failed_call_is_retried_after_a_delay_and_the_answer_arrives() -> None:
    failures = Counter[str]()

    def answer(call: ModelCallRequested) -> ModelOutcome:
        failures[call.purpose] += 1
        if failures[call.purpose] == 1:
            return failed(call, "interrupted", maybe_billed=True)
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    assert answer_of(world).complete
    (retried,) = world.facts(TaskRetried)
    calls = world.facts(CallRetried)
    assert [call.purpose for call in calls] == ["plan", "critique", "synthesize"]
    all_told: list[TaskRetried | CallRetried] = [retried, *calls]
    for told in all_told:
        assert told.delay_ms >= 0.75 * world.limits.retry_delay_ms
        assert told.error_kind == "interrupted"
    # Nothing else takes so long: each delay was waited for.
    waited_ms = world.state.now_ms - 1_000_000
    assert waited_ms >= retried.delay_ms + sum(call.delay_ms for call in calls)
    charged = list(world.facts(BudgetCharged))
    assert sum(fact.basis == "reservation" for fact in charged) == 4


@pytest.mark.parametrize("purpose", ["plan", "critique", "synthesize"])
def test_a_call_of_the_turn_that_is_given_up_says_so_before_what_follows(purpose: str) -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == purpose:
            return failed(call, "rate_limited")
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    attempts_max = world.limits.attempts_max
    assert [told.attempt for told in world.facts(CallRetried)] == list(range(1, attempts_max))
    (given_up,) = world.facts(CallGivenUp)
    assert (given_up.purpose, given_up.attempt, given_up.error_kind) == (
        purpose,
        attempts_max,
        "rate_limited",
    )
    failed_calls = [call.call_id for call in world.facts(ModelCallRequested) if call.purpose == purpose]
    assert [*(told.call_id for told in world.facts(CallRetried)), given_up.call_id] == failed_calls


@pytest.mark.parametrize("purpose", ["plan", "critique", "step", "synthesize"])
def test_a_prompt_longer_than_reserved_is_sent_again_at_once_and_that_is_told(purpose: str) -> None:
    refused: list[str] = []

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == purpose and not refused:
            refused.append(call.call_id)
            return failed(call, "prompt_too_long", retryable=False, counted=call.input_tokens_max + 50)
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    (told,) = world.facts(CallRetried)
    assert (told.purpose, told.delay_ms, told.call_id) == (purpose, 0, refused[0])
    assert told.prompt_tokens_min > 50
    assert answer_of(world).complete


def test_a_task_that_fails_for_good_prunes_what_depends_on_it_and_the_rest_is_answered() -> None:
    plan = plan_text(task("a"), task("b", needs=["a"]), task("c"))

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and any("Task a:" in (message.text or "") for message in call.messages):
            return failed(call, "refused", retryable=False)
        return obliging(plan)(call)

    world = World(answer)
    world.say()
    world.run()

    assert len(world.facts(TaskFailed)) == 1
    (pruned,) = world.facts(TaskPruned)
    assert pruned.reason == "dependency_failed"
    answer_given = answer_of(world)
    assert not answer_given.complete
    assert answer_given.reason == "tasks_failed"
    assert [citation.intent for citation in answer_given.citations] == ["do c"]


def test_the_fail_policy_ends_the_turn_at_the_first_failed_task() -> None:
    plan = plan_text(task("a"), task("b"))

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and any("Task a:" in (message.text or "") for message in call.messages):
            return failed(call, "refused", retryable=False)
        return obliging(plan)(call)

    world = World(answer, limits=small(failure_policy="fail"))
    world.say()
    world.run()

    assert not answer_of(world).complete
    assert world.state.turn is None


def test_a_call_whose_effect_is_unknown_is_not_made_again() -> None:
    world = World(
        obliging(plan_text(task("a")), tools=["buy"]),
        tool=lambda call: tool_failed(call, "unknown", maybe_effected=True),
    )

    world.say()
    world.run()

    assert len(world.facts(ToolCallRequested)) == 1
    (lost,) = world.facts(TaskFailed)[:1]
    assert lost.error_kind == "tool_unknown"


def test_a_prompt_that_is_longer_than_estimated_is_reserved_anew() -> None:
    refused: set[str] = set()

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose not in refused:
            refused.add(call.purpose)
            return failed(call, "prompt_too_long", retryable=False, counted=call.input_tokens_max + 100)
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    assert answer_of(world).complete


def test_a_small_budget_prunes_what_cannot_be_afforded_and_answers_with_the_rest() -> None:
    plan = plan_text(*(task(f"t{number}", priority=number) for number in range(1, 7)))
    world = World(obliging(plan, tools=["look"]))

    world.say(budget_tokens=2_400)
    world.run()

    answer = answer_of(world)
    assert not answer.complete
    assert answer.reason == "budget_exhausted"
    assert world.facts(BudgetExhausted)
    assert world.state.budget.tokens_used <= 2_400


def test_a_budget_too_small_for_a_plan_is_said_at_once() -> None:
    world = World(obliging(DIAMOND))

    world.say(budget_tokens=20)
    world.run()

    assert not world.facts(ModelCallRequested)
    answer = answer_of(world)
    assert answer.reason == "budget_exhausted"
    assert "too small" in answer.text


def test_little_money_shifts_calls_to_cheaper_models_and_warns() -> None:
    world = World(obliging(DIAMOND, tools=["look"]))

    world.say(budget_nanodollars=1_800_000)
    world.run()

    assert world.facts(BudgetDownshifted)
    assert world.facts(BudgetWarned)
    for event in world.facts(BudgetDownshifted):
        assert event.to_model == "gpt-4o-mini"  # gpt-3.5-turbo is the fallback by name, yet dearer
    assert world.state.budget.nanodollars_used <= 1_800_000


def test_a_repeated_message_id_causes_nothing() -> None:
    world = World(obliging(DIAMOND))
    first = world.say()
    world.run()
    count = len(world.events)

    world.apply(first)

    assert len(world.events) == count


def test_messages_queue_up_and_are_answered_in_order() -> None:
    world = World(obliging(DIAMOND))

    first, second = world.say("one"), world.say("two")
    world.run()

    answers = [fact.input_id for fact in world.facts(AnswerGiven)]
    assert answers == [first.event_id, second.event_id]
    assert [fact.turn for fact in world.facts(TurnStarted)] == [1, 2]


def test_a_full_queue_refuses_further_messages() -> None:
    world = World(obliging(DIAMOND), limits=small(queue_max=2))

    for number in range(5):
        world.say(f"message {number}")

    errors = [fact.code for fact in world.facts(ErrorReported)]
    assert errors == ["queue_full", "queue_full"]


def test_a_cancel_aborts_everything_and_charges_what_may_be_billed() -> None:
    world = World(obliging(DIAMOND))
    world.say()
    for _ in range(2):
        world.reply(world.open_calls.pop())
    in_flight = world.open_calls.pop()

    world.post(SessionCancelled(reason="enough"))

    assert isinstance(in_flight.body, ModelCallRequested)
    (cancelled,) = world.facts(ModelCallCancelled)
    assert cancelled.call_id == in_flight.body.call_id
    assert len(world.facts(TaskAborted)) == 5
    assert world.state.status is SessionStatus.ENDED
    assert world.decider.ended_at_ms(world.state) is None  # its last bill is not known yet

    world.post(failed(in_flight.body, "cancelled", retryable=False, maybe_billed=True))

    assert world.decider.ended_at_ms(world.state) is not None
    assert len(world.facts(SessionEnded)) == 1
    charged = list(world.facts(BudgetCharged))[-1]
    assert charged.tokens == in_flight.body.reserved_tokens


def test_input_to_an_ended_session_is_refused_with_a_reason() -> None:
    world = World(obliging(DIAMOND))
    world.say()
    world.post(SessionCancelled())

    late = world.say("are you there?")

    last = world.facts(ErrorReported)[-1]
    assert (last.code, last.input_id) == ("session_closed", late.event_id)


def test_a_cancel_or_approval_for_no_session_is_refused_and_opens_none() -> None:
    world = World(obliging(DIAMOND))

    world.post(SessionCancelled())
    world.post(ApprovalReceived(approval_id="x", approved=True))

    codes = [fact.code for fact in world.facts(ErrorReported)]
    assert codes == ["unknown_session", "unknown_session"]
    assert world.state.status is SessionStatus.NEW


def test_a_closing_session_answers_what_it_has_taken_and_then_ends() -> None:
    world = World(obliging(DIAMOND))
    world.say()

    world.post(SessionClosed())
    world.run()

    assert answer_of(world).complete
    assert world.state.status is SessionStatus.ENDED


def test_a_turn_past_its_deadline_ends_with_what_is_complete() -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step":
            return failed(call, "rate_limited")
        return obliging(DIAMOND)(call)

    world = World(answer, limits=small(attempts_max=1_000, turn_deadline_ms=20_000))
    world.say()
    world.run()

    answer_given = answer_of(world)
    assert answer_given.reason == "deadline"
    pruned = world.facts(TaskPruned)
    assert {fact.reason for fact in pruned if isinstance(fact, TaskPruned)} == {"deadline"}


def test_a_task_that_makes_no_progress_is_reported_once() -> None:
    world = World(obliging(DIAMOND), limits=small(stall_ms=1_000, turn_deadline_ms=50_000))
    world.say()
    for _ in range(2):
        world.reply(world.open_calls.pop())

    while world.state.turn is not None:
        assert world.fire_next_timer()

    assert len(world.facts(TaskStalled)) == 1


def test_a_stall_check_that_is_due_with_a_retry_of_the_plan_is_made() -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        return failed(call, "server_error")

    limits = small(stall_ms=1_000, retry_delay_ms=1_000, turn_deadline_ms=500_000)
    world = World(answer, limits=limits)
    world.say()
    world.reply(world.open_calls.pop())
    world.now_ms += 100_000

    assert world.fire_next_timer()

    assert world.state.turn is not None
    assert world.state.turn.retry_at_ms is None
    assert world.state.turn.stall_check_at_ms > world.now_ms


def test_a_model_that_only_ever_calls_tools_is_stopped_by_the_step_limit() -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step":
            return obliging("", tools=["look"])(call)
        return obliging(plan_text(task("a")))(call)

    world = World(answer, limits=small(steps_max=4))
    world.say()
    world.run()

    steps = [f for f in world.facts(ModelCallRequested) if f.purpose == "step"]
    assert len(steps) == 4
    assert not steps[-1].tools
    assert not answer_of(world).complete


def test_deciding_all_inputs_again_gives_the_same_events() -> None:
    world = World(obliging(DIAMOND, tools=["look", "analyze"]), seed=7)
    world.say()
    world.run()

    assert decided_again(world) == world.events


def test_sequence_numbers_have_no_gap_and_the_last_event_of_a_step_carries_its_digest() -> None:
    world = World(obliging(DIAMOND, tools=["look"]))
    world.say()
    world.run()

    assert [event.sequence for event in world.events] == list(range(1, len(world.events) + 1))
    by_cause: dict[str | None, list[bool]] = {}
    for event in world.events:
        by_cause.setdefault(event.causation_id, []).append(event.state_digest is not None)
    assert all(marks == [False] * (len(marks) - 1) + [True] for marks in by_cause.values())


def test_a_late_outcome_is_charged_and_its_content_is_dropped() -> None:
    world = World(obliging(DIAMOND), limits=small(turn_deadline_ms=1_000))
    world.say()
    call = world.open_calls.pop()
    assert isinstance(call.body, ModelCallRequested)
    world.fire_next_timer()
    assert answer_of(world).reason == "deadline"

    world.post(completed(call.body, DIAMOND))

    assert not world.state.budget.reservations
    assert world.state.turn is None
    assert not world.facts(PlanProposed)


def test_evidence_names_the_results_that_a_decision_rests_on() -> None:
    world = World(obliging(plan_text(task("a"), task("b", needs=["a"]))))
    world.say()
    world.run()

    by_id = {event.event_id: event for event in world.events} | {
        event.event_id: event for event, _ in world.inputs
    }
    (answer,) = [event for event in world.events if isinstance(event.body, AnswerGiven)]
    reached: set[str] = set()
    todo = [answer.event_id]
    while todo:
        event = by_id[todo.pop()]
        if event.event_id not in reached:
            reached.add(event.event_id)
            todo += [*event.evidence_ids, *([event.causation_id] if event.causation_id else [])]
    kinds = Counter(type(by_id[event_id].body).__name__ for event_id in reached)
    assert kinds["MessageReceived"] == 1
    assert kinds["PlanAccepted"] == 1
    assert kinds["TaskCompleted"] == 2
    assert kinds["ModelCallRequested"] == 5


def test_a_failed_model_call_outcome_of_no_known_call_changes_nothing() -> None:
    world = World(obliging(DIAMOND))
    world.say()
    before = world.state

    world.post(
        ModelCallFailed(
            call_id="nobody's",
            task_id="x",
            purpose=CallPurpose.STEP,
            agent="a",
            model="m",
            kind=ModelFailureKind.TIMEOUT,
            message="",
            retryable=True,
            maybe_billed=True,
            attempts=1,
            latency_ms=1,
        )
    )

    assert world.state.budget == before.budget
    assert world.state.turn == before.turn


def test_blank_critiques_do_not_stop_a_plan() -> None:
    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "critique":
            return completed(call, "no JSON here")
        return obliging(plan_text(task("a")))(call)

    world = World(answer)
    world.say()
    world.run()

    (accepted,) = world.facts(PlanAccepted)
    assert accepted.reason == "critic_failed"


def test_tools_with_calls_of_their_own_are_held_to_a_reservation() -> None:
    world = World(obliging(plan_text(task("a")), tools=["analyze"]), tool=tool_completed)
    world.say()
    world.run()

    (call,) = world.facts(ToolCallRequested)
    assert 100 <= call.reserved_tokens <= 1_500
    charged = [fact for fact in world.facts(BudgetCharged) if fact.model == "tool:analyze"]
    assert [fact.tokens for fact in charged] == [call.reserved_tokens // 2]


def test_snapshots_hold_the_tasks_with_their_statuses() -> None:
    world = World(obliging(DIAMOND))
    world.say()
    world.run()

    last = world.facts(GraphSnapshotTaken)[-1]
    assert {entry["status"] for entry in json.loads(last.snapshot_json)["tasks"]} == {"complete"}
    assert isinstance(world.inputs[0][0].body, MessageReceived)


def test_a_timer_that_is_told_again_at_a_later_time_causes_events_of_their_own() -> None:
    world = World(obliging(plan_text(task("a"))), limits=small(turn_deadline_ms=2_000))
    world.say("one")
    world.say("two")

    for _ in range(2):
        world.now_ms += 30_000
        body = TimerFired(timer_id=derived_id("timer"), kind=TimerKind.TURN_DEADLINE, due_at_ms=0)
        world.post(body, input_id=derived_id("timer", "fired"))

    assert len(world.facts(AnswerGiven)) == 2
    ids = [event.event_id for event in world.events]
    assert len(ids) == len(set(ids))


def idle_world(idle_ms: int = 10_000) -> World:
    world = World(obliging(DIAMOND), limits=small(session_idle_ms=idle_ms))
    world.say()
    world.run()
    return world


def fire_idle(world: World) -> None:
    (timer,) = world.decider.timers(world.state)
    world.now_ms = max(world.now_ms, timer.due_at_ms)
    world.post(TimerFired(timer_id=timer.timer_id, kind=timer.kind, due_at_ms=timer.due_at_ms))


def test_a_session_in_which_nothing_happens_ends_by_itself() -> None:
    world = idle_world()
    rested_at_ms = world.now_ms

    fire_idle(world)

    (ended,) = world.facts(SessionEnded)
    assert ended.reason == "idle"
    assert world.now_ms == rested_at_ms + 10_000
    assert world.decider.ended_at_ms(world.state) == world.now_ms
    assert world.decider.timers(world.state) == ()
    world.say()
    assert world.facts(ErrorReported)[-1].code == "session_closed"


def test_a_message_begins_the_idle_time_anew() -> None:
    world = idle_world()
    (early,) = world.decider.timers(world.state)
    world.now_ms += 9_000
    world.say()
    world.run()
    world.now_ms = max(world.now_ms, early.due_at_ms)

    world.post(TimerFired(timer_id=early.timer_id, kind=early.kind, due_at_ms=early.due_at_ms))

    assert world.state.status is SessionStatus.OPEN
    (later,) = world.decider.timers(world.state)
    assert later.due_at_ms > early.due_at_ms


def test_a_session_that_works_or_that_may_rest_for_ever_has_no_idle_time() -> None:
    working = World(obliging(DIAMOND), limits=small(session_idle_ms=10_000))
    working.say()
    resting = idle_world(0)

    assert "idle" not in {timer.kind for timer in working.decider.timers(working.state)}
    assert resting.decider.timers(resting.state) == ()
