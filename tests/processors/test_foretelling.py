"""Estimates of messages: what the configuration lets expect, set right by what was seen often enough."""

from processors.foretelling import (
    SAMPLES_MIN,
    Asked,
    Factor,
    Use,
    estimate,
    expectation,
    learnt_from,
    uses_of,
)
from schemas.events.budgets import BudgetCharged
from tests.processors.world import World, configuration, obliging, plan_text, task

ASKED = Asked(text_tokens=20, attached_tokens=0, tasks=("worker", "writer", "worker"))
WRITER = Asked(text_tokens=20, attached_tokens=0, tasks=("writer",), is_planned=False)
EXPECTED = expectation(WRITER, configuration())["writer"][1]


def use(number: int, share: float, **more: object) -> Use:
    """Return what a task of the writer used: a share of what is expected of it."""
    plain: dict[str, object] = {
        "session_id": f"s{number}",
        "turn": 1,
        "task_id": f"t{number}",
        "purpose": "step",
        "agent": "writer",
        "tokens": round(share * EXPECTED.tokens),
        "nanodollars": round(share * EXPECTED.nanodollars),
    }
    return Use(**{**plain, **more})  # type: ignore[arg-type]  # each test names fields of their types


def learnt(*uses: Use) -> Factor | None:
    asked = {(one.session_id, one.turn): WRITER for one in uses}
    return learnt_from(uses, asked, configuration()).get("writer")


def test_what_a_session_was_charged_is_what_is_learnt_from() -> None:
    made = World(obliging(plan_text(task("a"), task("b", needs=["a"]))))
    made.say()
    made.run()

    found = uses_of(made.events)

    charged = [event.body for event in made.events if isinstance(event.body, BudgetCharged)]
    assert sum(one.tokens for one in found) == sum(one.tokens for one in charged) > 0
    assert sum(one.nanodollars for one in found) == sum(one.nanodollars for one in charged)
    assert {one.purpose for one in found} >= {"plan", "critique", "step", "synthesize"}


def test_the_median_counts_once_enough_were_seen() -> None:
    seen = [use(number, share) for number, share in enumerate((0.5, 2.0, 9.0))]

    found = learnt(*seen)

    assert found is not None
    assert found.samples == SAMPLES_MIN
    assert abs(found.tokens - 2) < 0.05
    assert abs(found.money - 2) < 0.05
    assert learnt(*seen[:2]) is None


def test_steps_of_a_task_count_together() -> None:
    seen = [use(number, 1.0) for number in range(3)]

    found = learnt(*seen, *seen, *seen)

    assert found is not None
    assert abs(found.tokens - 3) < 0.05


def test_an_estimate_is_what_is_expected_times_what_is_learnt() -> None:
    factor = Factor(tokens=2.0, money=0.5, samples=7)

    plain = {line.what: line for line in estimate(ASKED, {}, configuration()).lines}
    told = {line.what: line for line in estimate(ASKED, {"worker": factor}, configuration()).lines}

    assert set(plain) == {"planner", "critic", "synthesizer", "worker", "writer"}
    assert all(line.tokens > 0 and line.nanodollars > 0 and line.samples == 0 for line in plain.values())
    assert (told["worker"].times, told["worker"].samples) == (2, 7)
    assert told["worker"].tokens == 2 * plain["worker"].tokens
    assert abs(told["worker"].nanodollars - plain["worker"].nanodollars / 2) <= 1
    assert told["writer"] == plain["writer"]


def test_more_tasks_make_planner_and_synthesizer_dearer() -> None:
    few, many = (
        {line.what: line.nanodollars for line in estimate(asked, {}, configuration()).lines}
        for asked in (
            Asked(text_tokens=20, attached_tokens=0, tasks=("writer",)),
            Asked(text_tokens=20, attached_tokens=0, tasks=("writer",) * 5),
        )
    )

    assert many["planner"] > few["planner"]
    assert many["synthesizer"] > few["synthesizer"]


def test_nobody_plans_a_message_that_names_its_agent() -> None:
    told = estimate(WRITER, {}, configuration())

    assert [line.what for line in told.lines] == ["synthesizer", "writer"]
    assert told.tokens == sum(line.tokens for line in told.lines)


def test_an_agent_that_there_is_no_longer_costs_nothing() -> None:
    asked = Asked(text_tokens=20, attached_tokens=0, tasks=("nobody",), is_planned=False)

    assert [line.what for line in estimate(asked, {}, configuration()).lines] == ["synthesizer"]
