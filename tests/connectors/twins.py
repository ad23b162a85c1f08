"""Deterministic twins of what stands behind the tools."""

import asyncio
from collections.abc import Sequence

from connectors.retrieval.index import FoundPassage
from schemas.configuration import ChatModel
from schemas.events.inputs import Attachment
from schemas.ports.chat import ChatAnswer, ChatRequest
from schemas.ports.tool import DeltaSink, ToolContext

CHAT_MODEL = ChatModel(
    name="gpt-4o-mini",
    tier="standard",
    input_nanodollars=150,
    output_nanodollars=600,
    context_tokens=128_000,
    encoding="o200k_base",
)


async def _ignore(_channel: str, _text: str) -> None:
    """Drop output."""


def context(
    *attachments: Attachment,
    tokens_max: int = 6_000,
    nanodollars_max: int = 10**9,
    tenant_id: str = "tenant",
    on_output: DeltaSink = _ignore,
) -> ToolContext:
    """A context with defaults for all that a test does not speak of."""
    return ToolContext(
        session_id="session",
        tenant_id=tenant_id,
        user_id="user",
        call_id="call",
        idempotency_key="call",
        tokens_max=tokens_max,
        nanodollars_max=nanodollars_max,
        attachments=attachments,
        on_output=on_output,
    )


class FixedIndex:
    """Has always the same candidates and documents."""

    def __init__(self, *found: FoundPassage, documents: dict[str, str] | None = None) -> None:
        """Note them."""
        self.found = list(found)
        self.documents = documents or {}
        self.counts: list[int] = []
        self.tenants: list[str] = []

    async def candidates(
        self, *, tenant_id: str, query: str, vector: Sequence[float] | None, model: str, count: int
    ) -> list[FoundPassage]:
        """Return the candidates."""
        assert query
        assert bool(vector) == bool(model)
        self.counts.append(count)
        self.tenants.append(tenant_id)
        return self.found

    async def text_of(self, document: str, tenant_id: str) -> str | None:
        """Return a document's text."""
        self.tenants.append(tenant_id)
        return self.documents.get(document)


class BrokenIndex(FixedIndex):
    """Its database is away."""

    async def candidates(
        self, *, tenant_id: str, query: str, vector: Sequence[float] | None, model: str, count: int
    ) -> list[FoundPassage]:
        """Fail."""
        raise ConnectionError("the database is away")

    async def text_of(self, document: str, tenant_id: str) -> str | None:
        """Fail."""
        raise ConnectionError("the database is away")


class SilentModel:
    """Never answers, and notes when it is let go."""

    def __init__(self) -> None:
        """Begin untouched."""
        self.asked = asyncio.Event()
        self.let_go = False

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Wait for ever."""
        self.asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.let_go = True
        raise AssertionError(request)

    def count_tokens(self, text: str, model: str) -> int:
        """Count words."""
        return len(text.split()) + 0 * len(model)


class SayingModel:
    """Says always the same, and notes what it was asked."""

    def __init__(self, text: str, *, finish_reason: str = "stop") -> None:
        """Note what to say."""
        self.text = text
        self.finish_reason = finish_reason
        self.requests: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Say it."""
        self.requests.append(request)
        await request.on_text(1, 0, self.text)
        return ChatAnswer(
            text=self.text,
            tool_calls=(),
            finish_reason=self.finish_reason,
            model=request.model,
            input_tokens=request.input_tokens_max,
            output_tokens=10,
            usage_source="provider",
            attempts=1,
            first_token_ms=1,
            local=False,
        )

    def count_tokens(self, text: str, model: str) -> int:
        """Count words."""
        return len(text.split()) + 0 * len(model)
