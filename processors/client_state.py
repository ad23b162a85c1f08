"""What a session of clients' single calls knows of them, and of the account that pays for them."""

from dataclasses import dataclass
from enum import StrEnum

from processors.provenance import UNNOTED, Provenance
from schemas.events.accounts import AccountLimits
from schemas.references import RecordReference


class ClientCallStatus(StrEnum):
    """Where a client's call stands, until it is answered."""

    WAITING = "waiting"
    """For budget."""
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCall:
    """A client's single model call; what it says stands on the log."""

    call_id: str
    """Of the model call."""
    reference: RecordReference
    """To its ClientCallReceived; the tokens are those of the prompt."""
    status: ClientCallStatus = ClientCallStatus.WAITING
    model: str
    input_tokens: int
    """The most that its prompt can have."""
    output_tokens: int
    may_shorten: bool
    """True: the client did not say how long the answer may be."""
    body_sha256: str
    due_at_ms: int
    """When it is given up, if it still waits for budget."""
    attempt: int = 1
    requested_event_id: str = ""
    """Of its ModelCallRequested."""
    embeds: bool = False
    """True: it asks for vectors, which have no tokens."""
    made_from: Provenance = UNNOTED


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAccount:
    """The account of a token with a budget of its own, as a session of its calls knows it."""

    account_id: str
    limits: AccountLimits
    lease_id: str | None = None
    """What the session holds now, or asks for first."""
    asked: str | None = None
    """The request that is on its way."""
    tokens_before: int = 0
    """What the session had used when its lease began."""
    nanodollars_before: int = 0
    dry: bool = False
    """True: the account had nothing left when it was asked last."""
    retry_at_ms: int | None = None
    """When it is asked again, since other sessions may have returned something."""
