"""Ingest of a folder: its documents in the table are made to be what its files are."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.files import SourceFile, read_folder
from connectors.retrieval.passages import SPLITTER_VERSION, Passage, split
from schemas.ids import derived_id
from schemas.ports.embedding import Embedded, Embedder

BATCH_PASSAGES: Final = 64
"""How many passages are embedded by one request."""
PASSAGES_MAX: Final = 50_000
"""Of one folder."""
EMBED_TIMEOUT_MS: Final = 60_000

ProgressSink = Callable[[str, int, int], None]
"""Takes the name of a document that is done, how many are done, and how many there are."""


@dataclass(slots=True, kw_only=True)
class IngestReport:
    """What an ingest did."""

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why, by name."""
    passages: int = 0
    """Embedded and stored by this ingest."""
    tokens: int = 0
    nanodollars: int = 0
    local: bool = False
    """True when the local deterministic model made the embeddings."""


def _ignore(_name: str, _done: int, _total: int) -> None:
    """Drop a piece of progress that nobody follows."""


async def ingest(
    folder: Path,
    *,
    pool: AsyncConnectionPool[AsyncConnection],
    embedder: Embedder,
    tenant_id: str,
    name: str | None = None,
    progress: ProgressSink = _ignore,
) -> IngestReport:
    """Store the passages of the folder's text files; each document changes whole or not at all.

    Unchanged documents are skipped, documents whose file is gone are removed. An ingest that was interrupted
    is completed by the next.

    Args:
        name: what document names begin with, and what tells this folder from others of the tenant; the
            folder's own name unless given.
        embedder: makes vectors of the table's 1,536 dimensions.

    Raises:
        FolderInvalid: `folder` is no directory.
        ConnectorError: the embedding model failed.
        psycopg.Error: the database failed.
    """
    source = name or await asyncio.to_thread(lambda: folder.resolve().name) or "documents"
    files = await asyncio.to_thread(lambda: list(read_folder(folder, source)))
    report = IngestReport()
    # Who really answers decides whether stored vectors can be compared with new ones: ask once, for one word.
    probe = await embedder.embed(["model"], call_id=_call_id(source, "probe", 0), timeout_ms=EMBED_TIMEOUT_MS)
    _charge(report, probe)
    known = await _known_documents(pool, tenant_id, source)
    wanted: set[str] = set()
    for done, file in enumerate(files, start=1):
        if file.skipped is not None:
            report.skipped[file.name] = file.skipped
        else:
            job = _Job(
                pool=pool,
                embedder=embedder,
                tenant_id=tenant_id,
                source=source,
                model=probe.model,
                report=report,
            )
            if await job.take(file, known.get(file.name)):
                wanted.add(file.name)
        progress(file.name, done, len(files))
    report.removed = sorted(set(known) - wanted)
    await _remove(pool, tenant_id, source, report.removed)
    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    pool: AsyncConnectionPool[AsyncConnection]
    embedder: Embedder
    tenant_id: str
    source: str
    model: str
    report: IngestReport

    async def take(self, file: SourceFile, known_hash: str | None) -> bool:
        """Bring one document up to date; tells whether it has any passage."""
        content_hash = self._hash(file.text)
        if content_hash == known_hash:
            self.report.unchanged.append(file.name)
            return True
        passages = await asyncio.to_thread(split, file.text, self.embedder.count_tokens)
        if not passages:
            self.report.skipped[file.name] = "no text"
            return False
        if self.report.passages + len(passages) > PASSAGES_MAX:
            self.report.skipped[file.name] = f"more than {PASSAGES_MAX} passages"
            return False
        vectors = await self._embed(file.name, passages)
        await self._store(file.name, content_hash, passages, vectors)
        (self.report.added if known_hash is None else self.report.updated).append(file.name)
        self.report.passages += len(passages)
        return True

    def _hash(self, text: str) -> str:
        made_by = f"{SPLITTER_VERSION}|{self.model}|{self.embedder.model.dimensions}"
        return hashlib.sha256(f"{made_by}|{text}".encode("utf-8", errors="surrogatepass")).hexdigest()

    async def _embed(self, name: str, passages: Sequence[Passage]) -> list[tuple[float, ...]]:
        vectors: list[tuple[float, ...]] = []
        for start in range(0, len(passages), BATCH_PASSAGES):
            batch = [passage.text for passage in passages[start : start + BATCH_PASSAGES]]
            embedded = await self.embedder.embed(
                batch, call_id=_call_id(self.source, name, start), timeout_ms=EMBED_TIMEOUT_MS
            )
            _charge(self.report, embedded)
            vectors += embedded.vectors
        return vectors

    async def _store(
        self, name: str, content_hash: str, passages: Sequence[Passage], vectors: Sequence[Sequence[float]]
    ) -> None:
        rows = [
            (
                self.tenant_id,
                name,
                passage.ordinal,
                self.source,
                passage.text,
                passage.tokens,
                content_hash,
                self.model,
                vector_text(vector),
            )
            for passage, vector in zip(passages, vectors, strict=True)
        ]
        async with self.pool.connection() as connection, connection.transaction():
            # Two ingests of one document take turns, so that its rows come from one of them.
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self.tenant_id}/{name}",)
            )
            await connection.execute(
                "DELETE FROM document_passages WHERE tenant_id = %s AND document = %s", (self.tenant_id, name)
            )
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    "INSERT INTO document_passages (tenant_id, document, ordinal, source, text, tokens, "
                    "content_sha256, model, embedding) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::vector)",
                    rows,
                )


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(f'{number:.9g}' for number in vector)}]"


def _charge(report: IngestReport, embedded: Embedded) -> None:
    report.tokens += embedded.tokens
    report.nanodollars += embedded.nanodollars
    report.local = embedded.local


def _call_id(source: str, name: str, start: int) -> str:
    return derived_id("ingest", source, name, str(start))


async def _known_documents(
    pool: AsyncConnectionPool[AsyncConnection], tenant_id: str, source: str
) -> dict[str, str]:
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT DISTINCT document, content_sha256 FROM document_passages "
            "WHERE tenant_id = %s AND source = %s",
            (tenant_id, source),
        )
        return {str(document): str(content_hash) for document, content_hash in await cursor.fetchall()}


async def _remove(
    pool: AsyncConnectionPool[AsyncConnection], tenant_id: str, source: str, documents: Sequence[str]
) -> None:
    if not documents:
        return
    async with pool.connection() as connection:
        await connection.execute(
            "DELETE FROM document_passages WHERE tenant_id = %s AND source = %s AND document = ANY(%s)",
            (tenant_id, source, list(documents)),
        )
