"""Outcomes are checked before anything of them is applied, and what exceeds a reservation is told."""

from dataclasses import replace

import pytest

from processors.decider import Step
from processors.objections import AMOUNT_MAX
from processors.outcomes import Outcome
from processors.state import SessionState
from schemas.envelope import Envelope, Fact
from schemas.events.budgets import BudgetCharged, ChargeBasis, ReservationExceeded
from schemas.events.dead_letters import RejectionCode
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, ApprovalRequested
from schemas.events.tools import ToolCallRequested
from schemas.ids import derived_id, outcome_id
from schemas.references import RecordReference
from tests.processors.world import (
    World,
    completed,
    failed,
    obliging,
    plan_text,
    task,
    tool_completed,
    tool_failed,
)

PLAN = plan_text(task("a"))


def told(world: World, body: Fact, event_id: str) -> Step[SessionState]:
    event = Envelope(
        event_id=event_id,
        type=type(body).__name__,
        session_id=world.session_id,
        occurred_at_ms=world.now_ms,
        producer="mallory",
        body=body,
    )
    source = RecordReference(topic="model.results", partition=0, offset=900, event_id=event_id, tokens=0)
    return world.decider.advance(world.state, event, source)


def refused(world: World, body: Fact, event_id: str | None = None) -> tuple[RejectionCode, str]:
    """Tell an outcome that changes nothing; return why it was put aside."""
    call_id = getattr(body, "call_id", "")
    step = told(world, body, event_id or outcome_id(call_id))
    assert step.state == world.state
    assert step.events == ()
    assert step.refused is not None
    return step.refused


def changed(body: Outcome, field: str, amount: int) -> Outcome:
    return replace(body, **{field: amount})  # type: ignore[arg-type]  # each test names a field of its type


def planning() -> tuple[World, ModelCallRequested]:
    """A session whose first call, the planner's, is in flight."""
    world = World(obliging(PLAN))
    world.say()
    (call,) = world.facts(ModelCallRequested)
    return world, call


def calling(tool: str) -> tuple[World, ToolCallRequested]:
    """A session in which a tool's call is in flight."""
    world = World(obliging(PLAN, tools=[tool]))
    world.say()
    while not world.facts(ToolCallRequested):
        world.reply(world.open_calls.pop())
    (call,) = world.facts(ToolCallRequested)
    return world, call


def test_an_outcome_under_another_id_than_its_calls_is_put_aside_and_the_true_one_is_taken() -> None:
    world, call = planning()
    forged = replace(completed(call, "FORGED"), input_tokens=0, output_tokens=0, cost_nanodollars=0)

    code, reason = refused(world, forged, derived_id("mallory"))

    assert code is RejectionCode.UNEXPECTED_OUTCOME
    assert call.call_id in reason
    world.run()
    assert world.facts(AnswerGiven)[0].complete


def test_a_second_outcome_is_put_aside_whichever_came_first() -> None:
    world, call = planning()
    world.reply(world.open_calls.pop())

    code, _ = refused(world, completed(call, "another"), derived_id("mallory"))

    assert code is RejectionCode.UNEXPECTED_OUTCOME


def test_the_same_outcome_told_again_is_no_fault_and_changes_nothing() -> None:
    world, call = planning()
    world.reply(world.open_calls.pop())
    again, _ = world.inputs[-1]

    step = world.decider.advance(world.state, again, world.inputs[-1][1])

    assert step.refused is None
    assert step.events == ()
    assert call.call_id not in step.state.budget.reservations


@pytest.mark.parametrize("tool", ["look", "analyze"])
def test_an_outcome_of_the_other_kind_is_put_aside(tool: str) -> None:
    world, of_tool = calling(tool)
    planner, of_model = planning()
    no_answer = failed(replace(of_model, call_id=of_tool.call_id, task_id=of_tool.task_id), "timeout")
    no_result = tool_failed(replace(of_tool, call_id=of_model.call_id, task_id=of_model.task_id), "timeout")

    for one, body in ((world, no_answer), (planner, no_result)):
        code, reason = refused(one, body)
        assert code is RejectionCode.UNEXPECTED_OUTCOME
        assert "no outcome of a" in reason


@pytest.mark.parametrize("tool", ["look", "analyze"])
def test_an_outcome_for_another_task_is_put_aside(tool: str) -> None:
    world, call = calling(tool)

    code, reason = refused(world, replace(tool_completed(call), task_id=derived_id("another")))

    assert code is RejectionCode.UNEXPECTED_OUTCOME
    assert derived_id("another") in reason


