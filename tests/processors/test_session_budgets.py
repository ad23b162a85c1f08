"""A session's budget: the cheaper model takes over as it runs out, and every decision about it is told."""

import json

from schemas.events.budgets import BudgetDownshifted, BudgetExhausted
from schemas.events.models import ModelCallRequested
from schemas.events.policies import PolicyDecided
from tests.processors.world import World, obliging, plan_text, task

PLAN = plan_text(task("a"), task("b", needs=["a"]))


def small_tokens() -> World:
    world = World(obliging(PLAN, tools=["look"]))
    world.say(budget_tokens=2_400)
    return world.run()


def test_under_a_token_budget_the_first_calls_are_the_dear_ones_and_the_last_are_not() -> None:
    calls = small_tokens().facts(ModelCallRequested)

    assert calls[0].model == "gpt-4o"
    assert (calls[-1].purpose, calls[-1].model) == ("synthesize", "gpt-4o-mini")


def test_a_downshift_its_decision_and_the_call_say_the_same() -> None:
    world = small_tokens()

    downshifts = world.facts(BudgetDownshifted)
    calls = {call.call_id: call for call in world.facts(ModelCallRequested)}
    decided = {fact.call_id: fact for fact in world.facts(PolicyDecided) if fact.rule == "budget_downshift"}

    assert downshifts
    assert [fact.limited_by for fact in downshifts] == ["tokens"] * len(downshifts)
    assert decided.keys() == {fact.reservation_id for fact in downshifts}
    for fact in downshifts:
        call, decision = calls[fact.reservation_id], decided[fact.reservation_id]
        assert (call.model, decision.agent, decision.decision) == (fact.to_model, call.agent, "audit")
        assert decision.tokens_left_after == call.session_tokens_left
        after = json.loads(decision.usage_after_json)
        assert after["nanodollars_left"] == call.session_nanodollars_left
        assert fact.from_model in decision.reason
        assert fact.to_model in decision.reason


def test_what_cannot_be_afforded_is_a_decision_too() -> None:
    world = World(obliging(PLAN))

    world.say(budget_tokens=20)
    world.run()

    assert world.facts(BudgetExhausted)
    assert [(fact.decision, fact.rule) for fact in world.facts(PolicyDecided)] == [
        ("deny", "budget_exhausted")
    ]


def test_money_moves_with_the_tokens_in_what_a_decision_tells() -> None:
    world = World(obliging(plan_text(task("a")), tools=["analyze"]))

    world.say()
    world.run()

    [decision] = world.facts(PolicyDecided)
    before, after = json.loads(decision.usage_before_json), json.loads(decision.usage_after_json)
    tokens = before["tokens_left"] - after["tokens_left"]
    assert 100 <= tokens <= 1_500
    assert after["nanodollars_reserved"] - before["nanodollars_reserved"] == 600 * tokens
    assert before["nanodollars_left"] - after["nanodollars_left"] == 600 * tokens
