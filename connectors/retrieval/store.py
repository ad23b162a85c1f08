"""The tables of passages and collections, as an ingest reads and writes them."""

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.passages import SPLITTER_VERSION, Passage


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Where a collection's documents came from."""

    folder: str
    """Absolute path; bytes that are not UTF-8 written as \\xNN."""
    mounts: frozenset[str] = frozenset()
    """Folders that were disks of their own, as documents' names begin with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedDocument:
    """A document as it is stored."""

    name: str
    content_hash: str
    passages: Sequence[Passage]
    vectors: Sequence[Sequence[float] | None]
    """One for each passage, 1,536 numbers long; None for each where no model makes any."""
    model: str
    """Who made the vectors; empty where nobody did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDocument:
    """What is known of a document that is stored."""

    content_hash: str
    model: str


class CollectionStore:
    """One tenant's collection, in Postgres."""

    def __init__(
        self, pool: AsyncConnectionPool[AsyncConnection], *, tenant_id: str, collection: str
    ) -> None:
        """Note which; the pool's owner opens and closes it."""
        self._pool = pool
        self._tenant_id = tenant_id
        self._collection = collection

    async def origin(self) -> Collection | None:
        """Return where it came from, or None when that was never noted."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT folder, mounts FROM document_collections WHERE tenant_id = %s AND collection = %s",
                (self._tenant_id, self._collection),
            )
            row = await cursor.fetchone()
        return None if row is None else Collection(folder=str(row[0]), mounts=frozenset(row[1]))

    async def note_origin(self, origin: Collection) -> None:
        """Note where it comes from now."""
        async with self._pool.connection() as connection:
            await connection.execute(
                "INSERT INTO document_collections (tenant_id, collection, folder, mounts) "
                "VALUES (%s, %s, %s, %s) ON CONFLICT (tenant_id, collection) DO UPDATE "
                "SET folder = EXCLUDED.folder, mounts = EXCLUDED.mounts, ingested_at = now()",
                (self._tenant_id, self._collection, origin.folder, sorted(origin.mounts)),
            )

    async def documents(self) -> dict[str, KnownDocument]:
        """Return what is stored, by the documents' names."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT DISTINCT ON (document) document, content_sha256, model FROM document_passages "
                "WHERE tenant_id = %s AND source = %s",
                (self._tenant_id, self._collection),
            )
            return {
                str(document): KnownDocument(content_hash=str(content_hash), model=str(model))
                for document, content_hash, model in await cursor.fetchall()
            }

    async def replace(self, document: EmbeddedDocument) -> str | None:
        """Store a document in the place of what it was; whole or not at all.

        Returns:
            None; or the name of another collection that has a document of this name, and nothing is stored.
        """
        rows = [
            (
                self._tenant_id,
                document.name,
                passage.ordinal,
                self._collection,
                passage.text,
                passage.tokens,
                document.content_hash,
                document.model,
                None if vector is None else vector_text(vector),
                SPLITTER_VERSION,
            )
            for passage, vector in zip(document.passages, document.vectors, strict=True)
        ]
        async with self._pool.connection() as connection, connection.transaction():
            # Two ingests of one document take turns, so that its rows come from one of them.
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
                (f"{self._tenant_id}/{document.name}",),
            )
            cursor = await connection.execute(
                "SELECT source FROM document_passages "
                "WHERE tenant_id = %s AND document = %s AND source <> %s LIMIT 1",
                (self._tenant_id, document.name, self._collection),
            )
            other = await cursor.fetchone()
            if other is not None:
                return str(other[0])
            await connection.execute(
                "DELETE FROM document_passages WHERE tenant_id = %s AND document = %s",
                (self._tenant_id, document.name),
            )
            async with connection.cursor() as writing:
                await writing.executemany(
                    "INSERT INTO document_passages (tenant_id, document, ordinal, source, text, tokens, "
                    "content_sha256, model, embedding, splitter) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s::vector, %s)",
                    rows,
                )
        return None

    async def remove(self, documents: Sequence[str]) -> None:
        """Remove these documents of the collection."""
        if not documents:
            return
        async with self._pool.connection() as connection:
            await connection.execute(
                "DELETE FROM document_passages WHERE tenant_id = %s AND source = %s AND document = ANY(%s)",
                (self._tenant_id, self._collection, list(documents)),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutdatedCollection:
    """A collection with documents that another version of the splitter made."""

    tenant_id: str
    name: str
    folder: str | None
    """Where it came from, if that was noted."""
    documents: int
    """How many of them."""


async def outdated_collections(connection: AsyncConnection) -> list[OutdatedCollection]:
    """Return the collections for which a new ingest is due, in order."""
    cursor = await connection.execute(
        "SELECT passages.tenant_id, source, folder, count(DISTINCT document) FROM document_passages passages "
        "LEFT JOIN document_collections origin ON (origin.tenant_id, origin.collection) = "
        "(passages.tenant_id, passages.source) WHERE splitter <> %s "
        "GROUP BY passages.tenant_id, source, folder ORDER BY passages.tenant_id, source",
        (SPLITTER_VERSION,),
    )
    return [
        OutdatedCollection(tenant_id=tenant, name=source, folder=folder, documents=count)
        for tenant, source, folder, count in await cursor.fetchall()
    ]


def vector_text(vector: Sequence[float]) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(f'{number:.9g}' for number in vector)}]"
