"""Sessions that ask for more calls at once than their budgets hold, under every kind of fault."""

from dataclasses import replace

import pytest

from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.inputs import MessageReceived
from schemas.events.tasks import TaskCreated
from schemas.ids import derived_id
from tests.invariants.reservations import reserving
from tests.invariants.stories import Story, once, stories_of
from tests.processors.world import plan_text, task
from tests.simulation.campaign import quiet
from tests.simulation.simulation import Simulation
from tests.simulation.users import Act, Scenario

SESSIONS = 5
CALLS = 10
BUDGET_TOKENS = 4_000
SEEDS = range(4)
LIMITS = replace(Limits(), running_max=CALLS, tasks_max=CALLS)


def scenario(seed: int) -> Scenario:
    """Every session plans tasks that may all run at once; half are short of tokens, half of money."""
    acts = tuple(
        Act(
            derived_id("overspending", str(seed), str(number)),
            MessageReceived(
                text="please do it",
                budget_tokens=BUDGET_TOKENS if number % 2 else None,
                budget_nanodollars=None if number % 2 else BUDGET_TOKENS * 400,
            ),
        )
        for number in range(SESSIONS)
    )
    plan = plan_text(*(task(f"t{number}", agent="writer") for number in range(CALLS)))
    return Scenario(limits=LIMITS, plan=plan, acts=acts)


def held_at_once(story: Story) -> int:
    held = most = 0
    for event in story.events:
        held += reserving(event.body) is not None
        held -= isinstance(event.body, BudgetCharged)
        most = max(most, held)
    return most


def granted_to(events: list[Envelope]) -> int:
    return sum(
        event.body.tokens - event.body.tokens_before
        for event in events
        if isinstance(event.body, BudgetGranted) and event.body.scope == "session"
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_what_the_provider_bills_is_within_every_sessions_budget(seed: int) -> None:
    quiet()
    simulation = Simulation(seed, scenario=scenario(seed))

    outcome = simulation.run()

    assert outcome.violation is None
    stories = stories_of(once(simulation.published)).values()
    assert len(stories) == SESSIONS
    for story in stories:
        calls = [call for event in story.events if (call := reserving(event.body)) is not None]
        billed = sum(simulation.provider.billed_tokens[call.call_id] for call in calls)
        assert billed <= granted_to(story.events)
    # Else it would prove nothing: budgets held some calls at once and not all, and processes died.
    planned = [story for story in stories if len(story.facts(TaskCreated)) > CALLS]
    held = [held_at_once(story) for story in planned]
    assert 1 < max(held) < CALLS
    assert outcome.faults > 0
