"""What other rules would have said of calls on the log is what they do say, once they decide."""

import json
from dataclasses import replace

import pytest

from processors.client_failures import CLIENT
from processors.policy.hindsight import Reviewed, review
from processors.session import SessionDecider
from schemas.configuration import ArgumentCondition, Policy, PolicyRule
from schemas.envelope import Envelope
from schemas.events.models import ToolCallProposed
from schemas.events.outputs import ApprovalRequested
from schemas.events.policies import Decision, PolicyDecided
from tests.approving import APPROVERS, edit
from tests.processors.calls import asked as client_asks
from tests.processors.test_approvals import asking
from tests.processors.test_client_calls import world as client_world
from tests.processors.world import World, completed, obliging, plan_text, task

UNDER_TMP = ArgumentCondition(argument="path", operator="path_under", values=("/tmp",))
PLAN = plan_text(task("a"), task("b", needs=["a"]))
ALL = PolicyRule(name="all", decision="allow", reason="why not")


def policy(*rules: PolicyRule) -> Policy:
    return Policy(rules=rules, approvers=APPROVERS)


OTHERS = {
    "as it is": policy(ALL),
    "nothing": policy(),
    "the tool": policy(PolicyRule(name="no", decision="deny", reason="r", tools=("look",)), ALL),
    "another tool": policy(PolicyRule(name="no", decision="deny", reason="r", tools=("search",)), ALL),
    "its level": policy(PolicyRule(name="no", decision="throttle", reason="r", safety_levels=("safe",)), ALL),
    "its category": policy(PolicyRule(name="no", decision="deny", reason="r", categories=("test",)), ALL),
    "what is not listed": policy(PolicyRule(name="no", decision="deny", reason="r", unless_listed=True), ALL),
    "its arguments": policy(
        PolicyRule(name="no", decision="escalate", reason="r", arguments=(UNDER_TMP,)), ALL
    ),
    "its user": policy(PolicyRule(name="no", decision="audit", reason="r", users=("ann",)), ALL),
    "another tenant": policy(PolicyRule(name="no", decision="deny", reason="r", tenants=("rival",)), ALL),
    "the third of a turn": policy(
        PolicyRule(name="no", decision="deny", reason="r", calls_above=2, calls_scope="turn"), ALL
    ),
    "the third of a session": policy(
        PolicyRule(name="no", decision="deny", reason="r", calls_above=2, calls_scope="session"), ALL
    ),
    "the second of a task": policy(PolicyRule(name="no", decision="deny", reason="r", calls_above=1), ALL),
    "late": policy(PolicyRule(name="no", decision="deny", reason="r", share_left_below=0.999), ALL),
    "hours": policy(PolicyRule(name="no", decision="deny", reason="r", hours=(0, 1, 2)), ALL),
}


def lived(rules: Policy) -> World:
    """Return a session of two tasks, each of which calls a tool twice, under some rules."""
    world = World(obliging(PLAN, tools=["look", "look"]))
    world.decider = SessionDecider(replace(world.decider.configuration, policy=rules))
    world.say()
    world.run()
    return world


def decisions(world: World) -> list[Envelope]:
    return [event for event in world.events if isinstance(event.body, PolicyDecided) and event.body.tool]


def reviewed(event: Envelope, rules: Policy) -> Reviewed:
    found = review(event, rules)
    assert found is not None
    return found


@pytest.mark.parametrize("named", OTHERS)
def test_rules_say_in_hindsight_what_they_say_when_they_decide(named: str) -> None:
    rules = OTHERS[named]
    # Up to the first call that fares otherwise, both sessions are the same.
    for before, now in zip(decisions(lived(policy(ALL))), decisions(lived(rules)), strict=False):
        assert isinstance(now.body, PolicyDecided)
        found = reviewed(before, rules)
        assert (found.other.decision, found.other.rule) == (now.body.decision, now.body.rule)
        if found.differs:
            break


@pytest.mark.parametrize("named", OTHERS)
def test_no_decision_differs_under_the_rules_that_made_it(named: str) -> None:
    told = decisions(lived(OTHERS[named]))
    assert told
    assert not any(reviewed(event, OTHERS[named]).differs for event in told)


def test_a_call_that_is_asked_about_would_be_asked_about_although_nobody_may_approve_it() -> None:
    ask = PolicyRule(name="ask", decision="escalate", reason="r", tools=("look",))
    nobody = Policy(rules=(ask, ALL))
    (first, *_) = decisions(lived(nobody))
    assert isinstance(first.body, PolicyDecided)
    assert (first.body.decision, first.body.rule) == (Decision.DENY, "no_approver")
    assert not reviewed(first, nobody).differs
    assert reviewed(first, policy(ALL)).differs


def test_what_a_person_edited_is_asked_about_under_any_rules() -> None:
    world = asking()
    (request,) = world.facts(ApprovalRequested)
    world.post(edit(request, '{"to": "bob"}'), sender=("*", "olga"))
    _, again = decisions(world)
    found = reviewed(again, policy(ALL))
    assert (found.other.decision, found.other.rule) == (Decision.ESCALATE, "edited_by_person")


def test_what_no_rule_decided_is_not_reviewed() -> None:
    world = asking()
    (request,) = world.facts(ApprovalRequested)
    (asked,) = decisions(world)
    assert isinstance(asked.body, PolicyDecided)
    without = replace(asked, body=replace(asked.body, request_json=json.dumps({"tool": "guarded"})))
    strange = replace(asked, body=replace(asked.body, request_json="[]"))
    own = json.loads(asked.body.request_json) | {"own_rules": True}
    of_session = replace(asked, body=replace(asked.body, request_json=json.dumps(own)))
    of_model = replace(asked, body=replace(asked.body, tool=""))
    assert [review(one, policy(ALL)) for one in (without, strange, of_session, of_model)] == [None] * 4

    world.decide(request)
    _, approved = decisions(world)
    assert review(approved, policy(ALL)) is None


@pytest.mark.parametrize(
    ("path", "says"),
    [("/srv/x", Decision.ALLOW), ("/tmp/x", Decision.DENY), ("/tmp/../x", Decision.DENY)],
)
def test_rules_about_arguments_count_for_tools_that_clients_bring_along(path: str, says: Decision) -> None:
    rule = PolicyRule(name="no_tmp", decision="deny", reason="r", agents=(CLIENT,), arguments=(UNDER_TMP,))
    made = client_world()
    made.decider.configuration = replace(made.decider.configuration, policy=Policy(rules=(rule,)))
    made.answer = lambda call: completed(
        call,
        "",
        ToolCallProposed(tool_call_id="1", name="rm", arguments_json=json.dumps({"path": path})),
    )
    made.post(client_asks())
    made.run()
    (event,) = decisions(made)
    assert isinstance(event.body, PolicyDecided)
    assert event.body.decision is says
    assert not reviewed(event, Policy(rules=(rule,))).differs
    assert reviewed(event, Policy(rules=())).differs is (says is Decision.DENY)
