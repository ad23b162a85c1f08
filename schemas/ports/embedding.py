"""What makes vectors of texts, as tools and ingestion ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.configuration import EmbeddingModel
from schemas.ports.chat import RequestInvalid


class EmbeddingsAbsent(RequestInvalid):
    """The server makes no vectors, or none are configured: repeating is pointless, and nothing was billed."""

    def __init__(self, message: str) -> None:
        """Note why."""
        super().__init__("invalid_request", message, retryable=False, attempts=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """Vectors of some texts, in their order, and what they cost."""

    vectors: tuple[tuple[float, ...], ...]
    """Each of VECTOR_DIMENSIONS finite numbers."""
    tokens: int
    nanodollars: int
    attempts: int
    model: str
    """Who answered, as the server names it: vectors of one model are comparable with its own alone."""
    local: bool
    """True when the deterministic local model made them."""


class Embedder(Protocol):
    """What makes vectors: connectors.models.embeddings.OpenAIEmbeddings, or a twin of it."""

    model: EmbeddingModel

    def count_tokens(self, text: str) -> int:
        """Count the tokens of `text` exactly."""
        ...

    def truncate(self, text: str, tokens_max: int) -> str:
        """Return the longest beginning of `text` of at most `tokens_max` tokens."""
        ...

    async def embed(
        self, texts: Sequence[str], *, call_id: str, timeout_ms: int, dimensions: int | None = None
    ) -> Embedded:
        """Embed any number of texts; vectors of fewer `dimensions` than are configured end in zeros.

        Raises:
            EmbeddingsAbsent: there is nothing that could; other means must do.
            ConnectorError: what there is has failed.
        """
        ...
