"""OpenAIModel: the suite of every Model, and each way in which a provider can fail."""

import asyncio
import json
import socket

import pytest

from connectors.local_model.faults import Fault
from connectors.models.chat import OpenAIModel
from schemas.ports.chat import ChatAnswer, ConnectorError, Model, ProviderFailed, RequestInvalid
from tests.connectors.conftest import ENCODINGS, Local, Waits, until
from tests.connectors.model_conformance import (
    SEARCH,
    ModelConformance,
    Pieces,
    followed,
    request,
    system,
    user,
)


class TestOpenAIModel(ModelConformance):
    """The suite, against the local server."""

    @pytest.fixture
    def model(self, local: Local) -> Model:
        """The model under test."""
        return local.model


async def failing(local: Local, **wanted: int) -> ConnectorError:
    """Ask, and return the failure."""
    with pytest.raises(ConnectorError) as caught:
        await local.model.complete(request(timeout_ms=wanted.get("timeout_ms", 60_000)))
    return caught.value


async def test_the_local_model_is_told_by_its_signature(local: Local) -> None:
    answer = await local.model.complete(request())

    assert answer.local
    assert answer.model == "local-deterministic/gpt-4o-mini"


async def test_what_the_server_bills_is_what_the_connector_counted(local: Local) -> None:
    asked = request(system("Role: agent researcher"), user("Task t1: Find budgets"), tools=(SEARCH,))

    answer = await local.model.complete(asked)

    with pytest.raises(RequestInvalid) as caught:
        await local.model.complete(
            request(*asked.messages, tools=(SEARCH,), input_tokens_max=answer.input_tokens - 1)
        )
    assert caught.value.prompt_tokens_counted == answer.input_tokens


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "unavailable"])
async def test_an_attempt_that_is_surely_not_billed_is_repeated(local: Local, kind: str) -> None:
    local.script(Fault(kind=kind, times=2, retry_after_s=0))

    answer = await local.model.complete(request())

    assert answer.attempts == 3
    assert local.waits.seconds == [0.5, 1.0]
    assert [entry.billed for entry in local.server.ledger.entries()] == [False, False, True]


async def test_the_wait_doubles_from_half_a_second_and_attempts_end_at_their_limit(local: Local) -> None:
    local.script(Fault(kind="server_error", times=-1))

    failure = await failing(local)

    assert isinstance(failure, ProviderFailed)
    assert (failure.kind, failure.attempts, failure.maybe_billed) == ("provider_error", 5, False)
    assert local.waits.seconds == [0.5, 1.0, 2.0, 4.0]


async def test_a_provider_that_says_how_long_to_wait_is_believed(local: Local) -> None:
    local.script(Fault(kind="rate_limited", retry_after_s=7))

    await local.model.complete(request())

    assert local.waits.seconds == [7.0]


async def test_a_provider_that_asks_for_too_long_a_wait_gets_no_further_attempt(local: Local) -> None:
    local.script(Fault(kind="rate_limited", retry_after_s=3_600))

    failure = await failing(local)

    assert (failure.kind, failure.attempts, failure.retry_after_ms) == ("rate_limited", 1, 3_600_000)
    assert failure.retryable
    assert local.waits.seconds == []


async def test_a_used_up_quota_is_not_retried(local: Local) -> None:
    local.script(Fault(kind="quota_exhausted"))

    failure = await failing(local)

    assert (failure.kind, failure.attempts, failure.retryable) == ("refused", 1, False)


async def test_wrong_credentials_are_our_fault(local: Local) -> None:
    local.script(Fault(kind="unauthorized"))

    failure = await failing(local)

    assert isinstance(failure, RequestInvalid)
    assert (failure.kind, failure.attempts, failure.retryable) == ("refused", 1, False)


async def test_an_unknown_model_is_an_invalid_request(local: Local) -> None:
    with pytest.raises(RequestInvalid) as caught:
        await local.model.complete(request(model="no-such-model"))

    assert caught.value.kind == "invalid_request"
    assert "no-such-model" in str(caught.value)


async def test_a_refused_connection_is_repeated_and_surely_not_billed() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        waits = Waits()
        model = OpenAIModel(
            base_url=f"http://127.0.0.1:{taken.getsockname()[1]}/v1", api_key="any", sleep=waits
        )

        with pytest.raises(ProviderFailed) as caught:
            await model.complete(request(attempts_max=3))
        await model.close()

    assert (caught.value.kind, caught.value.attempts, caught.value.maybe_billed) == (
        "provider_error",
        3,
        False,
    )
    assert len(waits.seconds) == 2
    assert all(0 < seconds <= 1 for seconds in waits.seconds)


