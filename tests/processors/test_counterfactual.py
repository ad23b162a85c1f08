"""Calls as they were routed, beside the same calls with one model."""

import pytest

from processors.counterfactual import Routed, compare, fixed_model
from processors.routing import price
from schemas.frozen import replace
from tests.processors.world import MODELS

PREMIUM, STANDARD = (next(one for one in MODELS.chat if one.tier == tier) for tier in ("premium", "standard"))
CALL = Routed(
    agent="writer",
    model=STANDARD.name,
    cause="tier",
    calls=3,
    input_tokens=2_000,
    output_tokens=300,
    nanodollars=7,
)


def test_the_same_tokens_are_priced_with_both_models_of_today() -> None:
    compared = compare([CALL], PREMIUM, MODELS.chat)

    assert compared.as_routed == price(STANDARD, 2_000, 300)
    assert compared.fixed == price(PREMIUM, 2_000, 300)
    assert compared.share_saved == pytest.approx(1 - compared.as_routed / compared.fixed)
    assert compared.share_saved is not None
    assert compared.share_saved > 0


def test_calls_whose_model_has_no_price_are_told_and_not_compared() -> None:
    gone = replace(CALL, model="gone")

    compared = compare([CALL, gone], PREMIUM, MODELS.chat)

    assert [line.as_routed is None for line in compared.lines] == [False, True]
    assert (compared.as_routed, compared.fixed) == (price(STANDARD, 2_000, 300), price(PREMIUM, 2_000, 300))


def test_routing_may_have_cost_more() -> None:
    compared = compare([replace(CALL, model=PREMIUM.name)], STANDARD, MODELS.chat)

    assert compared.share_saved is not None
    assert compared.share_saved < 0


def test_what_costs_nothing_has_no_share() -> None:
    free = replace(STANDARD, name="free", input_nanodollars=0, output_nanodollars=0)

    assert compare([CALL], free, MODELS.chat).share_saved is None
    assert compare([], PREMIUM, MODELS.chat).share_saved is None


def test_the_one_model_is_named_by_its_name_or_its_tier_or_is_the_best() -> None:
    dearest = replace(STANDARD, name="dear", tier="own", output_nanodollars=10**6)

    assert fixed_model(MODELS.chat) == PREMIUM
    assert fixed_model((STANDARD, dearest)) == dearest
    assert fixed_model(MODELS.chat, STANDARD.name) == STANDARD
    assert fixed_model(MODELS.chat, "standard") == STANDARD
    assert fixed_model((replace(PREMIUM, name="standard"), STANDARD), "standard") == replace(
        PREMIUM, name="standard"
    )
    assert fixed_model(MODELS.chat, "nothing") is None
