"""The account of a token with a budget of its own: small leases, renewed by the sessions of its calls.

A session asks for as much as it needs now and a share of the budget, again whenever a call does not fit; what
it does not use goes back as soon as it has rested for a minute. So one session leaves something to the others
of the token, and what is spent in all never exceeds what the token may use.
"""

from typing import Final

from processors.client_state import CallAccount
from processors.leases import grant
from processors.state import SessionStatus
from processors.timers import lease_returns_at_ms
from processors.transition import Transition
from schemas.events.accounts import (
    AccountLimits,
    LeaseGranted,
    LeaseRefused,
    LeaseRequested,
    LeaseReturned,
)
from schemas.events.client_calls import CallBudget
from schemas.frozen import replace

LEASE_SHARE: Final = 20
"""A lease is asked for with a twentieth of the whole budget on top of what is needed."""
RETRY_MS: Final = 2_000
"""How long until an account that had nothing left is asked again, as long as others may return something."""
UNLIMITED: Final = 2**53 - 1


def open_session(transition: Transition, budget: CallBudget) -> None:
    """Open a session of calls that has nothing yet: its account lends it what its calls need."""
    state = transition.state
    event = transition.event
    transition.state = replace(
        state,
        status=SessionStatus.OPEN,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        account=CallAccount(
            account_id=budget.account_id,
            limits=AccountLimits(
                tokens=budget.tokens, nanodollars=budget.nanodollars, ends_at_ms=budget.ends_at_ms
            ),
        ),
        # What is lent is always nearly used up: the whole budget is the account's to watch.
        budget=replace(state.budget, warned=True),
    )
    grant(transition, 0, 0)


def may_ask(transition: Transition) -> bool:
    """Tell whether the account may have more to lend."""
    account = transition.state.account
    return account is not None and account.asked is None and not account.dry


def ask(transition: Transition, tokens: int, nanodollars: int) -> None:
    """Ask for as much as is needed, and something on top."""
    account = transition.state.account
    assert account is not None
    limits = account.limits
    asked_id = transition.new_id("lease")
    lease_id = account.lease_id or asked_id
    transition.emit(
        LeaseRequested(
            lease_id=asked_id,
            account_id=account.account_id,
            tokens=_wanted(tokens, limits.tokens, is_first=account.lease_id is None),
            nanodollars=_wanted(nanodollars, limits.nanodollars, is_first=account.lease_id is None),
            tops_up=account.lease_id,
            limits=limits,
        )
    )
    before = transition.budget
    begun = replace(
        account,
        asked=asked_id,
        lease_id=lease_id,
        tokens_before=before.tokens_used,
        nanodollars_before=before.nanodollars_used,
    )
    again = replace(account, asked=asked_id)
    transition.state = replace(transition.state, account=begun if account.lease_id is None else again)


def granted(transition: Transition, body: LeaseGranted) -> bool:
    """Take what the account lent; tells whether it was asked for."""
    account = transition.state.account
    if account is None or account.asked != body.lease_id:
        return False
    transition.state = replace(transition.state, account=replace(account, asked=None, retry_at_ms=None))
    budget = transition.budget
    grant(
        transition,
        min(UNLIMITED, budget.tokens_granted + body.tokens),
        min(UNLIMITED, budget.nanodollars_granted + body.nanodollars),
    )
    return True


def refused(transition: Transition, body: LeaseRefused) -> bool:
    """Note that the account has nothing left; tells whether it was asked."""
    account = transition.state.account
    if account is None or account.asked != body.lease_id:
        return False
    others = body.leases_out > (0 if account.lease_id in (None, body.lease_id) else 1)
    transition.state = replace(
        transition.state,
        account=replace(
            account,
            asked=None,
            # A first lease that was refused is none.
            lease_id=None if account.lease_id == body.lease_id else account.lease_id,
            dry=True,
            retry_at_ms=transition.now_ms + RETRY_MS if others else None,
        ),
    )
    return True


def look_again(transition: Transition) -> None:
    """Let the account be asked again: somebody calls anew, or others may have returned something."""
    account = transition.state.account
    if account is not None and account.dry:
        transition.state = replace(transition.state, account=replace(account, dry=False, retry_at_ms=None))


def waits_for_others(transition: Transition) -> bool:
    """Tell whether more may come: the account is being asked, or others hold what they may return."""
    account = transition.state.account
    return account is not None and (account.asked is not None or account.retry_at_ms is not None)


def due(transition: Transition) -> None:
    """Ask again when it is time, and give back what a session at rest was lent."""
    state = transition.state
    account = state.account
    if account is None:
        return
    if account.retry_at_ms is not None and account.retry_at_ms <= transition.now_ms:
        look_again(transition)
    rest_at_ms = lease_returns_at_ms(transition.state)
    if rest_at_ms is not None and rest_at_ms <= transition.now_ms:
        give_back(transition)


def give_back(transition: Transition) -> None:
    """Return the lease with what was used of it; the session has nothing left until it asks again."""
    account = transition.state.account
    assert account is not None
    assert account.lease_id is not None
    budget = transition.budget
    transition.emit(
        LeaseReturned(
            lease_id=account.lease_id,
            account_id=account.account_id,
            tokens_used=budget.tokens_used - account.tokens_before,
            nanodollars_used=budget.nanodollars_used - account.nanodollars_before,
        )
    )
    transition.state = replace(
        transition.state, account=replace(account, lease_id=None, dry=False, retry_at_ms=None)
    )
    grant(transition, budget.tokens_used, budget.nanodollars_used)


def _wanted(needed: int, limit: int | None, *, is_first: bool) -> int:
    if limit is None:
        # What does not count is lent once, and whole.
        return UNLIMITED if is_first else 0
    return min(limit, max(0, needed) + limit // LEASE_SHARE)