@pytest.mark.parametrize("kind", ["hang", "slow_drip"])
async def test_an_answer_that_takes_too_long_may_be_billed_and_is_not_repeated(
    local: Local, kind: str
) -> None:
    local.script(Fault(kind=kind, times=-1, delay_ms=2_000))

    failure = await failing(local, timeout_ms=100)

    assert (failure.kind, failure.attempts, failure.maybe_billed) == ("timeout", 1, True)
    assert failure.retryable
    assert local.waits.seconds == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("disconnect", "interrupted"),
        ("disconnect_mid_stream", "interrupted"),
        ("error_in_stream", "interrupted"),
        ("garbage", "interrupted"),
        ("gateway_timeout", "timeout"),
    ],
)
async def test_a_broken_answer_may_be_billed_and_is_not_repeated(
    local: Local, kind: str, expected: str
) -> None:
    script = local.script(Fault(kind=kind, times=-1))

    failure = await failing(local)

    assert (failure.kind, failure.attempts, failure.maybe_billed) == (expected, 1, True)
    assert script.met() == [1]


async def test_text_that_came_before_the_break_was_handed_on_with_its_attempt(local: Local) -> None:
    local.script(Fault(kind="server_error"), Fault(kind="disconnect_mid_stream", pieces=2))
    pieces = Pieces()

    with pytest.raises(ProviderFailed) as caught:
        await local.model.complete(followed(request(), pieces))

    assert caught.value.attempts == 2
    assert [(attempt, index) for attempt, index, _ in pieces.taken] == [(2, 0)]


async def test_an_answer_without_usage_is_counted_exactly(local: Local) -> None:
    provided = await local.model.complete(request())
    local.script(Fault(kind="no_usage"))

    counted = await local.model.complete(request())

    assert (provided.usage_source, counted.usage_source) == ("provider", "counted")
    assert _usage(counted) == _usage(provided)


async def test_tool_calls_without_usage_are_counted_exactly(local: Local) -> None:
    asked = request(system("Role: agent researcher"), user("Task t1: Find budgets"), tools=(SEARCH,))
    provided = await local.model.complete(asked)
    local.script(Fault(kind="no_usage"))

    counted = await local.model.complete(asked)

    assert counted.tool_calls
    assert _usage(counted) == _usage(provided)


async def test_an_endless_answer_is_cut_off(local: Local) -> None:
    local.script(Fault(kind="large_answer"))

    answer = await local.model.complete(request())

    assert answer.finish_reason == "length"
    assert len(answer.text) < 100_000


async def test_a_filtered_answer_is_an_answer(local: Local) -> None:
    local.script(Fault(kind="content_filter"))

    answer = await local.model.complete(request())

    assert (answer.text, answer.finish_reason) == ("", "content_filter")


async def test_what_a_model_makes_up_comes_through_unchecked(local: Local) -> None:
    asked = request(system("Role: agent researcher"), user("Task t1: Find budgets"), tools=(SEARCH,))
    local.script(Fault(kind="wrong_tool"), Fault(kind="bad_arguments"))

    wrong = await local.model.complete(asked)
    bad = await local.model.complete(asked)

    assert wrong.tool_calls[0].name == "no_such_tool"
    with pytest.raises(json.JSONDecodeError):
        json.loads(bad.tool_calls[0].arguments_json)


async def test_the_provider_sees_the_call_id_on_every_attempt(local: Local) -> None:
    local.script(Fault(kind="unavailable"))

    await local.model.complete(request(call_id="call-77"))

    assert [entry.client_request_id for entry in local.server.ledger.entries()] == ["call-77", "call-77"]


async def test_a_cancelled_call_lets_go_of_its_connection(local: Local) -> None:
    local.script(Fault(kind="hang"))
    task = asyncio.ensure_future(local.model.complete(request()))
    await until(lambda: local.server.attempts)  # the request has arrived

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    await until(local.server.ledger.entries)

    assert local.server.ledger.entries()[0].status == 0


async def test_a_failure_of_whoever_follows_the_text_is_not_the_providers(local: Local) -> None:
    async def broken(_attempt: int, _index: int, _text: str) -> None:
        raise RuntimeError("the topic is full")

    asked = request()
    with pytest.raises(RuntimeError, match="the topic is full"):
        await local.model.complete(
            type(asked)(
                call_id="c",
                model=asked.model,
                messages=asked.messages,
                input_tokens_max=4_000,
                output_tokens_max=100,
                timeout_ms=60_000,
                attempts_max=5,
                on_text=broken,
            )
        )


async def test_the_time_to_the_first_token_is_measured(local: Local) -> None:
    ticks = iter(range(100))
    model = OpenAIModel(
        base_url=local.base_url, api_key="any", encodings=ENCODINGS, clock=lambda: float(next(ticks))
    )

    answer = await model.complete(request())
    await model.close()

    assert answer.first_token_ms == 1_000


def _usage(answer: ChatAnswer) -> tuple[int, int]:
    return answer.input_tokens, answer.output_tokens
