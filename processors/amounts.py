"""A session's budget in words that a person understands, with what can be done when it is spent."""

from decimal import Decimal

from processors.state import Budget, SessionState
from schemas.configuration import Limits

NANODOLLARS = 1_000_000_000


def in_words(tokens: int, nanodollars: int) -> str:
    """Write an amount of both: 20,000 tokens and $0.50."""
    dollars = Decimal(nanodollars) / NANODOLLARS
    return (
        f"{tokens:,} tokens and ${dollars:,.2f}"
        if dollars == round(dollars, 2)
        else (f"{tokens:,} tokens and ${dollars.normalize():f}")
    )


def nanodollars_of(dollars: float, *, least: int = 1) -> int:
    """Return an amount as events have it: in whole nanodollars, and at least `least` of them.

    Args:
        dollars: finite.
        least: 1, so that a tiny budget is not taken for none.
    """
    return max(least, round(dollars * NANODOLLARS))


def held(budget: Budget) -> tuple[int, int]:
    """Return the tokens and the nanodollars that are used or reserved."""
    return (
        budget.tokens_granted - budget.tokens_left,
        budget.nanodollars_granted - budget.nanodollars_left,
    )


def what_to_do(state: SessionState, short_of: str, limits: Limits) -> str:
    """Say how a person gets more than a spent budget allowed.

    Args:
        state: of the session.
        short_of: what the turn ran short of, as in Turn.
        limits: by which sessions are granted budgets.
    """
    match short_of:
        case "task":
            return (
                "A task reached the most that one task may use: ask for less at once, or raise "
                "task_budget_tokens in limits.toml"
            )
        case "window":
            return "The request is longer than any configured model can read: send a shorter one"
        case "money":
            dollars = Decimal(_raised(state.budget.nanodollars_granted, limits.session_budget_nanodollars))
            raised = f"--dollars {(dollars / NANODOLLARS).normalize():f}"
        case _:
            raised = f"--tokens {_raised(state.budget.tokens_granted, limits.session_budget_tokens)}"
    budget = state.budget
    used = in_words(*held(budget))
    granted = in_words(budget.tokens_granted, budget.nanodollars_granted)
    return (
        f"The session has used or reserved {used} of its {granted}. Have its budget raised, for example by "
        f"`cartrita budget {state.session_id} {raised}`, and send the message again"
    )


def _raised(granted: int, usual: int) -> int:
    return usual if granted < usual else 2 * granted
