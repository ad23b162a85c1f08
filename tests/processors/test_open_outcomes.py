"""A person is asked about a tool call that may have been carried out, and the agent goes on with that."""

import json
from typing import Final

import pytest

from processors.deadlines import is_over
from processors.state import ToolCallStatus
from schemas.events.inputs import OutcomeTold, SessionCancelled
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, ErrorReported, OutcomeAsked
from schemas.events.tasks import TaskFailed
from schemas.events.tools import ToolCallRequested
from schemas.ids import derived_id
from tests.processors.world import (
    World,
    decided_again,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
)

ONE: Final = plan_text(task("a"))


def unknown(kind: str = "unknown", *, tools: tuple[str, ...] = ("buy",), **limits: int) -> World:
    """Return a session whose one task has bought something, and nobody knows whether."""
    world = World(
        obliging(ONE, tools=tools),
        tool=lambda call: (
            tool_failed(call, kind, maybe_effected=True) if call.tool == "buy" else tool_completed(call)
        ),
        limits=small(**limits),
    )
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop(0))
    return world


def asked(world: World) -> OutcomeAsked:
    (question,) = world.facts(OutcomeAsked)
    return question


def told_to_the_model(world: World) -> dict[str, object]:
    """Return what the agent's next step reads in the tool's place."""
    step = [call for call in world.facts(ModelCallRequested) if call.purpose == "step"][-1]
    (message,) = [one for one in step.messages if one.tool_call_id and one.text]
    told: dict[str, object] = json.loads(message.text or "")
    return told


@pytest.mark.parametrize("kind", ["unknown", "timeout", "execution_error", "streaming_error"])
def test_a_person_is_asked_with_all_that_is_known(kind: str) -> None:
    world = unknown(kind, approval_ms=60_000)

    question = asked(world)
    (call,) = world.facts(ToolCallRequested)
    assert (question.call_id, question.idempotency_key) == (call.call_id, call.idempotency_key)
    assert (question.tool, question.kind, question.message) == ("buy", kind, f"it was {kind}")
    assert question.expires_at_ms == world.now_ms + 60_000
    assert not world.facts(TaskFailed)
    assert not world.facts(AnswerGiven)


def test_what_was_carried_out_is_told_to_the_agent_and_never_made_again() -> None:
    world = unknown()

    world.post(
        OutcomeTold(
            call_id=asked(world).call_id, carried_out=True, result="order 7", reason="the shop has it"
        )
    )
    told = told_to_the_model(world)
    world.run()

    assert (told["carried_out"], told["result"]) == (True, "order 7")
    assert "the shop has it" in str(told["told"])
    assert len(world.facts(ToolCallRequested)) == 1
    (answer,) = world.facts(AnswerGiven)
    assert answer.complete


def test_a_result_that_nobody_knows_is_told_as_lost() -> None:
    world = unknown()

    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=True))

    assert told_to_the_model(world)["result"] == "lost"


def test_what_was_not_carried_out_is_told_as_a_failure() -> None:
    world = unknown()

    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=False, reason="the outbox is empty"))

    assert told_to_the_model(world) == {
        "error": "not carried out, as a person has found: the outbox is empty"
    }


def test_where_nobody_tells_in_time_the_task_ends_as_before() -> None:
    world = unknown(approval_ms=60_000)
    expires_at_ms = asked(world).expires_at_ms

    world.run()

    assert world.facts(TaskFailed)[0].error_kind == "tool_unknown"
    assert world.now_ms >= expires_at_ms
    assert len(world.facts(ToolCallRequested)) == 1
    (answer,) = world.facts(AnswerGiven)
    assert not answer.complete


def test_of_a_result_that_is_lost_all_is_known_and_nobody_is_asked() -> None:
    world = unknown("result_invalid")

    assert not world.facts(OutcomeAsked)
    assert world.facts(TaskFailed)[0].error_kind == "tool_result_invalid"


def test_the_deadline_rests_while_a_person_is_asked() -> None:
    world = unknown(turn_deadline_ms=10_000, approval_ms=3_600_000)
    world.now_ms += 1_000_000
    turn = world.state.turn
    assert turn is not None
    assert not is_over(turn, world.now_ms)

    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=False))
    world.run()

    assert world.facts(AnswerGiven)[0].complete


def test_the_step_goes_on_when_its_other_calls_have_ended_too() -> None:
    world = unknown(tools=("buy", "look"))
    before = len(world.facts(ModelCallRequested))

    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=True))

    assert len(world.facts(ModelCallRequested)) == before + 1


def test_an_outcome_that_is_told_again_asks_nobody_again() -> None:
    world = unknown()
    (call,) = world.facts(ToolCallRequested)

    world.post(tool_failed(call, "unknown", maybe_effected=True))
    world.post(tool_completed(call))

    assert len(world.facts(OutcomeAsked)) == 1
    assert world.state.turn is not None
    (pending,) = next(iter(world.state.turn.tasks.values())).tool_calls
    assert pending.status is ToolCallStatus.OPEN


def test_an_outcome_that_comes_again_after_a_person_told_changes_nothing() -> None:
    world = World(
        obliging(ONE, tools=("buy", "look")),
        tool=lambda call: (
            tool_failed(call, "unknown", maybe_effected=True) if call.tool == "buy" else tool_completed(call)
        ),
        limits=small(),
    )
    world.say()
    while not world.facts(ToolCallRequested):
        world.reply(world.open_calls.pop(0))
    buy, look = world.open_calls
    world.open_calls.clear()
    world.reply(buy)
    # The step goes on only when its other call has ended, so that the told one stands there settled.
    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=True, result="order 7"))

    world.reply(buy)
    world.reply(look)
    world.run()

    assert len(world.facts(OutcomeAsked)) == 1
    assert not world.facts(TaskFailed)
    assert world.facts(AnswerGiven)[0].complete


def test_who_tells_of_what_nobody_asks_is_told_so() -> None:
    world = unknown()
    call_id = asked(world).call_id

    world.post(OutcomeTold(call_id=derived_id("another"), carried_out=True))
    world.post(OutcomeTold(call_id=call_id, carried_out=True))
    world.post(OutcomeTold(call_id=call_id, carried_out=False))

    assert [one.code for one in world.facts(ErrorReported)] == ["unknown_call", "unknown_call"]
    assert told_to_the_model(world)["carried_out"] is True


def test_a_session_that_is_cancelled_asks_no_more() -> None:
    world = unknown()
    world.post(SessionCancelled())

    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=True))

    assert [one.code for one in world.facts(ErrorReported)] == ["session_closed"]
    assert not world.fire_next_timer()


def test_it_is_decided_again_from_what_stands_on_the_log() -> None:
    world = unknown()
    world.post(OutcomeTold(call_id=asked(world).call_id, carried_out=True, result="order 7"))
    world.run()

    assert decided_again(world) == world.events
