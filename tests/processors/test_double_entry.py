"""Double entry: at every moment of every session, the books balance and say what its events say."""

from collections import Counter

from hypothesis import given, settings

from schemas.events.budgets import BudgetCharged
from tests.invariants.entries import entries_of
from tests.invariants.reservations import reserving
from tests.invariants.stories import Story
from tests.processors.world import SESSION, World
from tests.processors.worlds import worlds


@given(worlds())
@settings(max_examples=80)
def test_every_beginning_of_every_session_balances(world: World) -> None:
    tokens: Counter[str] = Counter()
    nanodollars: Counter[str] = Counter()
    entries = entries_of([Story(session_id=SESSION, events=world.events)])

    for event in world.events:
        for entry in entries:
            if entry.event_id == event.event_id:
                tokens[entry.account] += entry.tokens
                nanodollars[entry.account] += entry.nanodollars
        assert sum(tokens.values()) == sum(nanodollars.values()) == 0
        assert min(tokens["reserved"], nanodollars["reserved"], tokens["used"], nanodollars["used"]) >= 0
        said = event.body if isinstance(event.body, BudgetCharged) else reserving(event.body)
        if said is not None:
            assert tokens["available"] == said.session_tokens_left
            assert nanodollars["available"] == said.session_nanodollars_left
    assert tokens["reserved"] == nanodollars["reserved"] == 0
    assert tokens["used"] == world.state.budget.tokens_used
    assert nanodollars["used"] == world.state.budget.nanodollars_used
