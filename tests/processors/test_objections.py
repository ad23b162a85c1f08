"""A session is its owner's: what others say in it changes nothing, and causes nothing that its owner sees."""

from dataclasses import replace

import pytest

from processors.objections import EVERY_TENANT
from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import (
    MessageReceived,
    SessionCancelled,
    SessionClosed,
    SessionOpened,
)
from schemas.events.outputs import ApprovalRequested, ErrorCode, ErrorReported
from schemas.events.timers import TimerFired, TimerKind
from schemas.ids import derived_id
from schemas.references import RecordReference
from tests.approving import decision
from tests.processors.world import SESSION, World, obliging, plan_text, task

PLAN = plan_text(task("a"))
STRANGERS = [
    ("evil", "mallory"),
    ("acme", "mallory"),
    ("evil", "alice"),
    ("default", "anonymous"),
    ("*", "*"),
]


def sent(body: Fact, tenant_id: str, user_id: str, number: int = 900) -> Envelope:
    return Envelope(
        event_id=derived_id("sent", str(number)),
        type=type(body).__name__,
        session_id=SESSION,
        tenant_id=tenant_id,
        user_id=user_id,
        occurred_at_ms=2_000_000,
        body=body,
    )


def place(number: int = 900) -> RecordReference:
    return RecordReference(
        topic="session.inputs", partition=0, offset=number, event_id=derived_id("sent", str(number)), tokens=0
    )


def owned(*, tools: tuple[str, ...] = ()) -> World:
    """A session that alice of acme opened, in the middle of its first turn."""
    world = World(obliging(PLAN, tools=tools))
    world.apply(sent(MessageReceived(text="please do it", tokens=3), "acme", "alice", 1))
    return world


@pytest.mark.parametrize("who", STRANGERS, ids="/".join)
@pytest.mark.parametrize(
    "body",
    [
        MessageReceived(text="what did I ask before?"),
        SessionOpened(budget_tokens=1),
        SessionCancelled(reason="mine now"),
        SessionClosed(),
    ],
    ids=lambda body: type(body).__name__,
)
def test_what_a_stranger_says_changes_nothing_and_causes_nothing(body: Fact, who: tuple[str, str]) -> None:
    world = owned()

    step = world.decider.advance(world.state, sent(body, *who), place())

    assert step.state == world.state
    assert step.events == ()
    assert step.refused is not None
    assert step.refused.code == RejectionCode.NOT_OWNER
    assert who[0] in step.refused.reason
    assert "acme" not in step.refused.reason.replace(who[0], "")


def test_a_stranger_cannot_use_up_the_id_of_a_message_of_the_owner() -> None:
    world = owned()
    said = sent(MessageReceived(text="and then?", tokens=2), "acme", "alice")
    world.decider.advance(world.state, replace(said, tenant_id="evil"), place())

    step = world.decider.advance(world.state, said, place())

    assert step.refused is None
    assert len(step.state.queue) == 1


def test_the_owner_is_refused_nothing() -> None:
    world = owned()
    world.apply(sent(SessionClosed(), "acme", "alice"))
    world.run()

    assert world.facts(ErrorReported) == []
    assert {(event.tenant_id, event.user_id) for event in world.events} == {("acme", "alice")}


def test_timers_and_outcomes_are_nobodys_and_are_applied() -> None:
    world = owned()
    fired = TimerFired(timer_id=derived_id("timer"), kind=TimerKind.STALL, due_at_ms=5)

    assert world.decider.advance(world.state, sent(fired, "default", "anonymous"), place()).refused is None


@pytest.mark.parametrize(("tenant", "is_taken"), [("acme", True), (EVERY_TENANT, True), ("evil", False)])
def test_operators_decide_in_sessions_of_their_tenant_or_in_all(tenant: str, *, is_taken: bool) -> None:
    world = owned(tools=("guarded",))
    while world.open_calls:
        world.reply(world.open_calls.pop())
    (asked,) = world.facts(ApprovalRequested)
    act = decision(asked, tenant=tenant)

    step = world.decider.advance(world.state, sent(act, tenant, "olga"), place())

    assert (step.refused is None) is is_taken
    assert bool(step.events) is is_taken
    assert {(event.tenant_id, event.user_id) for event in step.events} <= {("acme", "alice")}


def test_whoever_asks_something_of_no_session_is_told_by_their_own_name() -> None:
    world = World(obliging(PLAN))

    (told,) = world.apply(sent(SessionCancelled(), "evil", "mallory"))

    assert isinstance(told.body, ErrorReported)
    assert (told.body.code, told.tenant_id, told.user_id) == (ErrorCode.UNKNOWN_SESSION, "evil", "mallory")


def test_whoever_opens_a_session_owns_it_whoever_was_refused_before() -> None:
    world = World(obliging(PLAN))
    world.apply(sent(SessionCancelled(), "evil", "mallory", 1))
    world.apply(sent(MessageReceived(text="hello", tokens=1), "acme", "alice", 2))

    assert (world.state.tenant_id, world.state.user_id) == ("acme", "alice")
    assert world.decider.advance(world.state, sent(SessionCancelled(), "evil", "mallory"), place()).refused


def test_a_replay_decides_again_what_was_decided_before_anything_was_refused() -> None:
    world = owned()
    decider = type(world.decider)(world.decider.configuration, objects=False)

    step = decider.advance(
        world.state, sent(MessageReceived(text="me too", tokens=2), "evil", "mallory"), place()
    )

    assert step.refused is None
    assert len(step.state.queue) == 1
