"""The budget decider: reserve the most that a call can use, charge what it used, release the rest.

Money and tokens are integers, and a call is admitted (`processors/routing.py`) only if its whole reservation
fits what is left, so that no order of outcomes can overspend.
"""

from dataclasses import dataclass
from typing import Final

from processors.decisions import tell_decision
from processors.outcomes import Outcome, is_maybe_billed, used
from processors.policy.decide import Verdict
from processors.routing import Admission, Refusal, Wish, share_left
from processors.state import TOOL_PREFIX, Reservation, ToolCallStatus
from processors.transition import Transition
from schemas.events.budgets import (
    BudgetCharged,
    BudgetDownshifted,
    BudgetExhausted,
    BudgetScope,
    BudgetWarned,
    ChargeBasis,
    DownshiftCause,
    ReservationExceeded,
)
from schemas.events.policies import Decision
from schemas.frozen import replace

DOWNSHIFT_RULE: Final = "budget_downshift"
EXHAUSTED_RULE: Final = "budget_exhausted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """What can still be reserved once a call's reservation is made."""

    session_tokens: int
    session_nanodollars: int
    task_tokens: int


def reserve(transition: Transition, call_id: str, reservation: Reservation) -> Left:
    """Set aside the most that a call can use; the event that asks for the call tells of it."""
    budget = transition.budget
    budget = replace(budget, reservations={**budget.reservations, call_id: reservation})
    assert budget.tokens_left >= 0
    assert budget.nanodollars_left >= 0
    transition.budget = budget
    share_used = 1 - share_left(budget)
    if not budget.warned and share_used >= transition.configuration.limits.warning_share:
        transition.budget = replace(budget, warned=True)
        transition.emit(
            BudgetWarned(
                share_used=share_used,
                session_tokens_left=budget.tokens_left,
                session_nanodollars_left=budget.nanodollars_left,
            )
        )
    return what_is_left(transition, reservation.task_id)


def what_is_left(transition: Transition, task_id: str) -> Left:
    """Return what can be reserved now, for a task and in all."""
    budget = transition.budget
    return Left(
        session_tokens=budget.tokens_left,
        session_nanodollars=budget.nanodollars_left,
        task_tokens=task_tokens_left(transition, task_id),
    )


def reserve_model_call(transition: Transition, call_id: str, wish: Wish, admission: Admission) -> Left:
    """Set aside what a model call can use, and tell when it is a cheaper one than was wished for."""
    if admission.model != admission.preferred:
        _tell_downshift(transition, call_id, wish, admission)
    reservation = Reservation(
        task_id=wish.task_id,
        model=admission.model.name,
        tokens=admission.tokens,
        nanodollars=admission.nanodollars,
    )
    return reserve(transition, call_id, reservation)


def _tell_downshift(transition: Transition, call_id: str, wish: Wish, admission: Admission) -> None:
    left = share_left(transition.budget)
    wished, taken = admission.preferred.name, admission.model.name
    transition.emit(
        BudgetDownshifted(
            reservation_id=call_id,
            task_id=wish.task_id,
            from_model=wished,
            to_model=taken,
            share_left=left,
            limited_by=admission.limited_by,
        )
    )
    why = (
        f"the prompt does not fit the window of {wished}"
        if admission.limited_by is DownshiftCause.WINDOW
        else f"with {left:.0%} of the budget left the call takes too much of the {admission.limited_by}"
    )
    tell_decision(
        transition,
        Verdict(decision=Decision.AUDIT, rule=DOWNSHIFT_RULE, reason=f"{taken} in place of {wished}: {why}"),
        call_id=call_id,
        task_id=wish.task_id,
        agent=wish.agent,
        tokens=admission.tokens,
        nanodollars=admission.nanodollars,
        request={"purpose": wish.purpose, "from_model": wished, "to_model": taken},
    )


