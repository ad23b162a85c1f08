"""How much one gateway bears, and one token and tenant take of it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.gateway.access import Principal
from streams.gateway.bounds import BURST_S, NAMELESS_MAX, Bounds, Limits
from streams.gateway.problems import Problem

LIMITS = Limits(token_requests_per_s=5, tenant_requests_per_s=12, open_max=4, token_open_max=2)


def bearer(token: str, tenant: str = "acme") -> Principal:
    return Principal(token_id=token, tenant=tenant, user=None, scopes=frozenset())


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def refused(bounds: Bounds, who: Principal) -> Problem | None:
    try:
        bounds.pace(who)
    except Problem as problem:
        return problem
    return None


def taken(bounds: Bounds, who: Principal) -> int:
    """Return how many requests are let through at once."""
    count = 0
    while refused(bounds, who) is None:
        count += 1
    return count


def test_a_token_may_ask_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    bounds = Bounds(LIMITS, clock)
    assert taken(bounds, bearer("a")) == 5 * BURST_S
    problem = refused(bounds, bearer("a"))
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_s) == (429, "rate_limited", 1)
    clock.now_s = 1.0
    assert taken(bounds, bearer("a")) == 5
    clock.now_s = 1_000.0
    assert taken(bounds, bearer("a")) == 5 * BURST_S


def test_a_tenants_tokens_share_its_rate_and_others_do_not_feel_it() -> None:
    bounds = Bounds(LIMITS, Clock())
    shares = [taken(bounds, bearer(token)) for token in "abcd"]
    assert shares == [20, 20, 8, 0]
    assert taken(bounds, bearer("a", tenant="other")) == 0  # a token belongs to one tenant, and is used up
    assert taken(bounds, bearer("e", tenant="other")) == 20


def test_what_is_refused_takes_nothing() -> None:
    clock = Clock()
    bounds = Bounds(LIMITS, clock)
    taken(bounds, bearer("a"))
    for _ in range(1_000):
        assert refused(bounds, bearer("a")) is not None
    clock.now_s = 0.2
    assert refused(bounds, bearer("a")) is None


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from("abc")), max_size=200))
def test_nobody_gets_more_than_a_burst_beyond_the_rate(asked: list[tuple[float, str]]) -> None:
    clock = Clock()
    bounds = Bounds(LIMITS, clock)
    let_through = dict.fromkeys("abc", 0)
    for pause_s, token in asked:
        clock.now_s += pause_s
        let_through[token] += refused(bounds, bearer(token)) is None
        assert let_through[token] <= 5 * (BURST_S + clock.now_s) + 1e-6
        assert sum(let_through.values()) <= 12 * (BURST_S + clock.now_s) + 1e-6


def test_places_are_bounded_for_all_and_for_each_and_come_back() -> None:
    bounds = Bounds(LIMITS)
    for _ in range(3):
        with contextlib.ExitStack() as held:
            for _ in range(2):
                held.enter_context(bounds.held(bearer("a")))
            with pytest.raises(Problem) as own:
                held.enter_context(bounds.held(bearer("a")))
            assert (own.value.status, own.value.code, own.value.retry_s) == (429, "too_many_open", 2)
            held.enter_context(bounds.held(bearer("b")))
            for _ in range(4):
                held.enter_context(bounds.opened())
            with pytest.raises(Problem) as full:
                held.enter_context(bounds.opened())
            assert (full.value.status, full.value.code, full.value.retry_s) == (503, "overloaded", 2)
        assert bounds.open == 0


def test_few_may_be_nameless_at_once() -> None:
    bounds = Bounds(LIMITS)
    for _ in range(2):
        with contextlib.ExitStack() as held:
            for _ in range(NAMELESS_MAX):
                held.enter_context(bounds.nameless())
            with pytest.raises(Problem) as full:
                held.enter_context(bounds.nameless())
            assert full.value.status == 503
