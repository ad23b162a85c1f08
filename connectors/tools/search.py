"""search_documents: passages of the ingested documents that fit a query, by meaning and by words."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from connectors.retrieval.index import FoundPassage
from connectors.text.words import stems
from connectors.tools.embeddings import embed_within
from connectors.tools.lexical import bm25
from schemas.configuration import ToolSpec
from schemas.events.tools import Retrieval, RetrievedDocument
from schemas.ports.embedding import Embedded, Embedder, EmbeddingsAbsent
from schemas.ports.tool import Arguments, ToolContext, ToolError, ToolResult

QUERY_CHARACTERS_MAX: Final = 2_000
RESULTS_MAX: Final = 20
RESULTS_DEFAULT: Final = 6
INITIAL_MIN: Final = 24
"""How many candidates each of the two searches gives at least; 4 × k when that is more."""
RESULT_TOKENS_MAX: Final = 1_500
"""Of all passages of a result together, so that a task can afford to read it."""
TIMEOUT_MS: Final = 30_000
EMBED_TIMEOUT_MS: Final = 20_000
QUERY_TOKENS_MAX: Final = 600
"""A query of QUERY_CHARACTERS_MAX in any language that is not mostly rare characters."""

COSINE_SHARE: Final = 0.7
"""What part of the score is likeness of meaning; the rest is likeness of words."""

BY_WORDS_ALONE: Final = "Searched by words alone, since there are no embeddings"
_HINT_CHARACTERS_MAX: Final = 400
_NOT_EMBEDDED: Final = Embedded(vectors=(), tokens=0, nanodollars=0, attempts=0, model="", local=False)

PARAMETERS: Final = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": QUERY_CHARACTERS_MAX,
            "pattern": r"\S",
            "description": "What to find, in a few words or as a question",
        },
        "k": {
            "type": "integer",
            "minimum": 1,
            "maximum": RESULTS_MAX,
            "default": RESULTS_DEFAULT,
            "description": "How many passages to return at most",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}
RESULT: Final = {
    "type": "object",
    "properties": {
        "query": {"type": "string"},
        "passages": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "citation": {"type": "string"},
                    "score": {"type": "number", "minimum": 0, "maximum": 1},
                    "text": {"type": "string"},
                },
                "required": ["citation", "score", "text"],
                "additionalProperties": False,
            },
        },
        "left_out": {"type": "integer", "minimum": 0},
        "hint": {"type": "string"},
    },
    "required": ["query", "passages", "left_out"],
    "additionalProperties": False,
}


class Candidates(Protocol):
    """Where candidates come from: connectors.retrieval.index.PassageIndex, or a twin of it."""

    async def candidates(
        self, *, tenant_id: str, query: str, vector: Sequence[float] | None, model: str, count: int
    ) -> list[FoundPassage]:
        """Return the passages nearest in meaning and in words; without a vector in words alone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A candidate with its fused score."""

    passage: FoundPassage
    score: float


class SearchDocuments:
    """Searches the tenant's ingested documents."""

    def __init__(
        self,
        index: Candidates,
        embedder: Embedder,
        *,
        result_tokens_max: int = RESULT_TOKENS_MAX,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Note where to search.

        Args:
            clock: in seconds, for the latencies.
        """
        self._index = index
        self._embedder = embedder
        self._result_tokens_max = result_tokens_max
        self._clock = clock
        self._spec = ToolSpec(
            name="search_documents",
            version="2.0.0",
            description="Search the ingested documents. Cite a passage that you use by its citation in "
            "brackets, for example [guide.md#3].",
            category="retrieval",
            safety_level="safe",
            complexity_score=3,
            resource_intensity="medium",
            parameters_json=json.dumps(PARAMETERS),
            result_schema_json=json.dumps(RESULT),
            idempotent=True,
            tokens_max=QUERY_TOKENS_MAX,
            tokens_min=32,
            nanodollars_per_token=embedder.model.input_nanodollars,
            timeout_ms=TIMEOUT_MS,
            used_tokens_usual=10,
            result_tokens_usual=1_500,
        )

    @property
    def spec(self) -> ToolSpec:
        """Describe the tool."""
        return self._spec

    async def run(self, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Find passages; none is a result too.

        A query that the reservation does not cover is embedded by its beginning. Where there are no
        embeddings, the search goes by words alone, and its result says so.

        Raises:
            ToolError: execution_error: the embedding model or the database failed.
        """
        query = str(arguments["query"])
        k = int(str(arguments.get("k", RESULTS_DEFAULT)))
        began_s = self._clock()
        by_words = ""
        try:
            embedded = await embed_within(
                self._embedder, [self._affordable(query, context)], context, EMBED_TIMEOUT_MS
            )
        except EmbeddingsAbsent as error:
            embedded = _NOT_EMBEDDED
            by_words = f"{BY_WORDS_ALONE}: {error}"[:_HINT_CHARACTERS_MAX]
        vector = embedded.vectors[0] if embedded.vectors else None
        k_initial = max(INITIAL_MIN, 4 * k)
        try:
            candidates = await self._index.candidates(
                tenant_id=context.tenant_id, query=query, vector=vector, model=embedded.model, count=k_initial
            )
        except Exception as error:
            raise ToolError(
                "execution_error",
                f"the documents cannot be searched: {type(error).__name__}: {str(error)[:300]}",
                retryable=True,
                used_tokens=embedded.tokens,
                cost_nanodollars=embedded.nanodollars,
            ) from error
        retrieved_s = self._clock()
        ranked = rerank(query, candidates)
        chosen = self._chosen(ranked, k)
        reranked_s = self._clock()
        return ToolResult(
            result=_result(query, chosen, len(ranked), by_words),
            used_tokens=embedded.tokens,
            cost_nanodollars=embedded.nanodollars,
            retrieval=Retrieval(
                query=query,
                query_embedding=vector or (),
                k_initial=k_initial,
                k_rerank=k,
                retrieval_latency_ms=round((retrieved_s - began_s) * 1000),
                rerank_latency_ms=round((reranked_s - retrieved_s) * 1000),
                context_tokens_before=sum(entry.passage.tokens for entry in ranked),
                context_tokens_after=sum(entry.passage.tokens for entry in chosen),
                documents=tuple(
                    RetrievedDocument(
                        document=entry.passage.citation,
                        score=entry.score,
                        tokens=entry.passage.tokens,
                        used=entry in chosen,
                    )
                    for entry in ranked
                ),
            ),
        )

    def _affordable(self, query: str, context: ToolContext) -> str:
        price = self._embedder.model.input_nanodollars
        tokens_max = min(
            context.tokens_max, context.nanodollars_max // price if price else context.tokens_max
        )
        return self._embedder.truncate(query, min(tokens_max, self._embedder.model.input_tokens_max)) or query

    def _chosen(self, ranked: Sequence[Scored], k: int) -> list[Scored]:
        """Take the best k that fit the tokens of a result; the best one always, whatever its size."""
        chosen: list[Scored] = []
        tokens = 0
        for entry in ranked:
            if len(chosen) == k:
                break
            # What has no cosine was found by its words, though not by those that are counted here.
            fits = entry.score > 0 or entry.passage.cosine is None
            if fits and (not chosen or tokens + entry.passage.tokens <= self._result_tokens_max):
                chosen.append(entry)
                tokens += entry.passage.tokens
        return chosen


def rerank(query: str, candidates: Sequence[FoundPassage]) -> list[Scored]:
    """Return candidates best first, scored 0 to 1.

    score = 0.7 × max(0, cosine) + 0.3 × BM25 / the best BM25 among the candidates; rarity of a word is
    counted among the candidates. Equal scores are ordered by citation.

    A passage without a cosine counts as near in meaning as it is in words: BM25 / the best BM25, times the
    highest cosine of the others, so that it can equal the nearest and never leaves it behind; where no
    passage has a cosine, the words alone are the score.
    """
    bags = [Counter(stems(passage.text)) for passage in candidates]
    lexical = bm25(set(stems(query)), bags)
    best = max(lexical, default=0.0)
    shares = [weight / best if best > 0 else 0.0 for weight in lexical]
    cosines = [None if one.cosine is None else max(0.0, min(1.0, one.cosine)) for one in candidates]
    nearest = max((cosine for cosine in cosines if cosine is not None), default=1.0)
    scored = [
        Scored(
            passage=passage,
            score=round(
                COSINE_SHARE * (share * nearest if cosine is None else cosine) + (1 - COSINE_SHARE) * share, 6
            ),
        )
        for passage, share, cosine in zip(candidates, shares, cosines, strict=True)
    ]
    return sorted(scored, key=lambda entry: (-entry.score, entry.passage.document, entry.passage.ordinal))


def _result(query: str, chosen: Sequence[Scored], found: int, by_words: str) -> dict[str, object]:
    result: dict[str, object] = {
        "query": query,
        "passages": [
            {"citation": entry.passage.citation, "score": round(entry.score, 4), "text": entry.passage.text}
            for entry in chosen
        ],
        "left_out": found - len(chosen),
    }
    hints = [by_words] if by_words else []
    if not found:
        hints.append("No document was found; perhaps none is ingested.")
    if hints:
        result["hint"] = " ".join(hints)
    return result
