"""How searches went and whether they helped: the facts of `retrieval.metrics`."""

from dataclasses import dataclass

from schemas.events.tools import RetrievedDocument
from schemas.privacy import Impersonal, Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalMeasured:
    """The task that searched has ended, so that the usefulness of the search is known.

    The query's embedding stands in the ToolCallCompleted of the same call.
    """

    call_id: Impersonal
    task_id: Impersonal
    query: Personal
    k_initial: int
    k_rerank: int
    retrieval_latency_ms: int
    rerank_latency_ms: int
    usefulness_score: float
    """Share of the passages in the result that the task's answer cites; 0 to 1."""
    feedback_json: Personal
    """JSON object: which passages the answer cites, and how the task ended."""
    context_tokens_before: int
    context_tokens_after: int
    documents: tuple[RetrievedDocument, ...]


RetrievalFact = RetrievalMeasured
