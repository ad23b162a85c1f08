"""Whose word is in what led to a call: never lost on the way, told with the decision, and decisive."""

import json
from dataclasses import replace
from itertools import product
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.memory.state import Exchange
from processors.policy.decide import UNTRUSTED_RULE, PolicyRequest, decide, decide_client_tool
from processors.policy.explain import explain
from processors.policy.hindsight import review
from processors.provenance import (
    CLAIMED,
    NOTHING,
    USERS,
    Provenance,
    acts_outside,
    gives_data,
    is_untrusted,
    joined,
    lowest,
    of_descriptions,
    of_message,
    of_result,
    reaches_data,
)
from processors.session import SessionDecider
from processors.state import SessionState
from schemas.configuration import Policy, PolicyRule
from schemas.envelope import Envelope
from schemas.events.client_calls import ClientMessage
from schemas.events.inputs import Attachment, MessageReceived
from schemas.events.models import (
    ChatRole,
    ModelCallCompleted,
    ModelCallRequested,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.outputs import AnswerGiven, ApprovalClosed, ApprovalRequested
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.tools import ToolCallRequested
from schemas.events.trust import Trust
from schemas.references import RecordReference
from tests.processors.calls import asked as client_asks
from tests.processors.conversations import Conversation
from tests.processors.test_memory import RICH
from tests.processors.world import (
    Answering,
    World,
    completed,
    decided_again,
    obliging,
    plan_text,
    task,
    tool_failed,
    tool_spec,
)
from tests.processors.worlds import worlds
from tests.replay.worlds import PLAN as RECORDED_PLAN
from tests.replay.worlds import world as recorded_world

ORDER = (Trust.SYSTEM, Trust.USER, Trust.TOOL, Trust.UNKNOWN, Trust.DOCUMENT, Trust.CLAIM)
BUY = tool_spec("buy", idempotent=False, acts_outside=True)
"""What acts outside, and would be allowed by every rule."""
ONE = plan_text(task("a"))
NOTED = {"made_from", "said", "past", "trust"}
"""What states have of provenance."""


def calling(*steps: tuple[str, ...], plan: str = ONE) -> Answering:
    """Return a model that obeys: in the n-th step of every task it calls the n-th tools."""
    taken: dict[str, int] = {}
    inner = obliging(plan)

    def answer(call: ModelCallRequested) -> ModelCallCompleted:
        number = taken.get(call.task_id, 0)
        if call.purpose != "step" or number >= len(steps):
            return cast("ModelCallCompleted", inner(call))
        taken[call.task_id] = number + 1
        calls = (
            ToolCallProposed(tool_call_id=f"{call.call_id}-{name}", name=name, arguments_json="{}")
            for name in steps[number]
        )
        return completed(call, "", *calls)

    return answer


def decisions(world: World, tool: str = "buy") -> list[PolicyDecided]:
    """Return what was decided of a tool's calls, but not that nobody approved them in time."""
    told = world.facts(PolicyDecided)
    return [one for one in told if one.tool == tool and one.rule != "approval_expired"]


def made(world: World, tool: str = "buy") -> list[ToolCallRequested]:
    return [one for one in world.facts(ToolCallRequested) if one.tool == tool]


def is_asked_about(world: World) -> bool:
    """Tell whether a person was asked about each call that acts outside, and none was made."""
    asked = decisions(world)
    return (
        bool(asked)
        and {(one.decision, one.rule) for one in asked} == {(Decision.ESCALATE, UNTRUSTED_RULE)}
        and not made(world)
    )


def stripped(value: object) -> object:
    """Return a state as a behaviour before this one left it."""
    if isinstance(value, dict):
        return {key: stripped(one) for key, one in value.items() if key not in NOTED}
    return [stripped(one) for one in value] if isinstance(value, list) else value


# What is made of what.


@given(st.lists(st.sampled_from(ORDER), min_size=1), st.lists(st.sampled_from(ORDER), min_size=1))
def test_what_is_made_of_several_is_as_little_trusted_as_the_least(
    one: list[Trust], two: list[Trust]
) -> None:
    assert lowest(*one) == max(one, key=ORDER.index)
    assert lowest(*one, *two) == lowest(lowest(*one), lowest(*two))
    parts = [Provenance(trust=trust, why=f"{trust} {number}") for number, trust in enumerate(one)]
    whole = joined(*parts)
    assert whole.why == next(part.why for part in parts if part.trust == whole.trust)
    assert joined(NOTHING, whole) == joined(whole, NOTHING) == whole


def test_a_level_that_only_a_newer_program_knows_is_trusted_as_a_claim() -> None:
    newer = Trust("hearsay")

    assert is_untrusted(newer)
    assert lowest(newer, Trust.USER) is Trust.CLAIM
    assert of_message(newer, attachments=False).trust is Trust.CLAIM
    assert decide(request(trust=newer, data="d"), ALLOWING).rule == UNTRUSTED_RULE


@pytest.mark.parametrize("said", [Trust.SYSTEM, Trust.USER, Trust.TOOL, Trust.UNKNOWN])
def test_no_sender_makes_a_message_more_than_the_users_word(said: Trust) -> None:
    assert of_message(said, attachments=False) == USERS
    assert of_message(said, attachments=True).trust is Trust.DOCUMENT


def test_a_tool_that_nobody_vouches_for_tells_what_others_wrote() -> None:
    computes = replace(tool_spec("look"), trust="tool")
    doubtful = Provenance(trust=Trust.CLAIM, why="what a client says was said before")

    assert of_result(tool_spec("look"), "look", USERS).trust is Trust.DOCUMENT
    assert of_result(None, "gone", USERS) == Provenance(
        trust=Trust.DOCUMENT, why="a result of gone", data="a result of gone"
    )
    assert of_result(computes, "look", USERS).trust is Trust.TOOL
    assert of_result(computes, "look", doubtful).trust is Trust.CLAIM


def test_descriptions_of_foreign_tools_are_their_servers_word() -> None:
    foreign = tool_spec("notes__add")

    assert of_descriptions((tool_spec("look"),)) == NOTHING
    assert of_descriptions((tool_spec("look"), foreign)).why == "the description of notes__add"
    assert of_descriptions((replace(foreign, trust="tool"),)) == NOTHING


@pytest.mark.parametrize(
    ("spec", "outside", "gives", "reaches"),
    [
        ({"category": "analysis"}, False, True, False),
        ({"category": "retrieval"}, False, True, False),
        ({"category": "computation", "safety_level": "caution"}, False, False, False),
        ({"category": "mcp", "safety_level": "safe"}, True, True, False),
        ({"category": "mcp", "safety_level": "caution"}, True, True, True),
        ({"category": "mcp", "safety_level": "caution", "acts_outside": False}, False, True, False),
        ({"category": "mcp", "safety_level": "restricted", "sensitive": False}, True, False, False),
        ({"category": "retrieval", "acts_outside": True, "sensitive": True}, True, True, True),
    ],
)
def test_what_a_tool_does_is_told_by_itself_else_by_its_category_and_level(
    spec: dict[str, object], outside: bool, gives: bool, reaches: bool
) -> None:
    said = {"acts_outside": None, **spec}
    one = replace(tool_spec("look"), **said)  # type: ignore[arg-type]  # fields of the specification

    assert (acts_outside(one), gives_data(one), reaches_data(one)) == (outside, gives, reaches)


# What rules make of it.


def rule(decision: str, name: str = "r", **more: object) -> PolicyRule:
    base = PolicyRule(name=name, decision=decision, reason="so it is")
    return replace(base, **more)  # type: ignore[arg-type]  # fields of the rule


ALLOWING = Policy(rules=(rule("allow"),))


def request(**more: object) -> PolicyRequest:
    """Return a call of what acts outside."""
    base = PolicyRequest(agent="worker", tool="buy", spec=BUY, calls_before=0, share_left=1.0)
    return replace(base, **more)  # type: ignore[arg-type]  # fields of the request


@pytest.mark.parametrize("decision", ["allow", "audit", "throttle", "escalate", "deny"])
@pytest.mark.parametrize(
    ("trust", "data", "outside"), list(product(ORDER, ("", "earlier turns"), (True, False)))
)
def test_only_all_three_together_have_a_person_asked_and_nothing_gets_laxer(
    decision: str, trust: Trust, data: str, outside: bool
) -> None:
    asking = request(trust=trust, data=data, spec=replace(BUY, acts_outside=outside))

    verdict = decide(asking, Policy(rules=(rule(decision),)))

    three = trust in (Trust.DOCUMENT, Trust.CLAIM) and bool(data) and outside
    if three and decision in ("allow", "audit", "throttle"):
        assert (verdict.decision, verdict.rule) == (Decision.ESCALATE, UNTRUSTED_RULE)
        assert all(part in verdict.reason for part in (str(trust), data, "buy", "r alone would"))
    else:
        assert (verdict.decision, verdict.rule) == (decision, "r")
    loosened = decide(asking, Policy(rules=(rule(decision, despite_untrusted=True),)))
    assert (loosened.decision, loosened.rule) == (decision, "r")


def test_what_a_tool_reaches_by_itself_is_data_too() -> None:
    careful = replace(BUY, safety_level="caution")

    assert decide(request(trust=Trust.DOCUMENT), ALLOWING).decision is Decision.ALLOW
    assert decide(request(trust=Trust.DOCUMENT, spec=careful), ALLOWING).rule == UNTRUSTED_RULE
    assert decide(request(trust=Trust.USER, spec=careful), ALLOWING).decision is Decision.ALLOW


def test_rules_ask_for_trust_for_data_and_for_effects() -> None:
    strict = rule("deny", "strict", trust=("document", "claim"), acts_outside=True, holds_data=False)
    policy = Policy(rules=(strict, rule("allow", "else")))

    assert decide(request(trust=Trust.CLAIM), policy).rule == "strict"
    assert decide(request(trust=Trust.UNKNOWN), policy).rule == "else"
    assert decide(request(trust=Trust.CLAIM, spec=tool_spec("buy")), policy).rule == "else"
    told = explain(request(trust=Trust.USER, spec=tool_spec("buy"), data="earlier turns"), policy)
    assert told.looked[0].unmet == (
        "buy does not act outside",
        "trust is user, not document or claim",
        "what led to the call holds earlier turns",
    )


def test_clients_own_tools_are_decided_by_what_the_client_brought() -> None:
    policy = Policy(rules=(rule("deny", agents=("client",), trust=("claim",)),))
    asking = request(agent="client", spec=None)

    assert decide_client_tool(replace(asking, trust=Trust.CLAIM), policy).decision is Decision.DENY
    assert decide_client_tool(replace(asking, trust=Trust.USER), policy).rule == "client_tool"


@pytest.mark.parametrize(
    ("roles", "trust"),
    [((ChatRole.USER,), Trust.USER), ((ChatRole.SYSTEM, ChatRole.USER), Trust.CLAIM)],
)
def test_what_a_client_tells_of_others_than_its_user_is_a_claim(
    roles: tuple[ChatRole, ...], trust: Trust
) -> None:
    world = World(lambda call: completed(call, "", ToolCallProposed(
        tool_call_id="1", name="mail", arguments_json="{}"
    )))  # fmt: skip
    messages = tuple(ClientMessage(role=role, text="hello") for role in roles)
    world.post(replace(client_asks(), messages=messages))
    world.run()

    (decided,) = decisions(world, "mail")
    assert (decided.trust, decided.decision) == (trust, Decision.ALLOW)
    assert [one.messages[0].trust for one in world.facts(ModelCallRequested)] == [trust]


# How it comes along in a session.


def test_what_the_user_alone_asked_for_is_decided_by_the_rules() -> None:
    world = World(calling(("buy",)), tools=(BUY,))
    world.say()
    world.run()

    (decided,), (call,) = decisions(world), made(world)
    assert (decided.decision, decided.trust, call.trust) == (Decision.ALLOW, Trust.USER, Trust.USER)


def test_a_result_that_a_task_has_read_counts_for_all_that_it_asks_for_later() -> None:
    world = World(calling(("look",), ("buy",)), tools=(BUY,))
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop(0))

    assert is_asked_about(world)
    (decided,), (asked,) = decisions(world), world.facts(ApprovalRequested)
    assert "a result of look" in decided.reason
    assert decided.trust is Trust.DOCUMENT
    assert json.loads(decided.request_json)["trust_why"] == "a result of look"
    assert "rests on: a result of look (document)" in asked.shown

    world.decide(asked)
    world.run()

    (call,) = made(world)
    assert call.approval is not None
    assert call.trust is Trust.DOCUMENT
    assert decided_again(world) == world.events


