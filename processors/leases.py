"""A session's budget: what it opens with, what its account lends, and what an operator makes of it."""

from processors import cancellation
from processors.amounts import held, in_words
from processors.budgets import share_left
from processors.memory.imported import kept_for
from processors.state import BudgetWish, SessionStatus
from processors.transition import Transition
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested
from schemas.events.budgets import BudgetGranted, BudgetScope
from schemas.events.inputs import SessionBudgetSet
from schemas.events.outputs import EndReason, ErrorCode, ErrorReported, NoticeCode, NoticeGiven, SessionEnded
from schemas.frozen import replace
from schemas.ids import derived_id


def open_session(transition: Transition, budget_tokens: int | None, budget_nanodollars: int | None) -> None:
    """Open a new session, with its account's lease where accounts are limited."""
    limits = transition.configuration.limits
    event = transition.event
    leases = limits.account_tokens > 0
    # Who names no budget leaves something to the account's other sessions.
    share = limits.account_session_share if leases else 1.0
    tokens, nanodollars = limits.session_budget_tokens, limits.session_budget_nanodollars
    if leases:
        tokens = min(tokens, int(limits.account_tokens * share))
        nanodollars = min(nanodollars, int(limits.account_nanodollars * share))
    tokens = max(1, tokens if budget_tokens is None else budget_tokens)
    nanodollars = max(1, nanodollars if budget_nanodollars is None else budget_nanodollars)
    lease_id = derived_id(transition.state.session_id, "lease")
    transition.state = replace(
        transition.state,
        status=SessionStatus.LEASING if leases else SessionStatus.OPEN,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        lease_id=lease_id if leases else None,
        imported=kept_for(transition.state, event),
    )
    if not leases:
        grant(transition, tokens, nanodollars)
        return
    transition.emit(
        LeaseRequested(
            lease_id=lease_id,
            account_id=cancellation.account_of(transition.state),
            tokens=tokens,
            nanodollars=nanodollars,
        )
    )


def ignore_budget(transition: Transition, budget_tokens: int | None, budget_nanodollars: int | None) -> None:
    """Tell that an input's budget does not count, since the session has one."""
    budget = transition.budget
    if budget_tokens in (None, budget.tokens_granted) and budget_nanodollars in (
        None,
        budget.nanodollars_granted,
    ):
        return
    state = transition.state
    kept = (
        f"the session keeps {in_words(budget.tokens_granted, budget.nanodollars_granted)}"
        if state.status is not SessionStatus.LEASING
        else "the session has asked for its own"
    )
    _notice(
        transition,
        NoticeCode.BUDGET_IGNORED,
        "the budget that came with this input is ignored, for only the input that opens a session can set "
        f"it; {kept}. An operator can change it: cartrita budget {state.session_id}",
        transition.event.event_id,
    )


def budget_set(transition: Transition, body: SessionBudgetSet) -> None:
    """Set what the session may use; what its account has not lent it yet is asked for first."""
    state = transition.state
    if state.status is SessionStatus.NEW:
        transition.refuse(ErrorCode.UNKNOWN_SESSION, "there is no such session")
        return
    before = state.wish
    wish = BudgetWish(
        input_id=transition.event.event_id,
        tokens=body.tokens if body.tokens is not None or before is None else before.tokens,
        nanodollars=body.nanodollars
        if body.nanodollars is not None or before is None
        else before.nanodollars,
        lease_id=before.lease_id if before is not None else None,
        tokens_asked=before.tokens_asked if before is not None else 0,
        nanodollars_asked=before.nanodollars_asked if before is not None else 0,
    )
    if state.status is SessionStatus.LEASING:
        transition.state = replace(state, wish=wish)
        return
    _apply(transition, wish, ask=True)


def lease_granted(transition: Transition, body: LeaseGranted) -> None:
    """Take the budget that the account lent, and what an operator made of it meanwhile."""
    state = transition.state
    wish = state.wish
    if state.status is SessionStatus.LEASING and state.lease_id == body.lease_id:
        transition.state = replace(
            state,
            status=SessionStatus.OPEN,
            leased_tokens=body.tokens,
            leased_nanodollars=body.nanodollars,
        )
        grant(transition, body.tokens, body.nanodollars)
        if wish is not None:
            _apply(transition, wish, ask=True)
    elif wish is not None and wish.lease_id == body.lease_id:
        tokens, nanodollars = _leased(transition)
        transition.state = replace(
            state,
            leased_tokens=tokens + body.tokens,
            leased_nanodollars=nanodollars + body.nanodollars,
        )
        # Who got less than was asked for gets no more by asking again.
        in_full = body.tokens >= wish.tokens_asked and body.nanodollars >= wish.nanodollars_asked
        _apply(transition, replace(wish, lease_id=None), ask=in_full)


