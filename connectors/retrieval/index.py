"""The passages in Postgres, as searches and tools read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.store import vector_text

DOCUMENT_CHARACTERS_MAX: Final = 2_000_000

_BY_MEANING: Final = """
SELECT document, ordinal, text, tokens, 1 - (embedding <=> %(vector)s::vector) AS cosine
FROM document_passages
WHERE tenant_id = %(tenant)s AND model = %(model)s AND embedding IS NOT NULL
ORDER BY embedding <=> %(vector)s::vector, document, ordinal
LIMIT %(count)s
"""
# Any of the query's words is enough, for a question has many that its answer lacks; a rare one counts
# for more. A word is quoted for tsquery: quotes and backslashes in it are doubled. Passages with a vector of
# another model are not found where there is a vector to compare with; those without one are.
_BY_WORDS: Final = r"""
WITH asked AS (
    SELECT
        ($q$'$q$ || replace(replace(word, $q$\$q$, $q$\\$q$), $q$'$q$, $q$''$q$) || $q$'$q$)::tsquery AS word
    FROM unnest(tsvector_to_array(to_tsvector('english', %(query)s))) AS word
), matched AS (
    SELECT asked.word, document, ordinal
    FROM asked JOIN document_passages ON lexemes @@ asked.word
    WHERE tenant_id = %(tenant)s
    AND (%(vector)s::vector IS NULL OR embedding IS NULL OR model = %(model)s)
), weighted AS (
    SELECT word, 1.0 / count(*) AS weight FROM matched GROUP BY word
), best AS (
    SELECT document, ordinal, sum(weight) AS weight
    FROM matched JOIN weighted USING (word)
    GROUP BY document, ordinal
    ORDER BY weight DESC, document, ordinal
    LIMIT %(count)s
)
SELECT document, ordinal, text, tokens, 1 - (embedding <=> %(vector)s::vector) AS cosine
FROM best JOIN document_passages USING (document, ordinal)
WHERE tenant_id = %(tenant)s
ORDER BY best.weight DESC, document, ordinal
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPassage:
    """A passage with its likeness to a query."""

    document: str
    ordinal: int
    text: str
    tokens: int
    cosine: float | None
    """Of the query's vector and its own, -1 to 1; None where one of them has none."""

    @property
    def citation(self) -> str:
        """The passage as answers cite it: name of the document, `#`, number."""
        return f"{self.document}#{self.ordinal}"


class PassageIndex:
    """Reads the table document_passages; each tenant sees its own documents alone."""

    def __init__(self, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        """Note the pool, which its owner opens and closes."""
        self._pool = pool

    async def candidates(
        self, *, tenant_id: str, query: str, vector: Sequence[float] | None, model: str, count: int
    ) -> list[FoundPassage]:
        """Return the `count` passages nearest in meaning and the `count` nearest in words, without repeats.

        Args:
            vector: of the query; None: all passages are searched by words alone.
            model: who made the vector; passages of another model's are not comparable, and not found.
        """
        given = {
            "tenant": tenant_id,
            "query": query.replace("\x00", " "),
            "vector": None if vector is None else vector_text(vector),
            "model": model,
            "count": count,
        }
        found: dict[tuple[str, int], FoundPassage] = {}
        async with self._pool.connection() as connection:
            for statement in (_BY_WORDS,) if vector is None else (_BY_MEANING, _BY_WORDS):
                cursor = await connection.execute(statement, given)
                for document, ordinal, text, tokens, cosine in await cursor.fetchall():
                    found.setdefault(
                        (document, ordinal),
                        FoundPassage(
                            document=document,
                            ordinal=ordinal,
                            text=text,
                            tokens=tokens,
                            cosine=None if cosine is None else float(cosine),
                        ),
                    )
        return list(found.values())

    async def text_of(self, document: str, tenant_id: str) -> str | None:
        """Return a document's passages as one text, or None when the tenant has no such document.

        The name may lack the folder in front when that is clear: guide.md for docs/guide.md.
        """
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT DISTINCT document FROM document_passages WHERE tenant_id = %s "
                "AND (document = %s OR right(document, length(%s) + 1) = '/' || %s) ORDER BY document",
                (tenant_id, document, document, document),
            )
            names = [str(row[0]) for row in await cursor.fetchall()]
            name = document if document in names else names[0] if len(names) == 1 else None
            if name is None:
                return None
            cursor = await connection.execute(
                "SELECT text FROM document_passages WHERE tenant_id = %s AND document = %s ORDER BY ordinal",
                (tenant_id, name),
            )
            text = "\n\n".join(str(row[0]) for row in await cursor.fetchall())
        return text[:DOCUMENT_CHARACTERS_MAX]

    async def count(self, tenant_id: str) -> tuple[int, int]:
        """Return how many documents and passages the tenant has."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT count(DISTINCT document), count(*) FROM document_passages WHERE tenant_id = %s",
                (tenant_id,),
            )
            row = await cursor.fetchone()
        return (int(row[0]), int(row[1])) if row is not None else (0, 0)
