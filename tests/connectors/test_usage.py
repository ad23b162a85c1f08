"""What providers bill, checked for sense; limits that are ignored; and how long they ask us to wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.errors import RETRY_AFTER_MS_MAX, retry_after_ms
from connectors.models.usage import larger, read_usage
from schemas.frozen import replace
from schemas.ports.chat import ChatAnswer
from tests.connectors import quirks
from tests.connectors.model_conformance import request
from tests.connectors.quirks import Answer, Sent, chunk, chunks_of, end_of, sound, stream
from tests.connectors.quirky import asking

TEXT = "Apples and pears number 42."


async def ask(sent: Sent, output_tokens_max: int = 100) -> ChatAnswer:
    async with asking(lambda _: sent) as (model, _, _):
        return await model.complete(replace(request(), output_tokens_max=output_tokens_max))


async def used(usage: object, thinking: str = "") -> tuple[int, int, str]:
    """Return what is charged for a short answer with this usage."""
    begun = [chunk({"reasoning_content": thinking})] if thinking else []
    end: list[quirks.Chunk] = [{**chunk(), "choices": [], "usage": usage}]
    answer = await ask(stream([*begun, *chunks_of(Answer(text=TEXT))[:-1], *end]))
    return answer.input_tokens, answer.output_tokens, answer.usage_source


async def test_what_is_counted_is_the_prompt_and_all_that_was_said_and_thought() -> None:
    prompt, shown, source = await used(None)
    _, thought, _ = await used(None, thinking="one two three four five six")

    assert (source, prompt > 0, shown > 0) == ("counted", True, True)
    assert thought >= shown + 6


@pytest.mark.parametrize(
    ("usage", "charged"),
    [
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60}, (50, 10)),
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 3_060}, (50, 3_010)),
        ({"prompt_tokens": 50, "total_tokens": 3_060}, (50, 3_010)),
        ({"completion_tokens": 10, "total_tokens": 60}, (50, 10)),
        ({"prompt_tokens": 50, "completion_tokens": 10}, (50, 10)),
        ({"input_tokens": 50, "output_tokens": 10}, (50, 10)),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 10,
                "completion_tokens_details": {"reasoning_tokens": 500},
            },
            (50, 510),
        ),
        (
            {
                "prompt_tokens": 50,
                "completion_tokens": 510,
                "completion_tokens_details": {"reasoning_tokens": 500},
            },
            (50, 510),
        ),
        ({"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 20}, (50, 10)),
        ({"prompt_tokens": 50.0, "completion_tokens": 10.0}, (50, 10)),
    ],
)
async def test_usage_that_makes_sense_is_charged_with_all_its_thoughts(
    usage: dict[str, object], charged: tuple[int, int]
) -> None:
    assert await used(usage) == (*charged, "provider")


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "50", "completion_tokens": "10"},
        {"prompt_tokens": -50, "completion_tokens": -10},
        {"prompt_tokens": 2**63, "completion_tokens": 1e300},
        {"prompt_tokens": float("nan"), "completion_tokens": True},
        {},
        [],
        "none",
    ],
)
async def test_usage_that_makes_no_sense_is_counted_here(usage: object) -> None:
    assert await used(usage) == await used(None)


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 0, "completion_tokens": 10}, {"prompt_tokens": 50, "completion_tokens": 0}]
)
async def test_a_gap_alone_is_counted_here(usage: dict[str, object]) -> None:
    counted = await used(None)

    input_tokens, output_tokens, source = await used(usage)

    assert input_tokens == (usage["prompt_tokens"] or counted[0])
    assert output_tokens == (usage["completion_tokens"] or counted[1])
    assert source == "counted"


async def test_of_a_total_alone_nothing_gets_lost() -> None:
    counted = await used(None)

    input_tokens, output_tokens, _ = await used({"total_tokens": 3_000})

    assert (input_tokens, input_tokens + output_tokens) == (counted[0], 3_000)


_COUNTS = st.none() | st.integers(-5, 2_000) | st.floats() | st.text(max_size=3)


@given(_COUNTS, _COUNTS, _COUNTS, _COUNTS)
def test_no_usage_charges_less_than_the_provider_says(
    prompt: object, completion: object, total: object, thought: object
) -> None:
    usage = read_usage(
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": total,
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
    )

    for told in (prompt, completion, total, thought):
        if isinstance(told, int) and told > 0:
            assert usage is not None or told == thought
            assert usage is None or usage.total_tokens >= told or told == thought
    if usage is not None:
        assert usage.total_tokens >= usage.input_tokens + usage.output_tokens >= 0
        assert larger(usage, usage) == usage


# Limits that a server ignores.


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
async def test_an_answer_that_runs_far_beyond_its_limit_ends_there(field: str) -> None:
    words = [chunk({field: f" word{n}"}) for n in range(2_000)]

    answer = await ask(stream([*words, *end_of(Answer(text="x"))]), output_tokens_max=100)

    assert answer.finish_reason == "length"
    assert 100 < answer.output_tokens < 1_000
    assert answer.usage_source == "counted"


@pytest.mark.parametrize("name", ["content_in_parts", "body_ends_with_connection", "not_streamed"])
async def test_an_answer_within_its_limit_is_whole_however_it_comes(name: str) -> None:
    text = " ".join(f"word{n}" for n in range(45))

    answer = await ask(quirks.QUIRKS[name](Answer(text=text)), output_tokens_max=100)

    assert (answer.text, answer.finish_reason) == (text, "stop")


async def test_an_answer_that_comes_letter_by_letter_is_not_counted_by_letters() -> None:
    text = "Apples and pears number forty-two, all in all. " * 9
    letters = [chunk({"content": letter}) for letter in text]

    answer = await ask(stream([*letters, *end_of(Answer(text="x"))]), output_tokens_max=100)

    assert (answer.text, answer.finish_reason) == (text, "stop")


async def test_the_end_of_an_answer_is_not_missed_behind_the_limit() -> None:
    answer = await ask(sound(Answer(text=TEXT, reason="length")), output_tokens_max=1)

    assert (answer.text, answer.finish_reason) == (TEXT, "length")


# How long a provider asks us to wait.

NOW_S = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({"retry-after": "2"}, 2_000),
        ({"retry-after": "0.5"}, 500),
        ({"retry-after": "2s"}, 2_000),
        ({"retry-after": " 2 "}, 2_000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"retry-after-ms": "1500"}, 1_500),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1_500),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9_000),
        ({"retry-after": "86400"}, RETRY_AFTER_MS_MAX),
        ({"retry-after": "999999999999"}, RETRY_AFTER_MS_MAX),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, 30_000),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:30 -0000"}, 30_000),
        ({"retry-after": "Thu, 01 Jan 2026 01:00:30 +0100"}, 30_000),
        ({"retry-after": "Wed, 31 Dec 2025 23:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, RETRY_AFTER_MS_MAX),
        ({"retry-after": "Fri, 99 Foo 2026 00:00:00 GMT"}, None),
        (
            {"retry-after": "Thu, 01 Jan 2026 09:00:30 GMT", "date": "Thu, 01 Jan 2026 09:00:00 GMT"},
            30_000,
        ),
    ],
)
def test_a_wait_is_read_as_seconds_or_a_date_and_has_an_end(
    headers: dict[str, str], wait_ms: int | None
) -> None:
    assert retry_after_ms(headers, NOW_S) == wait_ms


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_header_breaks_it(after: str, date: str) -> None:
    wait_ms = retry_after_ms({"retry-after": after, "date": date}, NOW_S)

    assert wait_ms is None or 0 <= wait_ms <= RETRY_AFTER_MS_MAX


async def test_a_wait_that_is_longer_than_a_minute_is_left_to_the_session() -> None:
    limited = Sent(body=b'{"error": {"message": "slow down"}}', status=429, headers=(("Retry-After", "600"),))
    async with asking(lambda _: limited) as (model, quirky, waits):
        with pytest.raises(Exception, match="slow down") as caught:
            await model.complete(request())

    assert getattr(caught.value, "retry_after_ms", None) == 600_000
    assert (len(quirky.asked), waits.seconds) == (1, [])
