"""How long the connectors wait, and what a failure means."""

import httpx
import openai
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.client import is_local, timeout_of
from connectors.models.retries import RetryPolicy, translate


@given(attempt=st.integers(1, 100), random=st.floats(0, 0.999), asked=st.none() | st.integers(0, 60_000))
def test_a_wait_is_within_its_bounds_and_never_shorter_than_asked(
    attempt: int, random: float, asked: int | None
) -> None:
    wait_ms = RetryPolicy().wait_ms(attempt, asked, lambda: random)

    assert 375 <= wait_ms <= max(8_000, asked or 0)
    assert wait_ms >= (asked or 0)


def test_waits_double_up_to_eight_seconds() -> None:
    policy = RetryPolicy(jitter=0)

    assert [policy.wait_ms(attempt, None, lambda: 0.5) for attempt in range(1, 8)] == [
        500,
        1_000,
        2_000,
        4_000,
        8_000,
        8_000,
        8_000,
    ]


def test_a_connection_comes_soon_or_not_at_all() -> None:
    assert timeout_of(60_000).connect == 5
    assert timeout_of(1_000).connect == 1


def test_only_the_local_model_counts_as_local() -> None:
    assert is_local("gpt-4o", "local-deterministic")
    assert is_local("local-deterministic/gpt-4o", None)
    assert not is_local("gpt-4o-2024-08-06", "fp_50cad350e4")


def test_a_failure_while_connecting_was_never_sent_and_one_while_reading_may_be_billed() -> None:
    for cause, billed in ((httpx.ConnectError("refused"), False), (httpx.ReadError("reset"), True)):
        error = openai.APIConnectionError(request=httpx.Request("POST", "http://x"))  # type: ignore[arg-type]  # the library's own HTTP library is not a dependency of ours
        error.__cause__ = cause

        assert translate(error, what="call", timeout_ms=1).maybe_billed is billed
