"""What is granted, held and spent: the facts of `budget.events`.

A call's reservation is part of its request (ModelCallRequested, ToolCallRequested): the most that it can use
is set aside by the event that asks for it. One BudgetCharged with the call's id settles it.
"""

from dataclasses import dataclass

from schemas.privacy import Impersonal
from schemas.words import Word


class BudgetScope(Word):
    """Whose budget it is."""

    SESSION = "session"
    TASK = "task"


class ChargeBasis(Word):
    """What a charge rests on."""

    USAGE = "usage"
    """What the call is known to have used."""
    RESERVATION = "reservation"
    """The bill is not known, so that the whole reservation counts as used."""


class DownshiftCause(Word):
    """Why a call goes to another model than was wished for."""

    TOKENS = "tokens"
    """So little is left that the call may take only a share of the tokens."""
    MONEY = "money"
    """The same of the money."""
    WINDOW = "window"
    """The prompt and its answer do not fit the wished model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetGranted:
    """A session may use so much in all; what was granted before counts no more.

    What a task may use of it stands in its TaskCreated.
    """

    scope: BudgetScope
    """Always the session."""
    scope_id: Impersonal
    tokens: int
    nanodollars: int
    tokens_before: int = 0
    """What it might use until now; 0 as it opens."""
    nanodollars_before: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetCharged:
    """A reservation was settled: what was used is charged, and the rest is released."""

    reservation_id: Impersonal
    """The call's id."""
    task_id: Impersonal
    model: Impersonal
    """The model that was called, or tool:<name>."""
    tokens: int
    nanodollars: int
    tokens_released: int
    """Negative when the provider billed more than was reserved."""
    nanodollars_released: int
    basis: ChargeBasis
    session_tokens_left: int
    session_nanodollars_left: int
    task_tokens_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationExceeded:
    """A call used more than was set aside for it; all of it is charged, and somebody should look why."""

    reservation_id: Impersonal
    """The call's id."""
    task_id: Impersonal
    model: Impersonal
    """As in BudgetCharged, which comes before."""
    tokens_reserved: int
    tokens_used: int
    nanodollars_reserved: int
    nanodollars_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetWarned:
    """A session has used or reserved the warning share of its budget; said once, and again after a raise."""

    share_used: float
    """0 to 1; of tokens or of money, whichever is more."""
    session_tokens_left: int
    session_nanodollars_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetDownshifted:
    """A call goes to another model than its purpose asks for: the cheapest that it fits.

    A PolicyDecided by the rule budget_downshift tells the same with what the session had left.
    """

    reservation_id: Impersonal
    task_id: Impersonal
    from_model: Impersonal
    to_model: Impersonal
    share_left: float
    """0 to 1; of tokens or of money, whichever is less."""
    limited_by: DownshiftCause | None = None
    """Why; absent in events of before it was told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetExhausted:
    """A call could not be admitted: not even the cheapest model's smallest useful call fits.

    A PolicyDecided by the rule budget_exhausted tells the same with what the session had left.
    """

    scope: BudgetScope
    """Whose budget is too small."""
    scope_id: Impersonal
    purpose: Impersonal
    """What the call is for, as in ModelCallRequested, or tool:<name>."""
    needed_tokens: int
    needed_nanodollars: int
    tokens_left: int
    nanodollars_left: int


BudgetFact = (
    BudgetGranted | BudgetCharged | BudgetWarned | BudgetDownshifted | BudgetExhausted | ReservationExceeded
)
