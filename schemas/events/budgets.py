"""What is granted, held and spent: the facts of `budget.events`.

A call's reservation is part of its request (ModelCallRequested, ToolCallRequested): the most that it can use
is set aside by the event that asks for it. One BudgetCharged with the call's id settles it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetGranted:
    """A session may use so much. What a task may use of it stands in its TaskCreated."""

    scope: str
    """session."""
    scope_id: str
    tokens: int
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetCharged:
    """A reservation was settled: what was used is charged, and the rest is released."""

    reservation_id: str
    """The call's id."""
    task_id: str
    model: str
    """The model that was called, or tool:<name>."""
    tokens: int
    nanodollars: int
    tokens_released: int
    """Negative when the provider billed more than was reserved."""
    nanodollars_released: int
    basis: str
    """usage, or reservation when the bill is not known and the whole reservation counts as used."""
    session_tokens_left: int
    session_nanodollars_left: int
    task_tokens_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarned:
    """A session has used or reserved the warning share of its budget; said once a session."""

    share_used: float
    """0 to 1; of tokens or of money, whichever is more."""
    session_tokens_left: int
    session_nanodollars_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetDownshifted:
    """A call goes to another model than its purpose asks for: the cheapest that it fits.

    A PolicyDecided by the rule budget_downshift tells the same with what the session had left.
    """

    reservation_id: str
    task_id: str
    from_model: str
    to_model: str
    share_left: float
    """0 to 1; of tokens or of money, whichever is less."""
    limited_by: str = ""
    """tokens or money: so little is left that the call may take only a share of it. window: the prompt does
    not fit the wished model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetExhausted:
    """A call could not be admitted: not even the cheapest model's smallest useful call fits.

    A PolicyDecided by the rule budget_exhausted tells the same with what the session had left.
    """

    scope: str
    """session or task: whose budget is too small."""
    scope_id: str
    purpose: str
    needed_tokens: int
    needed_nanodollars: int
    tokens_left: int
    nanodollars_left: int


BudgetFact = BudgetGranted | BudgetCharged | BudgetWarned | BudgetDownshifted | BudgetExhausted
