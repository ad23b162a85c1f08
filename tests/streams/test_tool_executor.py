"""How calls of tools become outcomes."""

import json
from dataclasses import replace

import pytest

from schemas.envelope import Envelope
from schemas.events.deltas import ToolDeltaReceived
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.outputs import ApprovalRequested
from schemas.events.restraints import ToolsStarted, ToolsStopped
from schemas.events.tools import (
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    ToolOutcomeObserved,
)
from schemas.ids import derived_id
from schemas.ports.tool import Happened, ToolError
from tests.processors.world import World, obliging, plan_text, task
from tests.streams.scene import Scene, tool_call
from topics.catalog import SESSION_INPUTS


async def test_a_tool_gets_the_attachments_of_the_turns_message_and_its_budget() -> None:
    scene = Scene()
    attachment = Attachment(name="a.txt", text="text")
    reference = scene.on_log(MessageReceived(text="m", attachments=(attachment,)), SESSION_INPUTS, 1)

    await scene.toolbox.run(tool_call(reserved_tokens=50, message=reference), 1)

    (context,) = scene.tools.contexts
    assert context.attachments == (attachment,)
    assert (context.tokens_max, context.idempotency_key, context.tenant_id) == (50, "key", "tenant")


async def test_a_tools_result_is_counted_and_its_outcome_observed() -> None:
    scene = Scene()

    outcome = await scene.toolbox.run(tool_call(), 1)

    result, observed = outcome.events
    assert isinstance(result.body, ToolCallCompleted)
    assert json.loads(result.body.result_json) == {"found": "ö"}
    assert result.body.result_tokens == len(result.body.result_json)
    assert (result.body.used_tokens, result.body.cost_nanodollars) == (7, 8)
    assert isinstance(observed.body, ToolOutcomeObserved)
    assert (observed.body.succeeded, observed.body.category) == (True, "retrieval")
    assert observed.causation_id == result.event_id
    assert observed.event_id == derived_id(result.body.call_id, "outcome")
    (piece,) = scene.offers.records
    assert isinstance(piece.event.body, ToolDeltaReceived)


async def test_words_that_only_models_see_are_taken_out_of_what_a_tool_tells() -> None:
    scene = Scene()
    scene.tools.result = {"found": "a\U000e0041b", "\u202ename": ["\u202dc"]}
    completed = await scene.toolbox.run(tool_call(), 1)
    scene.tools.failure = ToolError("execution_error", "no\U000e0041thing")
    failed = await scene.toolbox.run(tool_call(), 1)

    result, failure = completed.events[0].body, failed.events[0].body
    assert isinstance(result, ToolCallCompleted)
    assert json.loads(result.result_json) == {"found": "ab", "name": ["c"]}
    assert isinstance(failure, ToolCallFailed)
    assert failure.message == "nothing"


async def test_a_failed_tool_counts_against_it_and_a_wrong_argument_does_not() -> None:
    scene = Scene()
    scene.tools.failure = ToolError("execution_error", "broken", used_tokens=3, maybe_billed=True)
    failed = await scene.toolbox.run(tool_call(), 1)
    scene.tools.failure = ToolError("validation_error", "not so")
    refused = await scene.toolbox.run(tool_call(), 1)

    result, observed = failed.events
    assert isinstance(result.body, ToolCallFailed)
    assert (result.body.kind, result.body.used_tokens, result.body.maybe_billed) == (
        "execution_error",
        3,
        True,
    )
    assert isinstance(observed.body, ToolOutcomeObserved)
    assert not observed.body.succeeded
    assert len(refused.events) == 1


@pytest.mark.parametrize(
    ("kind", "idempotent", "maybe_effected"),
    [
        ("execution_error", False, True),
        ("timeout", False, True),
        ("streaming_error", False, True),
        ("validation_error", False, False),
        ("parse_error", False, False),
        ("execution_error", True, False),
        ("timeout", True, False),
    ],
)
async def test_a_tool_that_failed_on_its_way_may_have_had_its_effect(
    *, kind: str, idempotent: bool, maybe_effected: bool
) -> None:
    scene = Scene()
    scene.tools.failure = ToolError(kind, "broken")

    outcome = await scene.toolbox.run(tool_call(idempotent=idempotent), 1)

    body = outcome.events[0].body
    assert isinstance(body, ToolCallFailed)
    assert body.maybe_effected is maybe_effected