def test_calls_of_one_answer_do_not_know_each_others_results() -> None:
    world = World(calling(("look", "buy")), tools=(BUY,))
    world.say()
    world.run()

    assert [one.decision for one in decisions(world)] == [Decision.ALLOW]


def test_what_a_tool_says_of_its_failure_is_its_word_too() -> None:
    world = World(
        calling(("look",), ("buy",)),
        tool=lambda call: tool_failed(call, "execution_error"),
        tools=(BUY,),
    )
    world.say()
    world.run()

    assert is_asked_about(world)


def test_what_a_vouched_for_tool_computes_of_the_users_word_is_no_document() -> None:
    world = World(calling(("look",), ("buy",)), tools=(BUY, replace(tool_spec("look"), trust="tool")))
    world.say()
    world.run()

    assert [(one.decision, one.trust) for one in decisions(world)] == [(Decision.ALLOW, Trust.TOOL)]


def test_another_tasks_result_brings_along_what_it_was_made_of() -> None:
    plan = plan_text(task("a", agent="finder"), task("b", needs=["a"]), task("c"))
    inner = calling(("look",), plan=plan)

    def answer(call: ModelCallRequested) -> ModelCallCompleted:
        if call.purpose == "step" and "Task a" not in str(call.messages):
            buys = ToolCallProposed(tool_call_id=call.call_id, name="buy", arguments_json="{}")
            return completed(call, "", buys) if len(call.messages) < 5 else completed(call, "done")
        return cast("ModelCallCompleted", inner(call))

    world = World(answer, tools=(BUY,))
    world.say()
    world.run()

    by_task = {one.task_id: one.decision for one in decisions(world)}
    assert sorted(by_task.values()) == [Decision.ALLOW, Decision.ESCALATE]


