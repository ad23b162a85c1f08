"""The router: which model a call goes to, and that its reasons say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.health import ModelFailures, noted, resting
from processors.routing import Admission, Wish, route
from processors.state import Budget
from schemas.configuration import ChatModel, Limits, RequestParameters
from schemas.events.models import (
    CallPurpose,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    RouteCause,
)
from schemas.events.plans import Difficulty, PlanProposed
from schemas.frozen import replace
from tests.processors.world import (
    MODELS,
    World,
    completed,
    decided_again,
    failed,
    obliging,
    plan_text,
    small,
    task,
)

RICH = Budget(tokens_granted=1_000_000, nanodollars_granted=10**12)
WISH = Wish(
    task_id="t",
    purpose=CallPurpose.STEP,
    agent="worker",
    tier="standard",
    input_tokens=1_000,
    output_tokens=500,
    tokens_left=1_000_000,
    nanodollars_left=10**12,
)


def admitted(wish: Wish, models: tuple[ChatModel, ...] = MODELS.chat, budget: Budget = RICH) -> Admission:
    found = route(wish, budget, models, Limits())
    assert isinstance(found, Admission)
    return found


def causes(admission: Admission) -> list[str]:
    return [reason.cause.value for reason in admission.reasons]


def with_model(name: str, **more: object) -> tuple[ChatModel, ...]:
    return tuple(
        replace(model, **more) if model.name == name else model  # type: ignore[arg-type]  # each test names a field
        for model in MODELS.chat
    )


@pytest.mark.parametrize(
    ("tier", "difficulty", "model", "told"),
    [
        ("standard", Difficulty.USUAL, "gpt-4o-mini", ["tier"]),
        ("standard", Difficulty.HARD, "gpt-4o", ["tier", "difficulty"]),
        ("premium", Difficulty.HARD, "gpt-4o", ["tier"]),
        ("premium", Difficulty.EASY, "gpt-4o-mini", ["tier", "difficulty"]),
        # The tier below is dearer: names of tiers say nothing of prices.
        ("standard", Difficulty.EASY, "gpt-4o-mini", ["tier"]),
        ("standard", Difficulty("wild"), "gpt-4o-mini", ["tier"]),
    ],
)
def test_difficulty_moves_a_call_to_the_neighbouring_tier(
    tier: str, difficulty: Difficulty, model: str, told: list[str]
) -> None:
    found = admitted(replace(WISH, tier=tier, difficulty=difficulty))

    assert (found.model.name, causes(found)) == (model, told)
    assert found.limited_by is None


def test_a_call_with_tools_goes_to_a_model_that_can_call_them() -> None:
    models = with_model("gpt-4o-mini", calls_tools=False)

    with_tools = admitted(replace(WISH, calls_tools=True), models)

    assert causes(with_tools) == ["tier", "tools"]
    assert with_tools.model.calls_tools
    assert "gpt-4o-mini cannot call tools" in with_tools.reasons[-1].detail
    assert admitted(WISH, models).model.name == "gpt-4o-mini"
    none = tuple(replace(model, calls_tools=False) for model in MODELS.chat)
    assert admitted(replace(WISH, calls_tools=True), none).model.name == "gpt-4o-mini"


def test_json_is_asked_of_another_model_of_the_tier_alone() -> None:
    none = RequestParameters(response_format="none")
    asked = replace(WISH, is_json=True)
    models = with_model("gpt-4o-mini", parameters=none)
    other = replace(models[1], name="other", parameters=RequestParameters(), input_nanodollars=9_000)

    assert causes(admitted(asked, models)) == ["tier"]
    found = admitted(asked, (*models, other))

    assert (found.model.name, causes(found)) == ("other", ["tier", "json"])


def test_a_model_that_rests_is_passed_over_unless_nobody_else_is_there() -> None:
    one = admitted(replace(WISH, resting=frozenset({"gpt-4o-mini"})))
    all_of_them = admitted(replace(WISH, resting=frozenset(model.name for model in MODELS.chat)))

    assert causes(one) == ["tier", "health"]
    assert one.model.name == "gpt-3.5-turbo"
    assert (all_of_them.model.name, causes(all_of_them)) == ("gpt-4o-mini", ["tier"])


def test_a_model_that_rests_is_taken_where_no_other_has_the_room_or_the_price() -> None:
    asked = replace(WISH, input_tokens=20_000, nanodollars_left=20_000 * 150 + 100 * 600)

    found = admitted(replace(asked, resting=frozenset({"gpt-4o-mini"})))

    assert found.model.name == "gpt-4o-mini"


@pytest.mark.parametrize(
    ("wish", "budget", "cause", "words"),
    [
        (replace(WISH, tier="premium", nanodollars_left=2_000_000), RICH, "money", "of the money left"),
        (replace(WISH, tier="fallback", input_tokens=15_800), RICH, "window", "has room for 16000 tokens"),
        (
            replace(WISH, tier="premium", tokens_left=5_000),
            Budget(tokens_granted=100_000, tokens_used=95_000, nanodollars_granted=10**12),
            "tokens",
            "with 5% of the budget left a call may take at most 10% of the tokens left",
        ),
        (replace(WISH, task_tokens_left=1_100), RICH, "shortened", "may have 100 tokens, not 500"),
    ],
)
def test_what_the_budget_changes_is_the_last_reason(
    wish: Wish, budget: Budget, cause: str, words: str
) -> None:
    found = admitted(wish, budget=budget)

    assert cause in causes(found)
    assert any(words in reason.detail for reason in found.reasons if reason.cause.value == cause)
    assert (found.limited_by is None) == (cause == "shortened")


@given(
    tier=st.sampled_from(["premium", "standard", "fallback", "other"]),
    difficulty=st.sampled_from(Difficulty),
    tools=st.booleans(),
    json_wished=st.booleans(),
    rest=st.frozensets(st.sampled_from([model.name for model in MODELS.chat])),
    tokens=st.integers(0, 200_000),
    money=st.integers(0, 10**9),
    prompt=st.integers(0, 130_000),
    used=st.integers(0, 1_000_000),
)
def test_the_last_reason_names_the_model_and_the_call_always_fits(
    *,
    tier: str,
    difficulty: Difficulty,
    tools: bool,
    json_wished: bool,
    rest: frozenset[str],
    tokens: int,
    money: int,
    prompt: int,
    used: int,
) -> None:
    wish = replace(
        WISH,
        tier=tier,
        difficulty=difficulty,
        calls_tools=tools,
        is_json=json_wished,
        resting=rest,
        tokens_left=tokens,
        nanodollars_left=money,
        input_tokens=prompt,
    )
    budget = Budget(tokens_granted=1_000_000, tokens_used=used, nanodollars_granted=10**12)

    found = route(wish, budget, with_model("gpt-3.5-turbo", calls_tools=False), Limits())

    if isinstance(found, Admission):
        assert found.reasons[0].cause is RouteCause.TIER
        assert found.reasons[-1].model == found.model.name
        assert found.tokens <= min(tokens, found.model.context_tokens)
        assert found.nanodollars <= money
        assert (found.limited_by is None) == (found.model == found.preferred)


def outcomes(*kinds: str) -> list[ModelCallCompleted | ModelCallFailed]:
    call = ModelCallRequested(
        call_id="c",
        task_id="t",
        turn=1,
        purpose=CallPurpose.STEP,
        agent="worker",
        model="gpt-4o",
        messages=(),
        input_tokens_max=9,
        output_tokens_max=9,
        reserved_tokens=18,
        reserved_nanodollars=1,
        timeout_ms=1,
        attempts_max=1,
    )
    return [completed(call, "x") if kind == "ok" else failed(call, kind) for kind in kinds]


@pytest.mark.parametrize(
    ("kinds", "rests"),
    [
        (("timeout", "provider_error", "rate_limited"), True),
        (("timeout", "timeout"), False),
        (("timeout", "timeout", "ok", "timeout"), False),
        (("invalid_request", "prompt_too_long", "interrupted", "refused"), False),
    ],
)
def test_a_model_rests_after_its_providers_failures_one_after_another(
    kinds: tuple[str, ...], rests: bool
) -> None:
    known = {"other": ModelFailures(count=1)}
    for number, outcome in enumerate(outcomes(*kinds)):
        known = dict(noted(known, "gpt-4o", outcome, 1_000 + number))

    limits = Limits()
    assert ("gpt-4o" in resting(known, 2_000, limits)) == rests
    assert resting(known, 2_000 + limits.model_rest_ms, limits) == frozenset()
    assert known["other"].count == 1


def test_a_session_asks_another_model_after_three_failures_and_comes_back_after_the_rest() -> None:
    away = True

    def model(call: ModelCallRequested) -> ModelCallCompleted | ModelCallFailed:
        if away and call.model == "gpt-4o":
            return failed(call, "provider_error")
        return obliging(plan_text(task("a", agent="writer")))(call)

    made = World(model, limits=small(attempts_max=2))
    made.say()
    made.run()
    made.say("again")
    made.run()
    calls = [event.body for event in made.events if isinstance(event.body, ModelCallRequested)]
    turned = [call for call in calls if any(one.cause is RouteCause.HEALTH for one in call.routing)]

    assert turned
    assert all(call.model != "gpt-4o" for call in turned)
    assert {call.routing[-1].model == call.model for call in calls} == {True}
    away = False
    made.now_ms += made.limits.model_rest_ms
    made.say("and again")
    made.run()
    latest = [event.body for event in made.events if isinstance(event.body, ModelCallRequested)][len(calls) :]
    assert "gpt-4o" in {call.model for call in latest}
    assert made.state.models_failed == {}
    assert decided_again(made) == made.events


def test_a_hard_task_of_a_plan_begins_with_the_next_tier() -> None:
    plan = plan_text(task("a", difficulty="HARD"), task("b", difficulty="nonsense"))
    made = World(obliging(plan))
    made.say()
    made.run()

    (proposed,) = [event.body for event in made.events if isinstance(event.body, PlanProposed)]
    assert [one.difficulty for one in proposed.tasks] == [Difficulty.HARD, Difficulty.USUAL]
    steps = [
        event.body
        for event in made.events
        if isinstance(event.body, ModelCallRequested) and event.body.purpose is CallPurpose.STEP
    ]
    assert {call.model for call in steps} == {"gpt-4o", "gpt-4o-mini"}
    assert decided_again(made) == made.events