@pytest.mark.parametrize(
    ("kind", "settled", "maybe_effected"),
    [("execution_error", True, False), ("unknown", False, True), ("result_invalid", False, True)],
)
async def test_what_a_tool_knows_of_its_failure_decides_whether_the_effect_is_open(
    *, kind: str, settled: bool, maybe_effected: bool
) -> None:
    scene = Scene()
    scene.tools.failure = ToolError(kind, "broken", settled=settled)

    body = (await scene.toolbox.run(tool_call(idempotent=False), 1)).events[0].body

    assert isinstance(body, ToolCallFailed)
    assert (body.kind, body.maybe_effected) == (kind, maybe_effected)


@pytest.mark.parametrize(
    ("idempotent", "reserved_tokens", "kind", "maybe_effected", "maybe_billed"),
    [
        (True, 0, None, False, False),
        (True, 10, "execution_error", False, True),
        (False, 0, "unknown", True, False),
        (False, 10, "unknown", True, True),
    ],
)
def test_an_interrupted_tool_call_runs_again_only_when_that_is_harmless_and_free(
    *, idempotent: bool, reserved_tokens: int, kind: str | None, maybe_effected: bool, maybe_billed: bool
) -> None:
    call = tool_call(idempotent=idempotent, reserved_tokens=reserved_tokens)

    outcome = Scene().toolbox.interrupted(call, 1)

    if kind is None:
        assert outcome is None
        return
    assert outcome is not None
    body = outcome.events[0].body
    assert isinstance(body, ToolCallFailed)
    assert (body.kind, body.maybe_effected, body.maybe_billed) == (kind, maybe_effected, maybe_billed)


def approved() -> tuple[Scene, Envelope]:
    """Return a call that a person has approved, and what would run it."""
    world = World(obliging(plan_text(task("a")), tools=["guarded"]))
    said = world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop(0))
    (asked,) = world.facts(ApprovalRequested)
    world.decide(asked)
    (call,) = [event for event in world.events if isinstance(event.body, ToolCallRequested)]
    scene = Scene(world.decider.configuration)
    scene.on_log(said.body, SESSION_INPUTS, 0)
    assert isinstance(call.body, ToolCallRequested)
    # The reader of a test finds by place alone.
    message = scene.on_log(said.body, SESSION_INPUTS, 0)
    assert call.body.message is not None
    assert (message.topic, message.partition, message.offset) == (SESSION_INPUTS.name, 0, 0)
    return scene, replace(call, body=replace(call.body, message=message))


async def test_a_call_that_a_person_approved_runs() -> None:
    scene, call = approved()

    outcome = await scene.toolbox.run(call, 1)

    assert isinstance(outcome.events[0].body, ToolCallCompleted)
    assert scene.tools.arguments == ["{}"]


@pytest.mark.parametrize(
    "change",
    [
        {"arguments_json": "{ }"},
        {"arguments_json": '{"amount": 1}'},
        {"tool": "buy"},
        {"call_id": derived_id("another")},
        {"message": None},
    ],
)
async def test_a_call_that_is_not_the_one_that_was_approved_never_reaches_its_tool(
    change: dict[str, str | None],
) -> None:
    scene, call = approved()
    assert isinstance(call.body, ToolCallRequested)

    outcome = await scene.toolbox.run(replace(call, body=replace(call.body, **change)), 1)  # type: ignore[arg-type]  # fields of the call

    (failed,) = outcome.events
    assert isinstance(failed.body, ToolCallFailed)
    assert (failed.body.kind, failed.body.maybe_effected) == ("approval_invalid", False)
    assert scene.tools.contexts == []