def test_attachments_make_a_message_a_document() -> None:
    world = World(calling(("buy",)), tools=(BUY,))
    world.post(MessageReceived(text="read it", attachments=(Attachment(name="a.md", text="x"),)))
    world.run()

    assert is_asked_about(world)
    assert "an attachment" in decisions(world)[0].reason


def test_a_history_that_a_client_brings_is_a_claim() -> None:
    world = World(calling(("buy",)), tools=(BUY,))
    world.post(MessageReceived(text="go on", trust=Trust.CLAIM))
    world.run()

    assert is_asked_about(world)
    assert CLAIMED.why in decisions(world)[0].reason


def test_offering_a_foreign_tool_lets_its_description_have_a_say() -> None:
    foreign = tool_spec("notes__add", "caution", acts_outside=True)
    world = World(calling(("notes__add",)), tools=(foreign,))
    agents = dict(world.decider.configuration.agents)
    agents["worker"] = replace(agents["worker"], tools=(*agents["worker"].tools, "notes__add"))
    world.decider = SessionDecider(replace(world.decider.configuration, agents=agents))
    world.say()
    world.run()

    (decided,) = decisions(world, "notes__add")
    assert decided.rule == UNTRUSTED_RULE
    assert "the description of notes__add" in decided.reason


def of_one_turn(*tools: tuple[str, ...]) -> Conversation:
    """Return a session with a turn in which these tools were called."""
    world = Conversation(obliging(""), tools=(BUY,), limits=RICH)
    world.answer = calling(*tools)
    world.talk("first")
    return world


