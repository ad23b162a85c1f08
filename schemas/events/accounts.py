"""Budgets above the session: the facts of `account.requests` and `account.events`.

Both topics are keyed by account; what an account answers reaches its session through `account.events`
keyed by the session.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequested:
    """A session asks its account for a budget."""

    lease_id: str
    account_id: str
    """tenant/user."""
    tokens: int
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseReturned:
    """A session ended and gives back what it did not use."""

    lease_id: str
    account_id: str
    tokens_used: int
    nanodollars_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """The account set a budget aside for a session."""

    lease_id: str
    account_id: str
    tokens: int
    """At most what was asked; less when the account has less."""
    nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRefused:
    """The account has nothing left."""

    lease_id: str
    account_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettled:
    """A returned lease was booked."""

    lease_id: str
    account_id: str
    tokens_left: int
    """What the account has left to lease."""
    nanodollars_left: int


AccountRequestFact = LeaseRequested | LeaseReturned
AccountFact = LeaseGranted | LeaseRefused | LeaseSettled
