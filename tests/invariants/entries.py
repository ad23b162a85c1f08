"""Double entry: what the view budget_entries has to say, made from events in Python, and that it balances."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.models import ModelCallRequested
from schemas.events.tools import ToolCallRequested
from tests.invariants.stories import Story
from tests.invariants.violation import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetEntry:
    """One row of the view budget_entries."""

    session_id: str
    sequence: int
    event_id: str
    account: str
    """granted, available, reserved or used."""
    tokens: int
    nanodollars: int


def entries_of(stories: Iterable[Story]) -> list[BudgetEntry]:
    """Return the entries of all budget events."""
    return [
        BudgetEntry(
            session_id=story.session_id,
            sequence=event.sequence,
            event_id=event.event_id,
            account=account,
            tokens=tokens,
            nanodollars=nanodollars,
        )
        for story in stories
        for event in story.events
        for account, tokens, nanodollars in _postings(event.body)
    ]


def balance(expected: Iterable[BudgetEntry], found: Iterable[BudgetEntry]) -> Iterator[Violation]:
    """The view says what the events say, each event sums to zero, and at rest nothing is reserved."""
    there = list(found)
    wanted, counted = Counter(expected), Counter(there)
    for entry in [*(wanted - counted).keys(), *(counted - wanted).keys()]:
        told = f"#{entry.sequence} {entry.account}: the view budget_entries is not what the log gives"
        yield Violation(invariant="I6", subject=entry.session_id, message=told)
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    reserved: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for entry in there:
        for totals, key in ((sums, entry.event_id), (reserved, entry.session_id)):
            if totals is sums or entry.account == "reserved":
                totals[key][0] += entry.tokens
                totals[key][1] += entry.nanodollars
    for event_id, totals_ in sums.items():
        if totals_ != [0, 0]:
            told = f"the entries of one event sum to {totals_[0]} tokens and {totals_[1]} nanodollars"
            yield Violation(invariant="I6", subject=event_id, message=told)
    for session_id, totals_ in reserved.items():
        if totals_ != [0, 0]:
            told = f"{totals_[0]} tokens and {totals_[1]} nanodollars stay reserved"
            yield Violation(invariant="I6", subject=session_id, message=told)


def _postings(fact: object) -> list[tuple[str, int, int]]:
    match fact:
        case BudgetGranted(scope="session") as granted:
            tokens = granted.tokens - granted.tokens_before
            money = granted.nanodollars - granted.nanodollars_before
            return [("granted", -tokens, -money), ("available", tokens, money)]
        case ModelCallRequested() | ToolCallRequested() as call if call.reserved_tokens > 0:
            tokens, money = call.reserved_tokens, call.reserved_nanodollars
            return [("available", -tokens, -money), ("reserved", tokens, money)]
        case BudgetCharged() as charged:
            return [
                (
                    "reserved",
                    -charged.tokens - charged.tokens_released,
                    -charged.nanodollars - charged.nanodollars_released,
                ),
                ("used", charged.tokens, charged.nanodollars),
                ("available", charged.tokens_released, charged.nanodollars_released),
            ]
        case _:
            return []