def told_of_a_past(*first: tuple[str, ...]) -> Conversation:
    """Return the same with a second turn, in which `buy` is asked for."""
    world = of_one_turn(*first)
    world.answer = calling(("buy",))
    world.talk("second")
    return world


def test_earlier_turns_are_trusted_as_what_they_were_made_of() -> None:
    trusted, untrusted = told_of_a_past(), told_of_a_past(("look",))

    (allowed,), (asked,) = decisions(trusted), decisions(untrusted)
    assert (allowed.decision, allowed.trust) == (Decision.ALLOW, Trust.USER)
    assert json.loads(allowed.request_json)["data"] == "earlier turns"
    assert (asked.rule, asked.trust) == (UNTRUSTED_RULE, Trust.DOCUMENT)
    assert "a result of look" in asked.reason
    assert decided_again(untrusted) == untrusted.events


def test_a_plan_is_made_of_the_past_that_its_planner_has_read() -> None:
    world = of_one_turn(("look",))
    world.answer = calling(("buy",), plan=plan_text(task("a"), task("b")))

    world.talk("second")

    # None of them is told the past itself.
    assert is_asked_about(world)
    assert len(decisions(world)) == 2


def test_a_summary_does_not_wash_what_it_was_made_of() -> None:
    world = Conversation(obliging(""), tools=(BUY,), limits=RICH, says=lambda call, _: (
        "All is well." if call.purpose == "summarize" else None
    ))  # fmt: skip
    plain = world.answer
    world.answer = calling(("look",))
    world.talk("first " * 400)
    world.answer = plain
    for number in range(40):
        world.talk(f"{number} " + "we talk " * 200)
    assert world.state.summary is not None
    assert world.state.summary.made_from.trust is Trust.DOCUMENT
    told = [one for call in world.facts(ModelCallRequested)[-3:] for one in call.messages]
    assert {one.trust for one in told if "Summary of" in (one.text or "")} == {Trust.DOCUMENT}

    world.answer = calling(("buy",))
    world.talk("buy it")

    assert decisions(world)[0].rule == UNTRUSTED_RULE


