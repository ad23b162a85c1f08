"""The account decider: users and tenants lend budgets to sessions, and never more than they have."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from processors.decider import Step, Timer
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.accounts import (
    AccountFact,
    LeaseGranted,
    LeaseRefused,
    LeaseRequested,
    LeaseReturned,
    LeaseSettled,
)
from schemas.ids import event_id_of
from schemas.plain import from_plain
from schemas.references import RecordReference

PRODUCER: Final = "account-shell"


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


class AccountDecider:
    """Decides for accounts by one configuration."""

    def __init__(self, configuration: Configuration) -> None:
        """Take the configuration; it does not change."""
        self.configuration = configuration

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

    def ended_at_ms(self, state: AccountState) -> int | None:
        """Accounts do not end."""
        return None

    def encode(self, state: AccountState) -> bytes:
        """Write a state as JSON."""
        return orjson.dumps(state)

    def decode(self, data: bytes) -> AccountState:
        """Read a state."""
        return from_plain(AccountState, orjson.loads(data))

    def _requested(
        self, state: AccountState, body: LeaseRequested
    ) -> tuple[AccountState, AccountFact | None]:
        if body.lease_id in state.leases:
            lease = state.leases[body.lease_id]
            return state, self._granted(body, lease)
        tokens_left, nanodollars_left = self._left(state)
        lease = Lease(
            tokens=min(body.tokens, tokens_left), nanodollars=min(body.nanodollars, nanodollars_left)
        )
        if lease.tokens <= 0 or lease.nanodollars <= 0:
            reason = f"the account {state.account_id} has nothing left to lend"
            return state, LeaseRefused(lease_id=body.lease_id, account_id=state.account_id, reason=reason)
        state = replace(state, leases={**state.leases, body.lease_id: lease})
        return state, self._granted(body, lease)

    def _returned(self, state: AccountState, body: LeaseReturned) -> tuple[AccountState, AccountFact | None]:
        if body.lease_id not in state.leases:
            return state, None
        leases = {key: lease for key, lease in state.leases.items() if key != body.lease_id}
        state = replace(
            state,
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

    def _granted(self, body: LeaseRequested, lease: Lease) -> LeaseGranted:
        return LeaseGranted(
            lease_id=body.lease_id,
            account_id=body.account_id,
            tokens=lease.tokens,
            nanodollars=lease.nanodollars,
        )

    def _left(self, state: AccountState) -> tuple[int, int]:
        limits = self.configuration.limits
        tokens = limits.account_tokens - state.tokens_used
        nanodollars = limits.account_nanodollars - state.nanodollars_used
        return (
            tokens - sum(lease.tokens for lease in state.leases.values()),
            nanodollars - sum(lease.nanodollars for lease in state.leases.values()),
        )
