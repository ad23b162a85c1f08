"""The account decider: users and tenants lend budgets to sessions, and never more than they have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from processors.behaviour import stamped
from processors.decider import Step, Timer
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.accounts import (
    AccountFact,
    AccountLimits,
    LeaseGranted,
    LeaseRefused,
    LeaseRequested,
    LeaseReturned,
    LeaseSettled,
)
from schemas.frozen import replace
from schemas.ids import event_id_of
from schemas.plain import encoded, from_plain
from schemas.references import RecordReference

PRODUCER: Final = "account-shell"
CLOSED_MAX: Final = 512
"""Requests that have no lease, or none any more, by which repeats of them are known."""
NO_LIMIT: Final = 2**62
"""Of what does not count in a token's account: more than all its leases together."""
CLOSED_CHARACTERS: Final = 13
"""Of each id; a false match among so few has a chance below one in 10⁹."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What one session was lent."""

    tokens: int
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """One account: what its sessions have used, and what they hold."""

    account_id: str
    tokens_used: int = 0
    nanodollars_used: int = 0
    leases: Mapping[str, Lease] = field(default_factory=dict)
    """By lease id."""
    limits: AccountLimits | None = None
    """Of a token's account; None: the configuration says what the account may lend."""
    ended_at_ms: int | None = None
    """When the last lease of a day or month that is over came back."""
    closed: tuple[str, ...] = ()
    """Shortened ids of the latest leases that were refused, returned or made larger ones, oldest first."""


class AccountDecider:
    """Decides for accounts by one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        """Take the configuration; it does not change."""
        self.configuration = stamped(configuration)

    def initial(self, key: str) -> AccountState:
        """Return an account that has lent nothing."""
        return AccountState(account_id=key)

    def advance(self, state: AccountState, event: Envelope, source: RecordReference) -> Step[AccountState]:
        """Grant, refuse or settle a lease."""
        match event.body:
            case LeaseRequested():
                state, fact = self._requested(state, event.body)
            case LeaseReturned():
                state, fact = self._returned(state, event.body)
                state = _ended(state, event.occurred_at_ms)
            case _:
                return Step(state=state, events=())
        if fact is None:
            return Step(state=state, events=())
        answer = replace(
            event,
            event_id=event_id_of(event.event_id, 0),
            type=type(fact).__name__,
            sequence=0,
            causation_id=event.event_id,
            evidence_ids=(),
            producer=PRODUCER,
            versions=self.configuration.versions,
            source=f"{source.topic}/{source.partition}/{source.offset}",
            state_digest=None,
            body=fact,
        )
        return Step(state=state, events=(answer,))

    def timers(self, state: AccountState) -> tuple[Timer, ...]:
        """Accounts wait for nothing."""
        return ()

    def mark(self, state: AccountState, event: Envelope) -> None:
        """Requests are known by their leases."""

    def ended_at_ms(self, state: AccountState) -> int | None:
        """Return when the day or month of a token's account was over; all others go on for ever."""
        return state.ended_at_ms

    def encode(self, state: AccountState) -> bytes:
        """Write a state as JSON."""
        return encoded(state)

    def decode(self, data: bytes) -> AccountState:
        """Read a state."""
        return from_plain(AccountState, orjson.loads(data))

    def _requested(
        self, state: AccountState, body: LeaseRequested
    ) -> tuple[AccountState, AccountFact | None]:
        # A request that is repeated was answered, and its answer stands on the log. To answer anew would lend
        # a second time to a session that was refused, or that has returned what it was lent.
        if body.lease_id in state.leases or _mark(body.lease_id) in state.closed:
            return state, None
        state = replace(state, limits=body.limits or state.limits, ended_at_ms=None)
        tokens_left, nanodollars_left = self._left(state)
        lease = Lease(
            tokens=max(0, min(body.tokens, tokens_left)),
            nanodollars=max(0, min(body.nanodollars, nanodollars_left)),
        )
        if reason := _objection(state, body, lease):
            refused = LeaseRefused(
                lease_id=body.lease_id,
                account_id=state.account_id,
                reason=reason,
                leases_out=len(state.leases),
            )
            return _closed(state, body.lease_id), refused
        if body.tops_up is None:
            state = replace(state, leases={**state.leases, body.lease_id: lease})
        else:
            had = state.leases[body.tops_up]
            both = Lease(tokens=had.tokens + lease.tokens, nanodollars=had.nanodollars + lease.nanodollars)
            # The request is known by its mark, for it has no lease of its own.
            state = _closed(replace(state, leases={**state.leases, body.tops_up: both}), body.lease_id)
        granted = LeaseGranted(
            lease_id=body.lease_id,
            account_id=body.account_id,
            tokens=lease.tokens,
            nanodollars=lease.nanodollars,
        )
        return state, granted

    def _returned(self, state: AccountState, body: LeaseReturned) -> tuple[AccountState, AccountFact | None]:
        if body.lease_id not in state.leases:
            return state, None
        leases = {key: lease for key, lease in state.leases.items() if key != body.lease_id}
        state = replace(
            _closed(state, body.lease_id),
            leases=leases,
            tokens_used=state.tokens_used + body.tokens_used,
            nanodollars_used=state.nanodollars_used + body.nanodollars_used,
        )
        tokens_left, nanodollars_left = self._left(state)
        return state, LeaseSettled(
            lease_id=body.lease_id,
            account_id=state.account_id,
            tokens_left=tokens_left,
            nanodollars_left=nanodollars_left,
        )

    def _left(self, state: AccountState) -> tuple[int, int]:
        limits, own = self.configuration.limits, state.limits
        tokens = limits.account_tokens if own is None else _or_any(own.tokens)
        nanodollars = limits.account_nanodollars if own is None else _or_any(own.nanodollars)
        tokens -= state.tokens_used
        nanodollars -= state.nanodollars_used
        return (
            tokens - sum(lease.tokens for lease in state.leases.values()),
            nanodollars - sum(lease.nanodollars for lease in state.leases.values()),
        )


def _objection(state: AccountState, body: LeaseRequested, lease: Lease) -> str:
    """Say why nothing is lent; empty when something is."""
    if body.tops_up is not None and body.tops_up not in state.leases:
        return "the lease that it tops up has been returned"
    # A first lease is of no use without either; more of one alone is asked for and got without the other.
    lacks = body.tokens > 0 >= lease.tokens or body.nanodollars > 0 >= lease.nanodollars
    if lacks or (lease.tokens == 0 and lease.nanodollars == 0):
        return f"the account {state.account_id} has nothing left to lend"
    return ""


def _or_any(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit


def _ended(state: AccountState, now_ms: int) -> AccountState:
    ends_at_ms = None if state.limits is None else state.limits.ends_at_ms
    if ends_at_ms is None or state.leases or now_ms < ends_at_ms:
        return state
    return replace(state, ended_at_ms=now_ms)


def _closed(state: AccountState, lease_id: str) -> AccountState:
    return replace(state, closed=(*state.closed, _mark(lease_id))[-CLOSED_MAX:])


def _mark(lease_id: str) -> str:
    return lease_id.replace("-", "")[-CLOSED_CHARACTERS:]
