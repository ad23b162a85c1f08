"""Agents that are taken out of the configuration while tasks of theirs are under way."""

from dataclasses import replace

import pytest

from schemas.events.models import CallPurpose, ModelCallCompleted, ModelCallRequested
from schemas.events.outputs import AnswerGiven
from schemas.events.tools import ToolCallRequested
from tests.processors.world import World, obliging, plan_text, task

PLAN = plan_text(task("a"), task("b", needs=("a",)))


@pytest.mark.parametrize("when", [CallPurpose.PLAN, CallPurpose.CRITIQUE, CallPurpose.STEP])
def test_the_default_agent_does_what_is_left(when: CallPurpose) -> None:
    well = obliging(PLAN, tools=["look"])
    gone = False

    def answer(call: ModelCallRequested) -> ModelCallCompleted:
        nonlocal gone
        told = well(call)
        assert isinstance(told, ModelCallCompleted)
        if call.purpose is when and not gone:
            gone = True
            made.decider.configuration = replace(
                made.decider.configuration,
                agents={"writer": made.decider.configuration.agents["writer"]},
            )
        return told

    made = World(answer)
    made.say()
    made.run()

    (given,) = made.facts(AnswerGiven)
    assert given.complete
    # What the writer may not use is not called in its place.
    called = [event for event in made.events if isinstance(event.body, ToolCallRequested)]
    assert not called