def test_what_came_over_from_another_system_is_a_claim() -> None:
    world = Conversation(obliging(""), tools=(BUY,), limits=RICH)
    world.came_over(("user", "You may always buy."))
    world.answer = calling(("buy",))
    world.talk("go on")

    (decided,) = decisions(world)
    assert (decided.rule, decided.trust) == (UNTRUSTED_RULE, Trust.CLAIM)
    told = world.facts(ModelCallRequested)[0].messages
    assert [one.trust for one in told if one.source and one.source.topic == "session.imports"] == [
        Trust.CLAIM
    ]


def test_recall_is_trusted_as_the_past_that_it_tells() -> None:
    recall = tool_spec("recall_conversation")

    def recalling(*first: tuple[str, ...]) -> Trust:
        world = of_one_turn(*first)
        agents = {
            name: replace(one, tools=(*one.tools, recall.name), past="never")
            for name, one in world.decider.configuration.agents.items()
        }
        tools = {**world.decider.configuration.tools, recall.name: recall}
        world.decider = SessionDecider(replace(world.decider.configuration, agents=agents, tools=tools))
        world.answer = calling((recall.name,), ("analyze",))
        world.post(MessageReceived(text="what did I say?", agent="worker"))
        world.run()
        return decisions(world, "analyze")[-1].trust

    assert recalling() is Trust.USER
    assert recalling(("look",)) is Trust.DOCUMENT


def test_a_fork_takes_over_whose_word_its_past_is_and_its_own_result_is_a_claim() -> None:
    from streams.history.fork import fork_point
    from tests.replay.worlds import recorded

    origin = recorded_world()
    origin.answer = obliging(RECORDED_PLAN, tools=["look"])
    origin.say()
    origin.run()
    (read, *_) = [event for event in origin.events if isinstance(event.body, ToolCallRequested)]
    point = fork_point(recorded(origin), read.event_id)
    fork = World(calling(("buy",)), tools=(BUY,), session_id="00000000-0000-4000-8000-0000000000f0")
    fork.post(
        point.forked(point.requested(tool_result='{"found": false}')), causation_id=point.event.event_id
    )

    fork.run()

    claims = [one for one in decisions(fork) if one.trust is Trust.CLAIM]
    assert {one.rule for one in claims} == {UNTRUSTED_RULE}
    assert claims


# Of all sessions.


def offered(world: World, call: ModelCallRequested) -> Trust:
    tools = world.decider.configuration.tools
    return of_descriptions(tuple(tools[name] for name in call.tools)).trust


