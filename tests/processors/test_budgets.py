"""Budgets: which model is admitted, how long its answer may be, and that it always fits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.retries import retry_delay_ms
from processors.routing import Admission, Refusal, Wish, price, route, share_left
from processors.state import Budget, Reservation
from schemas.configuration import Limits
from schemas.events.budgets import BudgetScope
from tests.processors.world import MODELS, small

RICH = Budget(tokens_granted=1_000_000, nanodollars_granted=10**12)


def wish(**more: int | str | None) -> Wish:
    plain: dict[str, int | str | None] = {
        "task_id": "t",
        "purpose": "step",
        "agent": "worker",
        "tier": "premium",
        "input_tokens": 1_000,
        "output_tokens": 500,
        "tokens_left": 1_000_000,
        "nanodollars_left": 10**12,
    }
    return Wish(**{**plain, **more})  # type: ignore[arg-type]  # each test names a field of its type


def test_with_plenty_left_the_wished_tier_is_taken_in_full() -> None:
    admission = route(wish(), RICH, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert (admission.model.name, admission.output_tokens) == ("gpt-4o", 500)
    assert admission.nanodollars == 1_000 * 2_500 + 500 * 10_000


def test_what_does_not_fit_goes_to_the_cheapest_model_by_price_not_by_name() -> None:
    admission = route(wish(nanodollars_left=2_000_000), RICH, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert admission.model.name == "gpt-4o-mini"


def test_while_little_is_left_a_call_may_cost_only_a_share_of_it() -> None:
    budget = Budget(tokens_granted=100_000, nanodollars_granted=10**9, nanodollars_used=6 * 10**8)
    left = budget.nanodollars_left
    just_over = wish(input_tokens=left // 2_500 // 4 + 1, nanodollars_left=left, output_tokens=64)

    assert isinstance(route(just_over, RICH, MODELS.chat, Limits()), Admission)
    admission = route(just_over, budget, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert admission.model.name == "gpt-4o-mini"


@pytest.mark.parametrize(("used", "model"), [(0, "gpt-4o"), (45_000, "gpt-4o"), (95_000, "gpt-4o-mini")])
def test_as_tokens_run_out_the_cheaper_model_takes_over_however_much_money_is_left(
    used: int, model: str
) -> None:
    budget = Budget(tokens_granted=100_000, nanodollars_granted=10**12, tokens_used=used)

    admission = route(wish(tokens_left=budget.tokens_left), budget, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert admission.model.name == model
    assert admission.limited_by == (None if model == "gpt-4o" else "tokens")


@given(st.integers(1_000, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
@settings(max_examples=300)
def test_once_the_cheaper_model_has_taken_over_it_stays(granted: int, first: int, more: int) -> None:
    def model(used: int) -> str | None:
        budget = Budget(tokens_granted=granted, nanodollars_granted=10**13, tokens_used=used)
        asked = wish(tokens_left=max(0, budget.tokens_left), nanodollars_left=10**13)
        admission = route(asked, budget, MODELS.chat, Limits())
        return admission.model.name if isinstance(admission, Admission) else None

    if model(first) in ("gpt-4o-mini", None):
        assert model(first + more) != "gpt-4o"


def test_an_answer_is_shortened_before_a_call_is_refused() -> None:
    admission = route(wish(nanodollars_left=1_000 * 150 + 100 * 600), RICH, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert (admission.model.name, admission.output_tokens) == ("gpt-4o-mini", 100)


def test_an_answer_that_could_only_be_useless_is_refused_with_what_it_would_take() -> None:
    refusal = route(wish(nanodollars_left=1_000 * 150 + 63 * 600), RICH, MODELS.chat, Limits())

    assert refusal == Refusal(
        scope=BudgetScope.SESSION, needed_tokens=1_064, needed_nanodollars=1_000 * 150 + 64 * 600
    )


def test_a_tasks_own_bound_is_named_when_it_is_the_narrower() -> None:
    refusal = route(wish(task_tokens_left=1_010), RICH, MODELS.chat, Limits())

    assert isinstance(refusal, Refusal)
    assert refusal.scope == "task"


def test_a_prompt_for_which_no_window_is_wide_enough_is_refused() -> None:
    assert isinstance(route(wish(input_tokens=200_000), RICH, MODELS.chat, Limits()), Refusal)


def test_a_prompt_too_long_for_the_preferred_window_goes_where_it_fits() -> None:
    admission = route(wish(tier="fallback", input_tokens=20_000), RICH, MODELS.chat, Limits())

    assert isinstance(admission, Admission)
    assert admission.model.context_tokens >= 20_500


@given(
    st.integers(0, 300_000),
    st.integers(1, 4_000),
    st.integers(0, 400_000),
    st.integers(0, 10**10),
    st.none() | st.integers(0, 10_000),
    st.sampled_from(["premium", "standard", "fallback", "unknown"]),
    st.integers(0, 10**10),
)
@settings(max_examples=500)
def test_whatever_is_admitted_fits_everything(
    input_tokens: int, output: int, tokens: int, money: int, task_tokens: int | None, tier: str, used: int
) -> None:
    asked = wish(
        input_tokens=input_tokens,
        output_tokens=output,
        tokens_left=tokens,
        nanodollars_left=money,
        task_tokens_left=task_tokens,
        tier=tier,
    )
    budget = Budget(tokens_granted=400_000, nanodollars_granted=10**10, nanodollars_used=used)

    admission = route(asked, budget, MODELS.chat, Limits())

    if isinstance(admission, Admission):
        assert admission.tokens <= tokens
        assert admission.nanodollars <= money
        assert task_tokens is None or admission.tokens <= task_tokens
        assert admission.tokens <= admission.model.context_tokens
        assert min(64, output) <= admission.output_tokens <= output
        assert price(admission.model, 1, 1) <= price(admission.preferred, 1, 1) or (
            admission.preferred.context_tokens < admission.tokens
        )


def test_open_reservations_count_as_spent() -> None:
    held = Reservation(task_id="t", model="m", tokens=400, nanodollars=10)
    budget = Budget(tokens_granted=1_000, nanodollars_granted=100, tokens_used=100, reservations={"c": held})

    assert budget.tokens_left == 500
    assert share_left(budget) == 0.5


@pytest.mark.parametrize("attempt", [1, 2, 5, 50, 10**6])
def test_delays_double_up_to_their_maximum_and_replay_identically(attempt: int) -> None:
    limits = small(retry_delay_ms=500, retry_delay_ms_max=60_000)
    base = min(60_000, 500 * 2 ** min(attempt - 1, 20))

    delay = retry_delay_ms(attempt, "task", limits)

    assert 0.75 * base <= delay <= base
    assert delay == retry_delay_ms(attempt, "task", limits)


def test_jitter_tells_subjects_apart() -> None:
    assert len({retry_delay_ms(3, f"task-{number}", Limits()) for number in range(20)}) > 10
