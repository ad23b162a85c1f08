"""Clients' calls: each has its end, is billed once and told so, and no token's budget is overspent."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.client_calls import (
    CallBudget,
    ClientAnswerFact,
    ClientCallAnswered,
    ClientCallFailed,
    ClientCallReceived,
)
from schemas.events.models import ModelCallRequested
from tests.invariants.books import used
from tests.invariants.stories import Story
from tests.invariants.violation import Violation


def asked_in(events: Iterable[Envelope]) -> dict[str, Envelope]:
    """Return the calls that clients asked for, by event id."""
    return {event.event_id: event for event in events if isinstance(event.body, ClientCallReceived)}


def told(story: Story, asked: Mapping[str, Envelope], aside: Collection[str | None]) -> Iterator[Violation]:
    """Each call of the session has one end, which says what was charged for it, or was put aside.

    Args:
        story: at rest.
        asked: all calls by event id.
        aside: the causes of what was put aside.
    """
    mine = {key: event for key, event in asked.items() if event.session_id == story.session_id}
    ends: dict[str, list[ClientAnswerFact]] = defaultdict(list)
    for event in story.events:
        if isinstance(event.body, ClientCallAnswered | ClientCallFailed):
            ends[event.body.input_id].append(event.body)
    charged = {fact.reservation_id: fact for fact in story.facts(BudgetCharged)}
    made: dict[str, list[BudgetCharged]] = defaultdict(list)
    for event in story.events:
        if isinstance(event.body, ModelCallRequested) and event.correlation_id in mine:
            made[event.correlation_id] += [charged[key] for key in (event.body.call_id,) if key in charged]
    for input_id in sorted(mine.keys() | ends.keys()):
        found = ends.get(input_id, [])
        if input_id not in mine:
            yield _broken("I4", story, f"the call {input_id} has an end, and nobody asked")
        elif not found and input_id in aside:
            continue
        elif len(found) != 1:
            invariant = "I4" if found else "I12"
            yield _broken(invariant, story, f"the call {input_id} has {len(found)} ends")
        else:
            yield from _said_what_it_cost(story, mine[input_id], found[0], made[input_id])


def _said_what_it_cost(
    story: Story, asked: Envelope, end: ClientAnswerFact, charges: Iterable[BudgetCharged]
) -> Iterator[Violation]:
    assert isinstance(asked.body, ClientCallReceived)
    counts = Counter[str]()
    for charge in charges:
        counts.update(tokens=charge.tokens, nanodollars=charge.nanodollars)
    tokens = end.input_tokens + end.output_tokens if isinstance(end, ClientCallAnswered) else end.tokens
    if (tokens, end.cost_nanodollars) != (counts["tokens"], counts["nanodollars"]):
        yield _broken(
            "I6",
            story,
            f"the call {asked.event_id} was charged {counts['tokens']} tokens and {counts['nanodollars']} "
            f"nanodollars, and its client was told {tokens} and {end.cost_nanodollars}",
        )
    if end.body_sha256 != asked.body.body_sha256:
        yield _broken("I4", story, f"the end of the call {asked.event_id} is another request's")


def within_budgets(stories: Mapping[str, Story], asked: Mapping[str, Envelope]) -> Iterator[Violation]:
    """All sessions of a token together were charged no more than it may use."""
    limits: dict[str, CallBudget] = {}
    sessions: dict[str, set[str]] = defaultdict(set)
    for event in asked.values():
        assert isinstance(event.body, ClientCallReceived)
        budget = event.body.budget
        if budget is not None:
            limits[budget.account_id] = budget
            sessions[budget.account_id].add(event.session_id)
    for account_id, budget in sorted(limits.items()):
        charges = [used(stories[one]) for one in sessions[account_id] if one in stories]
        for unit, most, charged in (
            ("tokens", budget.tokens, sum(tokens for tokens, _ in charges)),
            ("nanodollars", budget.nanodollars, sum(nanodollars for _, nanodollars in charges)),
        ):
            if most is not None and charged > most:
                yield Violation(
                    invariant="I6",
                    subject=account_id,
                    message=f"{charged} {unit} were charged, and {most} may be used",
                )


def _broken(invariant: str, story: Story, said: str) -> Violation:
    return Violation(invariant=invariant, subject=story.session_id, message=said)