def settle(transition: Transition, outcome: Outcome) -> Reservation | None:
    """Charge a call's outcome and release the rest of its reservation.

    Returns the reservation, or None when there is none: the outcome was settled before, or is of a call that
    uses nothing. An outcome that may be billed beyond what is known is charged in full.
    """
    tokens, nanodollars = used(outcome)
    reservation = transition.budget.reservations.get(outcome.call_id)
    if reservation is None and (tokens or nanodollars):
        reservation = _nothing_reserved(transition, outcome)
    if reservation is None:
        return None
    basis = ChargeBasis.USAGE
    if is_maybe_billed(outcome):
        tokens = max(tokens, reservation.tokens)
        nanodollars = max(nanodollars, reservation.nanodollars)
        basis = ChargeBasis.RESERVATION
    others = {key: held for key, held in transition.budget.reservations.items() if key != outcome.call_id}
    transition.budget = replace(
        transition.budget,
        reservations=others,
        tokens_used=transition.budget.tokens_used + tokens,
        nanodollars_used=transition.budget.nanodollars_used + nanodollars,
    )
    _charge_turn(transition, reservation.task_id, tokens, nanodollars)
    transition.emit(
        BudgetCharged(
            reservation_id=outcome.call_id,
            task_id=reservation.task_id,
            model=reservation.model,
            tokens=tokens,
            nanodollars=nanodollars,
            tokens_released=reservation.tokens - tokens,
            nanodollars_released=reservation.nanodollars - nanodollars,
            basis=basis,
            session_tokens_left=transition.budget.tokens_left,
            session_nanodollars_left=transition.budget.nanodollars_left,
            task_tokens_left=task_tokens_left(transition, reservation.task_id),
        )
    )
    if tokens > reservation.tokens or nanodollars > reservation.nanodollars:
        transition.emit(
            ReservationExceeded(
                reservation_id=outcome.call_id,
                task_id=reservation.task_id,
                model=reservation.model,
                tokens_reserved=reservation.tokens,
                tokens_used=tokens,
                nanodollars_reserved=reservation.nanodollars,
                nanodollars_used=nanodollars,
            )
        )
    return reservation


def _nothing_reserved(transition: Transition, outcome: Outcome) -> Reservation | None:
    """Return the empty reservation of a tool that should have used nothing, while its task waits for it."""
    found = transition.turn.tool_call(outcome.call_id) if transition.state.turn else None
    if found is None or found[1].status is not ToolCallStatus.REQUESTED:
        return None
    task, call = found
    return Reservation(task_id=task.task_id, model=TOOL_PREFIX + call.proposed.name, tokens=0, nanodollars=0)


def task_tokens_left(transition: Transition, task_id: str) -> int:
    """Return what a task may still reserve; the root task's bound is the session's."""
    budget = transition.budget
    task = transition.state.turn.tasks.get(task_id) if transition.state.turn else None
    if task is None:
        return budget.tokens_left
    held = sum(held.tokens for held in budget.reservations.values() if held.task_id == task_id)
    return task.budget_tokens - task.tokens_used - held


def exhausted(transition: Transition, wish: Wish, refusal: Refusal, scope_id: str) -> str:
    """Tell that a model call cannot be afforded; returns the event's id."""
    tell_decision(
        transition,
        Verdict(
            decision=Decision.DENY,
            rule=EXHAUSTED_RULE,
            reason=f"the {refusal.scope} has too little left: the call takes at least "
            f"{refusal.needed_tokens} tokens and {refusal.needed_nanodollars} nanodollars",
        ),
        call_id="",
        task_id=wish.task_id,
        agent=wish.agent,
        request={"purpose": wish.purpose, "tier": wish.tier},
    )
    transition.turn = replace(transition.turn, short_of=_short_of(wish, refusal))
    tokens_left = wish.tokens_left if refusal.scope is BudgetScope.SESSION else wish.task_tokens_left or 0
    return transition.emit(
        BudgetExhausted(
            scope=refusal.scope,
            scope_id=scope_id,
            purpose=wish.purpose,
            needed_tokens=refusal.needed_tokens,
            needed_nanodollars=refusal.needed_nanodollars,
            tokens_left=tokens_left,
            nanodollars_left=wish.nanodollars_left,
        )
    )


def _short_of(wish: Wish, refusal: Refusal) -> str:
    if refusal.scope is BudgetScope.TASK:
        return "task"
    if refusal.needed_tokens > wish.tokens_left:
        return "tokens"
    return "money" if refusal.needed_nanodollars > wish.nanodollars_left else "window"


def _charge_turn(transition: Transition, task_id: str, tokens: int, nanodollars: int) -> None:
    if transition.state.turn is None:
        return
    turn = transition.turn
    # A late bill of an earlier turn's task is the session's, but not this turn's.
    if task_id != turn.root_task_id and task_id not in turn.tasks:
        return
    transition.turn = replace(
        turn,
        tokens_used=turn.tokens_used + tokens,
        nanodollars_used=turn.nanodollars_used + nanodollars,
    )
    if task_id in turn.tasks:
        task = turn.tasks[task_id]
        transition.put(
            replace(
                task,
                tokens_used=task.tokens_used + tokens,
                nanodollars_used=task.nanodollars_used + nanodollars,
            )
        )