async def test_under_another_policy_than_where_it_was_approved_a_call_is_not_run() -> None:
    scene, call = approved()
    elsewhere = replace(scene.configuration, versions=replace(scene.configuration.versions, policy="newer"))
    scene = Scene(elsewhere)

    outcome = await scene.toolbox.run(call, 1)

    assert outcome.label == "approval_invalid"
    assert scene.tools.contexts == []


@pytest.mark.parametrize(
    ("idempotent", "dispatched", "kind"),
    [(True, True, "cancelled"), (False, True, "unknown"), (False, False, "cancelled")],
)
def test_a_stop_leaves_the_outcome_open_only_where_a_call_was_sent_that_must_not_be_repeated(
    *, idempotent: bool, dispatched: bool, kind: str
) -> None:
    call = tool_call(idempotent=idempotent)

    (event,) = Scene().toolbox.stopped(call, "search is stopped", dispatched=dispatched, latency_ms=3).events

    assert isinstance(event.body, ToolCallFailed)
    assert event.body.kind == kind
    assert event.body.maybe_effected == (kind == "unknown")
    assert "search is stopped" in event.body.message


def test_a_tool_is_refused_as_long_as_it_is_stopped() -> None:
    scene = Scene()

    before = scene.toolbox.refusal(tool_call())
    scene.restraints.apply(Envelope(event_id="1", body=ToolsStopped(name="search", reason="it leaks")))
    during = scene.toolbox.refusal(tool_call())
    scene.restraints.apply(Envelope(event_id="2", body=ToolsStarted(name="search")))

    assert (before, scene.toolbox.refusal(tool_call())) == (None, None)
    assert during == "search is stopped by an operator: it leaks"


@pytest.mark.parametrize(
    ("known", "kind", "maybe_effected"),
    [
        (None, "timeout", True),
        (Happened(carried_out=False), "execution_error", False),
        (Happened(carried_out=True), "result_invalid", True),
    ],
)
async def test_a_tool_that_can_tell_is_asked_about_a_call_that_may_have_been_carried_out(
    known: Happened | None, kind: str, *, maybe_effected: bool
) -> None:
    scene = Scene()
    scene.tools.failure, scene.tools.known = ToolError("timeout", "late"), known

    outcome = await scene.toolbox.run(tool_call(idempotent=False), 1)

    body = outcome.events[0].body
    assert isinstance(body, ToolCallFailed)
    assert (body.kind, body.maybe_effected) == (kind, maybe_effected)
    assert scene.tools.asked == ["key"]


async def test_what_a_call_gave_is_its_result_however_late_it_is_known() -> None:
    scene = Scene()
    scene.tools.known = Happened(carried_out=True, result={"found": "ö"})
    call = tool_call(idempotent=False)
    interrupted = scene.toolbox.interrupted(call, 5)
    assert interrupted is not None

    outcome = await scene.toolbox.reconciled(call, interrupted)

    body = outcome.events[0].body
    assert isinstance(body, ToolCallCompleted)
    assert json.loads(body.result_json) == {"found": "ö"}
    assert outcome.events[0].event_id == interrupted.events[0].event_id


@pytest.mark.parametrize(
    ("failure", "idempotent", "stopped"),
    [
        (ToolError("timeout", "late"), True, False),
        (ToolError("execution_error", "it says so", settled=True), False, False),
        (ToolError("result_invalid", "carried out"), False, False),
        (ToolError("timeout", "late"), False, True),
    ],
)
async def test_nobody_is_asked_about_what_is_known_harmless_or_of_a_stopped_tool(
    failure: ToolError, *, idempotent: bool, stopped: bool
) -> None:
    scene = Scene()
    scene.tools.failure, scene.tools.known = failure, Happened(carried_out=False)
    if stopped:
        scene.restraints.apply(Envelope(event_id="1", body=ToolsStopped(name="search")))

    outcome = await scene.toolbox.run(tool_call(idempotent=idempotent), 1)

    body = outcome.events[0].body
    assert isinstance(body, ToolCallFailed)
    assert body.kind == failure.kind
    assert scene.tools.asked == []
