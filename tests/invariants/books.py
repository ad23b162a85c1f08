"""Budgets: nothing is overspent, and what is set aside is settled once."""

from collections import Counter
from collections.abc import Iterator

from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.models import ModelCallRequested
from schemas.events.tools import ToolCallRequested
from tests.invariants.reservations import Call, reserving
from tests.invariants.stories import Story
from tests.invariants.violation import Violation


def books(story: Story) -> Iterator[Violation]:
    """Nothing is overspent at any time, each reservation is settled once, and the sums are right."""
    yield from _chargesonce(story)
    yield from _never_overspent(story)


def used(story: Story) -> tuple[int, int]:
    """Return the tokens and nanodollars that were charged."""
    charged = story.facts(BudgetCharged)
    return sum(fact.tokens for fact in charged), sum(fact.nanodollars for fact in charged)


def _chargesonce(story: Story) -> Iterator[Violation]:
    made = Counter(call.call_id for event in story.events if (call := reserving(event.body)))
    reserved = {call.call_id: call for event in story.events if (call := reserving(event.body))}
    charged = {fact.reservation_id: fact for fact in story.facts(BudgetCharged)}
    charges = Counter(fact.reservation_id for fact in story.facts(BudgetCharged))
    for counts, told in ((made, "made"), (charges, "settled")):
        for key, count in counts.items():
            if count > 1:
                yield _broken(story, f"the reservation {key} was {told} {count} times")
    for key in sorted(reserved.keys() ^ charged.keys()):
        told = "never settled" if key in reserved else "settled, and was never made"
        yield _broken(story, f"the reservation {key} was {told}")
    for key in reserved.keys() & charged.keys():
        held, settled = reserved[key], charged[key]
        if (
            held.reserved_tokens != settled.tokens + settled.tokens_released
            or held.reserved_nanodollars != settled.nanodollars + settled.nanodollars_released
        ):
            yield _broken(story, f"the reservation {key} does not add up")


def _never_overspent(story: Story) -> Iterator[Violation]:
    """Follow the books event by event: what is left is what was granted, less what is held and used."""
    tokens = nanodollars = 0
    held: dict[str, Call] = {}
    for event in story.events:
        match event.body:
            case BudgetGranted(scope="session") as granted:
                tokens += granted.tokens - granted.tokens_before
                nanodollars += granted.nanodollars - granted.nanodollars_before
            case ModelCallRequested() | ToolCallRequested() as call:
                held[call.call_id] = call
                tokens, nanodollars = tokens - call.reserved_tokens, nanodollars - call.reserved_nanodollars
                said = (call.session_tokens_left, call.session_nanodollars_left)
                if said != (tokens, nanodollars):
                    yield _broken(story, f"#{event.sequence} says {said} are left, not {tokens, nanodollars}")
                if min(tokens, nanodollars, call.task_tokens_left) < 0:
                    yield _broken(story, f"#{event.sequence} reserves more than there is")
            case BudgetCharged() as charged if charged.reservation_id in held:
                before = held.pop(charged.reservation_id)
                tokens += before.reserved_tokens - charged.tokens
                nanodollars += before.reserved_nanodollars - charged.nanodollars
            case _:
                pass


def _broken(story: Story, told: str) -> Violation:
    return Violation(invariant="I6", subject=story.session_id, message=told)
