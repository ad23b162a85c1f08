"""Calls: reserved first, run at most once unless that is harmless, billed for no more than is charged."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.models import ModelCallCompleted, ModelCallFailed
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from tests.invariants.reservations import CALLS
from tests.invariants.stories import Story
from tests.invariants.violation import Violation

RESULTS: Final = (ModelCallCompleted, ModelCallFailed, ToolCallCompleted, ToolCallFailed)


def outcomes_of(events: Iterable[Envelope]) -> Counter[str]:
    """Count the outcomes of each call among distinct events."""
    return Counter(event.body.call_id for event in events if isinstance(event.body, RESULTS))


def calls(
    story: Story,
    outcomes: Mapping[str, int],
    runs: Mapping[str, int],
    billed_tokens: Mapping[str, int],
) -> Iterator[Violation]:
    """Each call has one outcome, and its bill is covered; that its reservation holds is for the books.

    Args:
        story: at rest.
        outcomes: by call.
        runs: by call, how often it ran in a way that counts: billed, or with an effect.
        billed_tokens: by call, all runs together.
    """
    charged = {fact.reservation_id: fact.tokens for fact in story.facts(BudgetCharged)}
    for event in story.events:
        body = event.body
        if not isinstance(body, CALLS):
            continue
        name, found = body.call_id, outcomes.get(body.call_id, 0)
        if found != 1:
            invariant = "I4" if found else "I12"
            yield _broken(invariant, story, f"the call {name} has {found} outcomes")
        harmless = isinstance(body, ToolCallRequested) and body.idempotent and body.reserved_tokens == 0
        if not harmless and runs.get(name, 0) > 1:
            yield _broken("I4", story, f"the call {name} ran {runs[name]} times")
        # What a provider bills beyond the most that it was told is its overshoot, and not ours.
        billed = min(billed_tokens.get(name, 0), body.reserved_tokens)
        if billed > charged.get(name, 0):
            told = f"the call {name} was billed {billed} tokens and charged {charged.get(name, 0)}"
            yield _broken("I6", story, told)


def _broken(invariant: str, story: Story, told: str) -> Violation:
    return Violation(invariant=invariant, subject=story.session_id, message=told)