def lease_refused(transition: Transition, body: LeaseRefused) -> None:
    """End a session whose account has nothing left; one that asked for more keeps what it has."""
    state = transition.state
    wish = state.wish
    if wish is not None and wish.lease_id == body.lease_id:
        transition.state = replace(state, wish=None)
        kept = in_words(transition.budget.tokens_granted, transition.budget.nanodollars_granted)
        message = f"the budget cannot be raised: {body.reason}; the session keeps {kept}"
        transition.emit(ErrorReported(code=ErrorCode.LEASE_REFUSED, message=message, input_id=wish.input_id))
        return
    if state.status is not SessionStatus.LEASING or state.lease_id != body.lease_id:
        return
    transition.refuse(ErrorCode.LEASE_REFUSED, body.reason)
    transition.emit(SessionEnded(reason=EndReason.LEASE_REFUSED, turns=0, tokens=0, cost_nanodollars=0))
    transition.state = replace(
        transition.state,
        status=SessionStatus.ENDED,
        ended_at_ms=transition.now_ms,
        queue=(),
        lease_id=None,
        wish=None,
    )


def _apply(transition: Transition, wish: BudgetWish, *, ask: bool) -> None:
    """Grant as much of a wish as can be now, and ask the account for the rest."""
    budget = transition.budget
    tokens = budget.tokens_granted if wish.tokens is None else wish.tokens
    nanodollars = budget.nanodollars_granted if wish.nanodollars is None else wish.nanodollars
    tokens_lent, nanodollars_lent = _leased(transition)
    tokens_held, nanodollars_held = held(budget)
    is_leased = transition.state.lease_id is not None
    tokens_now = max(min(tokens, tokens_lent) if is_leased else tokens, tokens_held)
    nanodollars_now = max(min(nanodollars, nanodollars_lent) if is_leased else nanodollars, nanodollars_held)
    if (tokens_now, nanodollars_now) != (budget.tokens_granted, budget.nanodollars_granted):
        grant(transition, tokens_now, nanodollars_now)
    if wish.lease_id is not None:
        # The account has still to answer; then all that is wished for by then is looked at again.
        transition.state = replace(transition.state, wish=wish)
        return
    more = max(0, tokens - tokens_lent), max(0, nanodollars - nanodollars_lent)
    if is_leased and ask and any(more):
        _ask_for_more(transition, wish, *more)
        return
    transition.state = replace(transition.state, wish=None)
    why = ""
    if tokens_now < tokens or nanodollars_now < nanodollars:
        why = ", for its account has no more to lend"
    elif tokens_now > tokens or nanodollars_now > nanodollars:
        why = ", which is used or reserved already, and the least that it can be"
    message = f"the session's budget is now {in_words(tokens_now, nanodollars_now)}{why}"
    _notice(transition, NoticeCode.BUDGET_SET, message, wish.input_id)


def _ask_for_more(transition: Transition, wish: BudgetWish, tokens: int, nanodollars: int) -> None:
    lease_id = transition.new_id("lease")
    asked = replace(wish, lease_id=lease_id, tokens_asked=tokens, nanodollars_asked=nanodollars)
    transition.state = replace(transition.state, wish=asked)
    transition.emit(
        LeaseRequested(
            lease_id=lease_id,
            account_id=cancellation.account_of(transition.state),
            tokens=tokens,
            nanodollars=nanodollars,
            tops_up=transition.state.lease_id,
        )
    )


def _leased(transition: Transition) -> tuple[int, int]:
    """Return what the account has lent; sessions from before that was kept were granted all of it."""
    state = transition.state
    return (
        max(state.leased_tokens, state.budget.tokens_granted),
        max(state.leased_nanodollars, state.budget.nanodollars_granted),
    )


def grant(transition: Transition, tokens: int, nanodollars: int) -> None:
    """Let the session use so much in all."""
    limits = transition.configuration.limits
    before = transition.budget
    budget = replace(before, tokens_granted=tokens, nanodollars_granted=nanodollars)
    still_low = 1 - share_left(budget) >= limits.warning_share
    transition.budget = budget = replace(budget, warned=budget.warned and still_low)
    if transition.state.turn is not None:
        transition.turn = replace(
            transition.turn,
            synthesis_tokens=int(max(0, budget.tokens_left) * limits.synthesis_share),
            synthesis_nanodollars=int(max(0, budget.nanodollars_left) * limits.synthesis_share),
        )
    transition.emit(
        BudgetGranted(
            scope=BudgetScope.SESSION,
            scope_id=transition.state.session_id,
            tokens=tokens,
            nanodollars=nanodollars,
            tokens_before=before.tokens_granted,
            nanodollars_before=before.nanodollars_granted,
        )
    )


def _notice(transition: Transition, code: NoticeCode, message: str, input_id: str) -> None:
    transition.emit(NoticeGiven(code=code, message=message, input_id=input_id))
