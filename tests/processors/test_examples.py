"""Small models write down the example of their instructions for an answer: nobody is to act on that."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from processors.outputs import CritiqueOutput, PlanOutput, read_critique, read_plan
from processors.session import SessionDecider
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven
from schemas.events.plans import PlanAccepted, PlanCriticised, PlanProposed, PlanRejected
from schemas.events.tasks import TaskCompleted, TaskCreated
from streams.configuration.loading import load_configuration
from tests.processors.world import ModelOutcome, World, completed, configuration, obliging, plan_text, task

EXAMPLE = {
    "tasks": [{**task("t1"), "intent": "Find what  the guide says."}, {**task("t2"), "intent": "Write it"}]
}
REMARKS = "No task compares the two."
PROMPTS = {
    "planner": f"Role: planner. Of a guide, a good plan is:\n{json.dumps(EXAMPLE, indent=1)}\nJSON alone.",
    "critic": f"Role: critic. For example: {json.dumps({'score': 0.3, 'remarks': REMARKS})}",
    "synthesizer": "Role: synthesizer",
}
OWN = plan_text(task("a"))
Answer = Callable[[ModelCallRequested], ModelOutcome]


def session(answer: Answer) -> World:
    """Let a model with examples in its instructions answer one message."""
    world = World(answer)
    world.decider = SessionDecider(replace(configuration(), prompts=PROMPTS))
    world.say("What is the capital of France?")
    return world.run()


def planning(*plans: str, critiques: tuple[str, ...] = ()) -> Answer:
    """Return a model that writes these plans and critiques one after the other, the last for ever."""
    left = {"plan": list(plans), "critique": list(critiques)}
    otherwise = obliging(OWN)

    def answer(call: ModelCallRequested) -> ModelOutcome:
        texts = left.get(call.purpose)
        if not texts:
            return otherwise(call)
        return completed(call, texts.pop(0) if len(texts) > 1 else texts[0])

    return answer


def asked(world: World) -> list[str]:
    return [call.purpose.value for call in world.facts(ModelCallRequested)]


@pytest.mark.parametrize(
    "copy",
    [
        json.dumps(EXAMPLE),
        plan_text({**task("x"), "intent": "find what the guide says"}),
        plan_text({**task("x", agent="writer"), "intent": "WRITE IT!"}, {**task("y"), "intent": "write it."}),
        f"Here is the plan:\n```json\n{json.dumps(EXAMPLE)}\n```",
    ],
)
def test_a_plan_that_is_the_example_is_none_and_one_task_answers_the_request(copy: str) -> None:
    world = session(planning(copy))

    [rejected] = world.facts(PlanRejected)
    assert (rejected.reason, rejected.final) == ("copied", True)
    [accepted] = world.facts(PlanAccepted)
    assert accepted.reason == "default_task"
    assert asked(world) == ["plan", "step", "synthesize"]
    assert [one.intent for one in world.facts(TaskCreated) if one.plan_id] == ["Answer the request"]
    assert all(one.complete for one in world.facts(AnswerGiven))


def test_a_plan_that_is_the_example_in_part_is_mended() -> None:
    part = plan_text({**task("t1"), "intent": "Find what the guide says"}, task("t2", needs=["t1"]))

    world = session(planning(part, OWN))

    [rejected] = world.facts(PlanRejected)
    assert (rejected.reason, rejected.final) == ("copied", False)
    assert "t1" in rejected.detail
    assert "t2" not in rejected.detail
    assert {one.intent for one in world.facts(TaskCreated) if one.plan_id} == {"do a"}
    assert world.facts(TaskCompleted)


def test_a_revision_that_is_the_example_leaves_the_plan_that_stands() -> None:
    low = json.dumps({"score": 0.2, "remarks": "Look again."})

    world = session(planning(OWN, json.dumps(EXAMPLE), critiques=(low,)))

    [accepted] = world.facts(PlanAccepted)
    assert accepted.reason == "revision_rejected"
    assert {one.intent for one in world.facts(TaskCreated) if one.plan_id} == {"do a"}


def test_a_critique_that_is_the_example_sends_no_plan_back() -> None:
    copy = json.dumps({"score": 0.3, "remarks": REMARKS.upper()})

    world = session(planning(OWN, critiques=(copy,)))

    [criticised] = world.facts(PlanCriticised)
    assert criticised.score == 0.5
    assert "repeats the example" in criticised.remarks
    [accepted] = world.facts(PlanAccepted)
    assert accepted.reason == "critic_failed"
    assert asked(world).count("plan") == 1


def test_a_critique_of_its_own_sends_a_plan_back_whatever_its_score() -> None:
    own = json.dumps({"score": 0.3, "remarks": "Nobody looks at the dates."})

    world = session(planning(OWN, plan_text(task("b")), critiques=(own, json.dumps({"score": 0.9}))))

    assert {one.intent for one in world.facts(TaskCreated) if one.plan_id} == {"do b"}


def test_a_revision_that_changes_nothing_is_not_criticised_again() -> None:
    low = json.dumps({"score": 0.2, "remarks": "Look again."})

    world = session(planning(OWN, critiques=(low,)))

    assert len(world.facts(PlanProposed)) == 1
    assert asked(world)[:4] == ["plan", "critique", "plan", "step"]
    [accepted] = world.facts(PlanAccepted)
    assert (accepted.reason, accepted.revision) == ("revision_unchanged", 1)


def test_without_an_example_nothing_is_copied() -> None:
    world = World(planning(json.dumps(EXAMPLE)))
    world.say()
    world.run()

    assert not world.facts(PlanRejected)


def test_the_shipped_instructions_have_examples_that_are_known_again() -> None:
    prompts = load_configuration([]).prompts

    plan, critique = read_plan(prompts["planner"]), read_critique(prompts["critic"])

    assert isinstance(plan, PlanOutput)
    assert isinstance(critique, CritiqueOutput)
    assert len(plan.tasks) == 2
    assert critique.remarks
