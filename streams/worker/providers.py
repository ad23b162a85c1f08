"""What the shells of a worker decide and act with: configuration, models, tools, tokenizer."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.models.chat import OpenAIModel
from connectors.models.embeddings import OpenAIEmbeddings
from connectors.models.tokens import count_tokens_in_pieces, prepare_vocabularies
from connectors.retrieval.index import PassageIndex
from connectors.retrieval.past import ConversationPast
from connectors.sandbox.sandbox import Sandbox, SandboxConfig
from connectors.sandbox.tier import TierDemand
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.embeddings import GenerateEmbeddings
from connectors.tools.python import ExecutePython
from connectors.tools.recall import RecallConversation
from connectors.tools.registry import ToolRegistry
from connectors.tools.search import SearchDocuments
from connectors.tools.ui import AnalyzeUi
from processors.redaction.redactor import Redactor
from schemas.configuration import ChatModel, Configuration, Models, RequestParameters
from schemas.ports.chat import Model
from streams.configuration.checking import TOOLS
from streams.configuration.loading import load_configuration
from streams.process.settings import Settings
from streams.worker.own_tools import load_own_tools

if TYPE_CHECKING:
    from connectors.mcp.servers import Servers

_POOL_MAX = 4
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Providers:
    """All of it, ready for use."""

    configuration: Configuration
    model: Model
    embeddings: OpenAIEmbeddings
    tools: ToolRegistry
    tokenizer: Callable[[str], int]
    pool: AsyncConnectionPool[AsyncConnection]
    sandbox: Sandbox
    servers: "Servers | None"
    """Those of MCP that the settings name; None: they name none."""
    absent_tools: Mapping[str, str]
    """Tools of one's own that cannot be used, with the reasons; agents that name them do without."""
    redactor: Redactor
    """Knows the secrets of this process, and takes them and all other credentials out of what is told."""

    async def open(self, *, tools: bool = True) -> None:
        """Begin to connect to Postgres and, where tools run, to MCP servers.

        A search or a foreign tool that is called before they answer waits, or fails alone.
        """
        await self.pool.open(wait=False)
        if tools and self.servers is not None:
            self.servers.start()

    async def close(self) -> None:
        """Close all connections."""
        if self.servers is not None:
            await self.servers.close()
        await self.pool.close()
        await self.sandbox.close()


async def make_providers(settings: Settings) -> Providers:
    """Make the providers of a process; nothing connects yet, and the sandbox has been attacked once.

    Raises:
        ConfigurationInvalid: a configuration file cannot be used.
        VocabularyMissing: the folder of vocabularies lacks one.
    """
    use_vocabularies(settings)
    # Models and prices do not depend on tools, and tools are made of them.
    models = load_configuration((), settings.configuration_directory).models
    model = chat_model(settings, models.chat)
    embeddings = embedding_model(settings, models)
    pool = _pool(settings)
    index = PassageIndex(pool)
    sandbox = await Sandbox.open(
        SandboxConfig(
            state_path=(settings.sandbox_directory or settings.data_directory / "sandbox").absolute(),
            demand=TierDemand(settings.sandbox),
        )
    )
    _log.info("sandbox_opened", tier=sandbox.tier.value, reason=sandbox.probes[-1].reason)
    redactor = redactor_of(settings)
    servers, own = _servers(settings, redactor), load_own_tools(settings)
    tools = ToolRegistry(
        [
            GenerateEmbeddings(embeddings),
            AnalyzeDocument(model, _analyst(models), index),
            SearchDocuments(index, embeddings),
            RecallConversation(ConversationPast(pool)),
            ExecutePython(sandbox),
            AnalyzeUi(settings.ui_root.absolute()),
            *own.tools,
            *(() if servers is None else servers.tools()),
        ]
    )
    assert set(TOOLS) <= set(tools.specs), "doctor knows the tools by these names"
    return Providers(
        configuration=load_configuration(
            tools.specs.values(), settings.configuration_directory, settings.approvers
        ),
        model=model,
        embeddings=embeddings,
        tools=tools,
        tokenizer=_tokenizer(models),
        pool=pool,
        sandbox=sandbox,
        servers=servers,
        absent_tools=own.absent,
        redactor=redactor,
    )


def redactor_of(settings: Settings) -> Redactor:
    """Return what takes credentials out, and knows the secrets of these settings."""
    redactor = Redactor()
    for one in fields(settings):
        if one.metadata.get("secret"):
            secret = str(getattr(settings, one.name))
            redactor.know(secret)
            # Of an address the password by itself, too: an error may name it alone.
            redactor.know(secret.rpartition("@")[0].rpartition(":")[2])
    return redactor


def _servers(settings: Settings, redactor: Redactor) -> "Servers | None":
    if settings.mcp_servers is None:
        return None
    # Their SDK takes most of a second and 34 MB, which nobody without servers should pay.
    from streams.worker.servers import mcp_servers

    return mcp_servers(settings, redactor)


def chat_model(
    settings: Settings, models: Sequence[ChatModel], parameters: RequestParameters | None = None
) -> OpenAIModel:
    """Return the chat models of the server that the settings name; nothing connects yet.

    Args:
        settings: of the process.
        models: as configured.
        parameters: how all of them are asked, instead of each by its own.
    """
    return OpenAIModel(
        base_url=settings.model_url,
        api_key=settings.model_api_key,
        encodings={chat.name: chat.encoding for chat in models},
        parameters={chat.name: parameters or chat.parameters for chat in models},
    )


def embedding_model(settings: Settings, models: Models) -> OpenAIEmbeddings:
    """Return what makes vectors: of the chat models' server, with its key, or of one of its own."""
    other = settings.embedding_base_url
    return OpenAIEmbeddings(
        base_url=other or settings.model_url,
        api_key=settings.embedding_api_key or ("" if other else settings.model_api_key),
        model=models.embedding,
    )


@asynccontextmanager
async def ingest_providers(
    settings: Settings,
) -> AsyncIterator[tuple[AsyncConnectionPool[AsyncConnection], OpenAIEmbeddings]]:
    """Open what an ingest needs, without the tools, and close it again.

    Raises:
        ConfigurationInvalid: a configuration file cannot be used.
        VocabularyMissing: the folder of vocabularies lacks one.
    """
    use_vocabularies(settings)
    embeddings = embedding_model(settings, load_configuration((), settings.configuration_directory).models)
    try:
        async with _pool(settings) as pool:
            yield pool, embeddings
    finally:
        await embeddings.close()


def use_vocabularies(settings: Settings) -> None:
    """Count tokens with the vocabularies of the folder that the settings name.

    Raises:
        VocabularyMissing: it lacks one.
    """
    if settings.tiktoken_cache_directory is not None:
        prepare_vocabularies(settings.tiktoken_cache_directory)


def _pool(settings: Settings) -> AsyncConnectionPool[AsyncConnection]:
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    return AsyncConnectionPool(
        settings.postgres_dsn, min_size=0, max_size=_POOL_MAX, open=False, timeout=10.0
    )


def _analyst(models: Models) -> ChatModel:
    """Return the cheapest model for reading documents."""
    return min(models.chat, key=lambda chat: (chat.input_nanodollars, chat.output_nanodollars))


def _tokenizer(models: Models) -> Callable[[str], int]:
    """Count by the encoding that gives most, as a reservation covers whichever model reads the text."""
    encodings = sorted({chat.encoding for chat in models.chat})

    def count(text: str) -> int:
        return max(count_tokens_in_pieces(text, encoding) for encoding in encodings)

    return count