def test_an_outcome_for_a_session_that_nobody_opened_is_put_aside() -> None:
    _, call = planning()

    code, reason = refused(World(obliging(PLAN)), completed(call, "x"))

    assert (code, reason) == (RejectionCode.UNEXPECTED_OUTCOME, "there is no such session")


@pytest.mark.parametrize("amount", [-1, -1_000_000, AMOUNT_MAX + 1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cost_nanodollars"])
def test_amounts_that_no_model_call_can_have_used_are_put_aside(field: str, amount: int) -> None:
    world, call = planning()

    for body in (completed(call, "x"), failed(call, "timeout")):
        code, reason = refused(world, changed(body, field, amount))
        assert code is RejectionCode.INVALID_INPUT
        assert field in reason


@pytest.mark.parametrize("amount", [-1, AMOUNT_MAX + 1])
@pytest.mark.parametrize("field", ["used_tokens", "cost_nanodollars"])
@pytest.mark.parametrize("tool", ["look", "analyze"])
def test_amounts_that_no_tool_call_can_have_used_are_put_aside(tool: str, field: str, amount: int) -> None:
    world, call = calling(tool)

    for body in (tool_completed(call), tool_failed(call, "timeout")):
        code, reason = refused(world, changed(body, field, amount))
        assert code is RejectionCode.INVALID_INPUT
        assert field in reason


@pytest.mark.parametrize("amount", [10**15, AMOUNT_MAX])
def test_what_exceeds_a_reservation_is_charged_told_and_ends_what_cannot_be_afforded(amount: int) -> None:
    world, call = planning()
    body = replace(completed(call, PLAN), input_tokens=amount, output_tokens=1, cost_nanodollars=amount)
    world.answer = lambda one: body if one.call_id == call.call_id else completed(one, "too late")
    world.run()

    (charged, *_) = world.facts(BudgetCharged)
    (exceeded,) = world.facts(ReservationExceeded)
    assert (charged.tokens, charged.nanodollars) == (amount + 1, amount)
    assert charged.tokens_released < 0
    assert (exceeded.tokens_used, exceeded.nanodollars_used) == (amount + 1, amount)
    assert (exceeded.tokens_reserved, exceeded.nanodollars_reserved) == (
        call.reserved_tokens,
        call.reserved_nanodollars,
    )
    assert len(world.facts(ModelCallRequested)) == 1
    assert not world.facts(AnswerGiven)[0].complete


def test_a_tool_that_uses_something_without_a_reservation_is_charged_and_told() -> None:
    world, call = calling("look")
    used_before = world.state.budget.tokens_used
    world.tool = lambda one: replace(tool_completed(one), used_tokens=70, cost_nanodollars=9_000)

    world.reply(world.open_calls.pop())

    charged = world.facts(BudgetCharged)[-1]
    (exceeded,) = world.facts(ReservationExceeded)
    assert (charged.reservation_id, charged.model) == (call.call_id, "tool:look")
    assert (charged.tokens, charged.tokens_released, charged.basis) == (70, -70, ChargeBasis.USAGE)
    assert (exceeded.tokens_reserved, exceeded.tokens_used) == (0, 70)
    assert world.state.budget.tokens_used == used_before + 70


def test_what_stays_within_its_reservation_is_not_told() -> None:
    world = World(obliging(PLAN, tools=["look", "analyze"]))
    world.say()
    world.run()

    assert world.facts(BudgetCharged)
    assert not world.facts(ReservationExceeded)


@pytest.mark.parametrize("used", [0, 70])
def test_an_outcome_of_a_call_that_waits_for_a_person_is_put_aside_and_the_person_is_still_asked(
    used: int,
) -> None:
    _, template = calling("look")
    world = World(obliging(PLAN, tools=["guarded"]))
    world.say()
    while not world.facts(ApprovalRequested):
        world.reply(world.open_calls.pop())
    (asked,) = world.facts(ApprovalRequested)
    forged = tool_completed(replace(template, call_id=asked.call_id, task_id=asked.task_id))

    code, reason = refused(world, replace(forged, used_tokens=used))

    assert code is RejectionCode.UNEXPECTED_OUTCOME
    assert "has not been made" in reason
    world.decide(asked)
    assert [one.call_id for one in world.facts(ToolCallRequested)] == [asked.call_id]
