"""Outcomes of calls, and what they say was used."""

from typing import NamedTuple

from schemas.events.models import ModelCallCompleted, ModelCallFailed
from schemas.events.tools import ToolCallCompleted, ToolCallFailed

Outcome = ModelCallCompleted | ModelCallFailed | ToolCallCompleted | ToolCallFailed


class Used(NamedTuple):
    """What a call used."""

    tokens: int
    nanodollars: int


def used(outcome: Outcome) -> Used:
    """Return what the call used, as far as it is known."""
    match outcome:
        case ModelCallCompleted() | ModelCallFailed():
            return Used(outcome.input_tokens + outcome.output_tokens, outcome.cost_nanodollars)
        case ToolCallCompleted() | ToolCallFailed():
            return Used(outcome.used_tokens, outcome.cost_nanodollars)


def is_maybe_billed(outcome: Outcome) -> bool:
    """Tell whether more may be billed than what is known to have been used."""
    return isinstance(outcome, ModelCallFailed | ToolCallFailed) and outcome.maybe_billed


def amounts(outcome: Outcome) -> dict[str, int]:
    """Return the amounts that the outcome tells, by the names of their fields."""
    match outcome:
        case ModelCallCompleted() | ModelCallFailed():
            names = ["input_tokens", "output_tokens", "cost_nanodollars"]
        case ToolCallCompleted():
            names = ["result_tokens", "used_tokens", "cost_nanodollars"]
        case ToolCallFailed():
            names = ["used_tokens", "cost_nanodollars"]
    return {name: getattr(outcome, name) for name in names}
