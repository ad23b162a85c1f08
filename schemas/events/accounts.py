"""Budgets above the session: the facts of `account.requests` and `account.events`.

Both topics are keyed by account; what an account answers reaches its session through `account.events`
keyed by the session.
"""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What an account may lend in all, where it is a token's own and not one of limits.toml."""

    tokens: int | None = None
    """Absent: they do not count."""
    nanodollars: int | None = None
    ends_at_ms: int | None = None
    """When its day or month is over; absent: it is for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequested:
    """A session asks its account for a budget, or for more of it."""

    lease_id: Impersonal
    account_id: Personal
    """tenant/user, or of a token with a budget of its own token:ID, with day or month."""
    tokens: int
    nanodollars: int
    tops_up: Impersonal | None = None
    """Lease that the session has and asks to be larger by so much; absent: it asks for its first one."""
    limits: AccountLimits | None = None
    """Of a token's account, as its session knows them; absent: limits.toml says them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReturned:
    """A session ended and gives back what it did not use."""

    lease_id: Impersonal
    account_id: Personal
    tokens_used: int
    nanodollars_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """The account set a budget aside for a session."""

    lease_id: Impersonal
    account_id: Personal
    tokens: int
    """At most what was asked; less when the account has less. Where it tops a lease up, what came on top."""
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRefused:
    """The account has nothing left."""

    lease_id: Impersonal
    account_id: Personal
    reason: Personal
    leases_out: int = 0
    """How many leases of the account are out, of which something may come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettled:
    """A returned lease was booked."""

    lease_id: Impersonal
    account_id: Personal
    tokens_left: int
    """What the account has left to lease."""
    nanodollars_left: int


AccountRequestFact = LeaseRequested | LeaseReturned
AccountFact = LeaseGranted | LeaseRefused | LeaseSettled
