"""Who may use the front door: the facts of `access.tokens`."""

from dataclasses import dataclass
from typing import Final

from schemas.privacy import Impersonal, Personal
from schemas.words import Word

TOKEN_PREFIX: Final = "ck_"  # noqa: S105  # how tokens begin is no secret
"""How tokens begin, so that scanners for leaked secrets, and people, know one when they see it."""


class Scope(Word):
    """What the bearer of a token may do."""

    SEND = "send"
    """Open sessions, and say something in them."""
    READ = "read"
    """See sessions, and follow them."""
    APPROVE = "approve"
    """Decide about tool calls that wait for a person."""
    ADMINISTER = "administer"
    """Set what sessions may use."""


class BudgetPeriod(Word):
    """For how long a token's budget is."""

    DAY = "day"
    """Of UTC; the next one has it anew."""
    MONTH = "month"
    """Likewise."""
    EVER = "ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBudget:
    """What the calls of a token's clients may use."""

    tokens: int | None = None
    """Absent: money alone counts."""
    nanodollars: int | None = None
    """In 10⁻⁹ dollars; absent: tokens alone count."""
    period: BudgetPeriod


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCreated:
    """A token was made; whoever bears it may do what it says until it expires or is revoked."""

    token_id: Impersonal
    """UUID; the token itself is written nowhere."""
    secret_sha256: Impersonal
    """SHA-256 of the token, in hexadecimal digits."""
    name: Personal
    """What it is for, in a person's words."""
    scopes: tuple[Scope, ...]
    tenant: Personal
    """The one tenant for which it is good."""
    user: Personal | None = None
    """The one user of the tenant for whom it is good; absent: all of them."""
    expires_at_ms: int | None = None
    """Milliseconds since 1970, UTC; absent: never."""
    budget: TokenBudget | None = None
    """Absent: its calls use what limits.toml lets a session use, anew each day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRevoked:
    """A token is good for nothing from now on, and what it holds open is closed."""

    token_id: Impersonal


AccessFact = TokenCreated | TokenRevoked
