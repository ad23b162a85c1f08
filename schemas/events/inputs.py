"""What people and programs ask for: the facts of `user.inputs` and `session.inputs`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A text that came with a message, named so that tools can refer to it."""

    name: str
    """File name without a directory, unique within the message; at most 200 characters."""
    media_type: str = "text/plain"
    text: str
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened:
    """A session was opened with settings of its own; without one, the first message opens it."""

    title: str | None = None
    budget_tokens: int | None = None
    """Tokens that the session may use in all; absent: the configured default. At least 1."""
    budget_nanodollars: int | None = None
    """Money that the session may use in all, in 10⁻⁹ dollars; absent: the configured default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A user said something; it starts a turn, which ends with an answer."""

    text: str
    """Not blank; at most the configured maximum of bytes, attachments included."""
    attachments: tuple[Attachment, ...] = ()
    tokens: int = 0
    """Tokens of `text`; whatever a producer says, the ingress shell counts anew."""
    budget_tokens: int | None = None
    """As in SessionOpened; counts only in the message that opens its session."""
    budget_nanodollars: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalReceived:
    """Somebody decided an approval request."""

    approval_id: str
    approved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCancelled:
    """Somebody stopped a session: its tasks and calls in flight are aborted, and it is closed."""

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed:
    """Nobody will say more in this session: it ends when the turns in progress have ended."""

    reason: str | None = None


InputFact = SessionOpened | MessageReceived | ApprovalReceived | SessionCancelled | SessionClosed
