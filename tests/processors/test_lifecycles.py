"""Legal moves are taken, each of them; illegal ones are refused; and the page shows the tables."""

from pathlib import Path

import pytest

from processors.lifecycles import BEGINS, LEDGER_ENTRY, LIFECYCLES, TASK, Lifecycle, lifecycles_markdown
from processors.state import Phase, SessionStatus, TaskStatus, ToolCallStatus
from processors.transition import Transition
from schemas.events.outputs import AnswerGiven, ApprovalRequested
from schemas.events.tools import ToolCallRequested
from schemas.frozen import replace
from streams.effects.ledger import LedgerEntry, Status
from tests.processors.world import World, obliging, plan_text, task

ROOT = Path(__file__).parents[2]


def running() -> World:
    """Return a session with a task that runs."""
    world = World(obliging(plan_text(task("a"))))
    world.say()
    for _ in range(2):
        world.reply(world.open_calls.pop())
    return world


def transition_of(world: World) -> Transition:
    event, place = world.inputs[-1]
    return Transition(world.state, event, place, world.decider.configuration)


def test_every_status_stands_in_the_table_of_its_life() -> None:
    statuses = {
        "session": SessionStatus,
        "turn": Phase,
        "task": TaskStatus,
        "tool call": ToolCallStatus,
    }
    for life in LIFECYCLES:
        named = {status for move in life.all_moves for status in move} - {BEGINS, "ends"}
        if life.name in statuses:
            assert named == {status.value for status in statuses[life.name]}


def test_what_is_over_is_what_the_state_calls_an_end() -> None:
    assert {status for status in TaskStatus if status not in TASK.moves} == {
        status for status in TaskStatus if status.is_end
    }


@pytest.mark.parametrize("life", LIFECYCLES, ids=lambda life: life.name)
def test_a_move_that_the_table_does_not_have_is_refused(life: Lifecycle) -> None:
    statuses = {status for move in life.all_moves for status in move}
    refused = 0
    for before in statuses:
        for after in statuses:
            if (before, after) not in life.all_moves:
                refused += 1
                with pytest.raises(AssertionError, match=f"no {life.name} moves from"):
                    life.move(before, after)
    assert refused > 0


def test_an_ended_task_cannot_be_stored_as_one_that_runs() -> None:
    transition = transition_of(running())
    (running_task,) = transition.turn.tasks.values()
    transition.put(replace(running_task, status=TaskStatus.FAILED))

    with pytest.raises(AssertionError, match="no task moves from failed to running"):
        transition.put(running_task)


def test_an_ended_session_cannot_open_and_an_answering_turn_cannot_be_planned() -> None:
    transition = transition_of(running())
    transition.turn = replace(transition.turn, phase=Phase.SYNTHESIZE)
    with pytest.raises(AssertionError, match="no turn moves from synthesize to plan"):
        transition.turn = replace(transition.turn, phase=Phase.PLAN)

    transition.state = replace(transition.state, status=SessionStatus.ENDED)
    with pytest.raises(AssertionError, match="no session moves from ended to open"):
        transition.state = replace(transition.state, status=SessionStatus.OPEN)


def test_calls_made_too_often_wait_as_throttled_and_are_made_after_a_delay() -> None:
    world = World(obliging(plan_text(task("a")), tools=["look"] * 5))
    world.say()
    for _ in range(3):
        world.reply(world.open_calls.pop(0))
    assert world.state.turn is not None
    (running_task,) = world.state.turn.tasks.values()

    assert [call.status for call in running_task.tool_calls] == [ToolCallStatus.REQUESTED] * 3 + [
        ToolCallStatus.THROTTLED
    ] * 2
    world.run()
    assert len(world.facts(ToolCallRequested)) == 5


def test_a_refused_approval_settles_its_call_without_making_it() -> None:
    world = World(obliging(plan_text(task("a")), tools=["guarded"]))
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop())
    (asked,) = world.facts(ApprovalRequested)

    world.decide(asked, approved=False)
    world.run()

    assert not world.facts(ToolCallRequested)
    (answer,) = world.facts(AnswerGiven)
    assert answer.complete


@pytest.mark.parametrize("status", list(Status))
def test_a_ledger_entry_moves_on_and_never_back(status: Status) -> None:
    order = list(Status)
    for after in order:
        entry = LedgerEntry(status=status, partition=0, offset=0, call=b"")
        legal = after is status or (status.name.lower(), after.name.lower()) in LEDGER_ENTRY.all_moves
        assert legal <= (order.index(after) >= order.index(status))
        if legal:
            entry.move_to(after)
            assert entry.status is after
        else:
            with pytest.raises(AssertionError, match="no ledger entry moves"):
                entry.move_to(after)


def test_the_page_is_current() -> None:
    written = (ROOT / "docs" / "lifecycles.md").read_text(encoding="utf-8")
    assert written == lifecycles_markdown(), "run `cartrita schemas document`"
