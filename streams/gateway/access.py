"""Who may come in: tokens as the log tells of them, and passes that are made from them.

A token is 256 random bits and stands nowhere: the log has its SHA-256. So a gateway needs nothing but Kafka
to know every token, and what is revoked is known to all gateways as soon as they have read it.
"""

import base64
import hmac
import secrets
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from schemas.envelope import Envelope
from schemas.events.access import TOKEN_PREFIX, Scope, TokenBudget, TokenCreated, TokenRevoked
from schemas.ids import derived_id, is_uuid
from streams.gateway.recent import remember

TOKEN_CHARACTERS_MAX: Final = 256
PASS_CHARACTERS_MAX: Final = 256
SPENT_MAX: Final = 200_000
"""Passes of which one gateway knows that they were used."""
_SECRET_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Purpose(StrEnum):
    """What a pass that is made from a token opens."""

    TICKET = "ticket"
    """A WebSocket to one session, once."""
    LOGIN = "login"
    """The login of a browser, once."""
    BROWSER = "browser"
    """What a browser asks: its cookie."""


LIFETIME_S: Final = MappingProxyType({Purpose.TICKET: 3_600, Purpose.LOGIN: 600, Purpose.BROWSER: 43_200})
"""How long a pass is good, if its token is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """On whose behalf a request acts, and what it may do."""

    token_id: str
    tenant: str
    user: str | None
    """None: any user of the tenant."""
    scopes: frozenset[str]
    budget: TokenBudget | None = None
    """What the token's calls may use; None: it has no budget of its own."""

    @property
    def operator(self) -> str:
        """Return by what name the bearer acts as an operator."""
        return self.user or f"token:{self.token_id}"

    def may_see(self, tenant: str, user: str) -> bool:
        """Tell whether what belongs to that user may be known to the bearer at all."""
        return self.tenant == tenant and self.user in (None, user)


def mint(
    *,
    name: str,
    scopes: tuple[Scope, ...],
    tenant: str,
    user: str | None,
    lifetime_s: int | None,
    budget: TokenBudget | None = None,
) -> tuple[str, TokenCreated]:
    """Make a token, and the fact that makes it known; nobody can tell the token again."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    created = TokenCreated(
        token_id=str(uuid.uuid4()),
        secret_sha256=_digest(token),
        name=name,
        scopes=scopes,
        tenant=tenant,
        user=user,
        expires_at_ms=None if lifetime_s is None else round((time.time() + lifetime_s) * 1_000),
        budget=budget,
    )
    return token, created


class TokenBook:
    """All tokens that are good, as far as the log was read."""

    def __init__(self) -> None:
        """Know none."""
        self._by_id: dict[str, TokenCreated] = {}
        self._by_digest: dict[str, TokenCreated] = {}
        self._revoked: set[str] = set()
        self._spent: OrderedDict[str, None] = OrderedDict()

    def apply(self, event: Envelope) -> None:
        """Take in a fact of access.tokens; what was revoked stays so, in whatever order it is read."""
        fact = event.body
        if isinstance(fact, TokenRevoked):
            self._revoked.add(fact.token_id)
            gone = self._by_id.pop(fact.token_id, None)
            if gone is not None:
                self._by_digest.pop(gone.secret_sha256, None)
        elif isinstance(fact, TokenCreated) and fact.token_id not in self._revoked | self._by_id.keys():
            self._by_id[fact.token_id] = fact
            self._by_digest[fact.secret_sha256] = fact

    def bearer(self, token: str) -> Principal | None:
        """Return whom a token stands for; None: it is unknown, revoked or expired.

        It is looked up by its digest, so that the time that it takes tells nothing of other tokens.
        """
        if len(token) > TOKEN_CHARACTERS_MAX:
            return None
        return _principal(self._by_digest.get(_digest(token)))

    def holder(self, token_id: str) -> Principal | None:
        """Return whom the token of an id stands for now; None: it is not good any more."""
        return _principal(self._by_id.get(token_id))

    def tokens(self) -> tuple[TokenCreated, ...]:
        """Return all that were made and not revoked, the oldest first."""
        return tuple(self._by_id.values())

    def issue(self, purpose: Purpose, token_id: str, subject: str = "") -> str:
        """Return a pass that stands for a token, for one purpose and for as long as this one allows.

        It is signed with the token's digest, so that every gateway can tell that it is genuine.

        Args:
            purpose: what it opens.
            token_id: of the token.
            subject: which one of these; a WebSocket's session.

        Raises:
            KeyError: the token is not good any more.
        """
        until = str(int(time.time()) + LIFETIME_S[purpose])
        nonce = secrets.token_urlsafe(_NONCE_BYTES)
        made = self._by_id[token_id]
        signature = _signature(made.secret_sha256, purpose, token_id, subject, until, nonce)
        return f"{token_id}.{until}.{nonce}.{signature}"

    def calls_session(self, token_id: str, day: int) -> str:
        """Return the session of a token's single model calls of a day since 1970.

        It follows from the token's digest, so that nobody else can name it and open it before a gateway does.

        Raises:
            KeyError: the token is not good any more.
        """
        return derived_id(self._by_id[token_id].secret_sha256, "client-calls", str(day))

    def pass_holder(self, purpose: Purpose, given: str, subject: str = "") -> Principal | None:
        """Return whom a pass stands for; None: it is not genuine, too old, or was spent."""
        parts = given.split(".")
        if len(given) > PASS_CHARACTERS_MAX or len(parts) != 4 or not is_uuid(parts[0]):
            return None
        token_id, until, nonce, signature = parts
        made = self._by_id.get(token_id)
        if made is None or not (until.isascii() and until.isdecimal()):
            return None
        expected = _signature(made.secret_sha256, purpose, token_id, subject, until, nonce)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "surrogatepass")):
            return None
        if int(until) < time.time() or signature in self._spent:
            return None
        return _principal(made)

    def spend(self, given: str) -> bool:
        """Use up a genuine pass; False: it was used up before, at this gateway."""
        signature = given.rpartition(".")[2]
        if signature in self._spent:
            return False
        remember(self._spent, signature, None, SPENT_MAX)
        return True


def _principal(made: TokenCreated | None) -> Principal | None:
    if made is None or (made.expires_at_ms is not None and made.expires_at_ms <= time.time() * 1_000):
        return None
    return Principal(
        token_id=made.token_id,
        tenant=made.tenant,
        user=made.user,
        scopes=frozenset(map(str, made.scopes)),
        budget=made.budget,
    )


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _signature(key: str, *parts: str) -> str:
    digest = hmac.digest(key.encode(), "/".join(parts).encode(), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
