"""What V1's tables hold, as whoever reads them tells it: ids are texts, whatever their types there."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSession:
    """A row of V1's sessions."""

    key: str
    """Its id, as text."""
    created_at_us: int | None = None
    """In microseconds since 1970."""
    ended_at_us: int | None = None
    status: str = ""
    """V1's own word; '': V1 has none."""
    title: str = ""
    owner: str = ""
    """Who it belongs to; '': V1 does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastMessage:
    """A row of V1's conversation_messages."""

    key: str
    session_key: str
    role: str
    """V1's own word."""
    text: str
    said_at_us: int | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    cost_tokens: int = 0
    """0: V1 does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastInvocation:
    """A row of V1's tool_invocations."""

    key: str
    session_key: str
    tool: str = ""
    category: str = ""
    output: object = None
    """Plain values of its JSON, numbers as orjson reads them; a text where it is none."""
    latency_ms: int | None = None
    cost_tokens: int | None = None
    called_at_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BadRow:
    """A row that cannot be brought over."""

    table: str
    key: str
    """Its id, as text; '' where it has none."""
    reason: str
