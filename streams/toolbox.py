"""The models and tools of a process, made from its settings and configuration."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.openai_embeddings import OpenAIEmbeddings
from connectors.openai_model import OpenAIModel
from connectors.retrieval.index import PassageIndex
from connectors.tokens import prepare_vocabularies
from connectors.tools.documents import AnalyzeDocument
from connectors.tools.embeddings import GenerateEmbeddings
from connectors.tools.registry import ToolRegistry
from connectors.tools.search import SearchDocuments
from schemas.configuration import ChatModel, Configuration, Models
from schemas.tools import Tool
from streams.configuration import load_configuration
from streams.settings import Settings

OPENAI_URL: Final = "https://api.openai.com/v1"
POOL_MAX: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """What a process can call, and the configuration that decides when."""

    configuration: Configuration
    model: OpenAIModel
    embeddings: OpenAIEmbeddings
    pool: AsyncConnectionPool[AsyncConnection]
    tools: ToolRegistry

    async def open(self) -> None:
        """Begin to connect to Postgres, and do not wait for it: only searches need it."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections."""
        await self.model.close()
        await self.embeddings.close()
        await self.pool.close()


def make_toolbox(settings: Settings) -> Toolbox:
    """Make models and tools; nothing connects yet.

    Raises:
        ConfigurationInvalid: a file of the configuration is wrong.
        VocabularyMissing: tiktoken's vocabularies are not there.
    """
    if settings.tiktoken_cache_directory is not None:
        prepare_vocabularies(settings.tiktoken_cache_directory)
    models = load_configuration((), settings.configuration_directory).models
    base_url = settings.model_base_url or OPENAI_URL
    model = OpenAIModel(
        base_url=base_url,
        api_key=settings.model_api_key,
        encodings={chat.name: chat.encoding for chat in models.chat},
    )
    embeddings = OpenAIEmbeddings(base_url=base_url, api_key=settings.model_api_key, model=models.embedding)
    pool: AsyncConnectionPool[AsyncConnection] = AsyncConnectionPool(
        settings.postgres_dsn, min_size=0, max_size=POOL_MAX, open=False, kwargs={"autocommit": True}
    )
    index = PassageIndex(pool)
    tools: list[Tool] = [
        SearchDocuments(index, embeddings),
        AnalyzeDocument(model, _standard(models), index),
        GenerateEmbeddings(embeddings),
    ]
    registry = ToolRegistry(tools)
    return Toolbox(
        configuration=load_configuration(registry.specs.values(), settings.configuration_directory),
        model=model,
        embeddings=embeddings,
        pool=pool,
        tools=registry,
    )


def _standard(models: Models) -> ChatModel:
    """Return the model that tools use for calls of their own: the first of the standard tier."""
    return next((chat for chat in models.chat if chat.tier == "standard"), models.chat[0])


def folder_name(folder: Path) -> str:
    """Return the name under which a folder's documents are ingested."""
    return folder.resolve().name or "root"
