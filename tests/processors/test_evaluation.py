"""What an answer must have, and how sure a share is."""

import pytest

from processors.evaluation import Attempt, Checks, Share, faults, summary
from schemas.frozen import replace

GOOD = Attempt(
    session_id="s",
    text="Der Termin ist am Freitag um 14:00.",
    complete=True,
    tools=("execute_python",),
    agents=("root", "coder"),
    citations=1,
    tokens=100,
    nanodollars=50,
    latency_ms=900,
)
FITS = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'


def test_an_answer_that_has_everything_is_good() -> None:
    checks = Checks(
        contains=("freitag",),
        lacks=("Friday",),
        matches=(r"\d\d:\d\d",),
        tools=("execute_python",),
        agents=("coder",),
        citations_min=1,
        words_max=7,
        tokens_max=100,
        nanodollars_max=50,
    )

    assert faults(GOOD, checks) == []


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        (Checks(contains=("Montag",)), 'the answer lacks "Montag"'),
        (Checks(lacks=("FREITAG",)), 'the answer has "FREITAG"'),
        (Checks(matches=(r"^\d",)), r"nothing in the answer matches the pattern ^\d"),
        (Checks(output_json=FITS), "the answer: there is no JSON in it"),
        (Checks(tools=("look",)), "the tool look was not called"),
        (Checks(agents=("writer",)), "the agent writer had no task"),
        (Checks(citations_min=2), "it cites 1; the least is 2"),
        (Checks(words_max=6), "the answer has 7 words; the most is 6"),
        (Checks(tokens_max=99), "it took 100 tokens; the most is 99"),
        (Checks(nanodollars_max=49), "it cost more than it may"),
    ],
)
def test_each_thing_that_is_amiss_is_told(checks: Checks, told: str) -> None:
    assert faults(GOOD, checks) == [told]


def test_json_is_found_among_words() -> None:
    assert faults(replace(GOOD, text='Here: {"n": 3}'), Checks(output_json=FITS)) == []


def test_part_of_an_answer_counts_only_where_it_may() -> None:
    part = replace(GOOD, complete=False)

    assert faults(part, Checks()) == ["the answer is not complete"]
    assert faults(part, Checks(may_be_incomplete=True)) == []


def test_without_an_answer_nothing_else_is_looked_at() -> None:
    assert faults(Attempt(session_id="s", failure="refused"), Checks(contains=("x",))) == ["refused"]


@pytest.mark.parametrize(
    ("good", "of", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: Wilson's score.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_those_of_the_literature(good: int, of: int, low: float, high: float) -> None:
    assert Share(good=good, of=of).interval == pytest.approx((low, high), abs=0.00006)


def test_few_attempts_say_little() -> None:
    assert not Share(good=1, of=1).differs_from(Share(good=0, of=1))
    assert Share(good=20, of=20).differs_from(Share(good=0, of=20))
    assert Share(good=0, of=0).interval == (0.0, 1.0)


def test_attempts_without_an_answer_count_as_bad_and_not_as_fast() -> None:
    told = summary(
        [
            (GOOD, True),
            (replace(GOOD, latency_ms=1_100, tokens=300), False),
            (Attempt(session_id="s", failure="x"), False),
        ]
    )

    assert (told.passed.good, told.passed.of) == (1, 3)
    assert (told.latency_ms_median, told.latency_ms_max) == (1_000, 1_100)
    assert (told.tokens_median, told.nanodollars) == (200, 100)
    assert summary([]).passed.of == 0