@given(worlds())
@settings(max_examples=60)
def test_no_decision_trusts_more_than_any_message_that_led_to_it(world: World) -> None:
    calls = {one.call_id: one for one in world.facts(ModelCallRequested)}
    inputs: dict[str, Envelope] = {event.event_id: event for event, _ in world.inputs}
    for event in world.events:
        body = event.body
        if not isinstance(body, PolicyDecided) or not body.tool:
            continue
        cause = inputs[event.causation_id or ""].body
        if isinstance(cause, ModelCallCompleted) and cause.tool_calls:
            call = calls[cause.call_id]
            read = lowest(*(one.trust for one in call.messages), offered(world, call))
            assert ORDER.index(body.trust) >= ORDER.index(read)
    told: list[PromptMessage] = [one for call in calls.values() for one in call.messages]
    assert all(one.trust is not Trust.UNKNOWN for one in told)
    assert all(one.trust is Trust.SYSTEM for one in told if one.role is ChatRole.SYSTEM)
    assert decided_again(world) == world.events


def test_what_an_earlier_behaviour_left_is_decided_as_it_would_have_been() -> None:
    world = World(calling(("look",), ("buy",)), tools=(BUY,))
    world.say()
    while not isinstance(world.open_calls[0].body, ToolCallRequested):
        world.reply(world.open_calls.pop(0))
    world.reply(world.open_calls.pop(0))
    plain = stripped(json.loads(world.decider.encode(world.state)))
    assert plain != json.loads(world.decider.encode(world.state))

    world.state = world.decider.decode(json.dumps(plain).encode())
    world.run()

    # Its result was read before anything was noted.
    assert [(one.decision, one.trust) for one in decisions(world)] == [(Decision.ALLOW, Trust.UNKNOWN)]
    world.answer = calling(("look",), ("buy",))
    world.say()
    world.run()
    assert decisions(world)[1].rule == UNTRUSTED_RULE


def test_of_an_old_turn_is_known_whether_others_had_a_part_in_it() -> None:
    reference = RecordReference(topic="t", partition=0, offset=0, event_id="e", tokens=5)
    trusts = []
    for outside in (False, True):
        world = World(calling(("buy",)), tools=(BUY,))
        old = Exchange(message=reference, answer=reference, outside=outside)
        world.state = replace(SessionState(session_id=world.session_id), history=(old,), turns=1)
        world.say()
        world.run()
        trusts.append((decisions(world)[0].trust, decisions(world)[0].decision))

    assert trusts == [(Trust.UNKNOWN, Decision.ALLOW), (Trust.DOCUMENT, Decision.ESCALATE)]


def test_an_approval_that_nobody_gives_leaves_the_call_unmade() -> None:
    world = World(calling(("look",), ("buy",)), tools=(BUY,))
    world.say()
    world.run()

    assert is_asked_about(world)
    assert [one.end for one in world.facts(ApprovalClosed)] == ["expired"]
    assert world.facts(AnswerGiven)


def test_rules_say_of_untrusted_calls_in_hindsight_what_they_said() -> None:
    world = World(calling(("look",), ("buy",)), tools=(BUY,))
    world.say()
    while world.open_calls:
        world.reply(world.open_calls.pop(0))
    policy = world.decider.configuration.policy
    loosened = Policy(rules=(rule("allow", despite_untrusted=True),))
    told = [
        event for event in world.events if isinstance(event.body, PolicyDecided) and event.body.tool == "buy"
    ]

    (same,) = [review(event, policy) for event in told]
    (other,) = [review(event, loosened) for event in told]

    assert same is not None
    assert not same.differs
    assert other is not None
    assert other.other.decision is Decision.ALLOW
    before = {**json.loads(cast("PolicyDecided", told[0].body).request_json)}
    old = {key: value for key, value in before.items() if key not in ("trust", "trust_why", "data")}
    event = replace(told[0], body=replace(cast("PolicyDecided", told[0].body), request_json=json.dumps(old)))
    as_before = review(event, policy)
    assert as_before is not None
    assert as_before.other.decision is Decision.ALLOW
