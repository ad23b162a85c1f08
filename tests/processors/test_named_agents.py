"""A message may name the agent that does the work: then nobody plans."""

from schemas.events.inputs import MessageReceived
from schemas.events.models import CallPurpose, ModelCallRequested
from schemas.events.outputs import AnswerGiven, AnswerReason
from schemas.events.plans import AcceptReason, PlanAccepted, PlanProposed
from tests.processors.world import World, decided_again, obliging, plan_text, task

PLAN = plan_text(task("a"))


def purposes(made: World) -> list[CallPurpose]:
    return [call.purpose for call in made.facts(ModelCallRequested)]


def test_the_agent_that_is_named_does_the_work_as_one_task() -> None:
    made = World(obliging(PLAN))
    made.post(MessageReceived(text="do it", tokens=2, agent="worker"))
    made.run()

    (plan,) = made.facts(PlanProposed)
    assert [one.agent for one in plan.tasks] == ["worker"]
    assert made.facts(PlanAccepted)[0].reason is AcceptReason.AGENT_NAMED
    assert purposes(made) == [CallPurpose.STEP, CallPurpose.SYNTHESIZE]
    (answer,) = made.facts(AnswerGiven)
    assert (answer.reason, answer.complete) == (AnswerReason.ANSWERED, True)
    assert decided_again(made) == made.events


def test_an_agent_that_is_not_there_leaves_the_work_to_a_plan() -> None:
    made = World(obliging(PLAN))
    made.post(MessageReceived(text="do it", tokens=2, agent="nobody"))
    made.run()
    assert purposes(made)[0] is CallPurpose.PLAN
    assert made.facts(AnswerGiven)


def test_each_message_names_its_own() -> None:
    made = World(obliging(PLAN))
    made.post(MessageReceived(text="do it", tokens=2, agent="worker"))
    made.say()
    made.run()
    reasons = [plan.reason for plan in made.facts(PlanAccepted)]
    assert reasons == [AcceptReason.AGENT_NAMED, AcceptReason.SCORE_REACHED]
