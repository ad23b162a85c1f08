"""Rows of `retrieval_metrics`: the search's own result gives the embedding, what came of it all else."""

from processors.projections.parents import session_row
from processors.projections.rows import RowChange
from processors.projections.values import as_uuid, clean, decimal, int32, json_text, moment, vector
from schemas.envelope import Envelope
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.tools import ToolCallCompleted


def of_result(envelope: Envelope, fact: ToolCallCompleted) -> tuple[RowChange, ...]:
    """The query's embedding; the row waits for the measurement if that has not come."""
    session_id, call_id = as_uuid(envelope.session_id), as_uuid(fact.call_id)
    if session_id is None or call_id is None or fact.retrieval is None:
        return ()
    values = {"session_id": session_id, "query_embedding": vector(fact.retrieval.query_embedding)}
    return (
        session_row(session_id),
        RowChange("retrieval_metrics", call_id, values),
    )


def of_measured(envelope: Envelope, fact: RetrievalMeasured) -> tuple[RowChange, ...]:
    """All but the embedding."""
    session_id, call_id = as_uuid(envelope.session_id), as_uuid(fact.call_id)
    if session_id is None or call_id is None:
        return ()
    before, after = fact.context_tokens_before, fact.context_tokens_after
    values = {
        "session_id": session_id,
        "query_text": clean(fact.query),
        "k_initial": int32(fact.k_initial),
        "k_rerank": int32(fact.k_rerank),
        "retrieval_latency_ms": int32(fact.retrieval_latency_ms),
        "rerank_latency_ms": int32(fact.rerank_latency_ms),
        "usefulness_score": decimal(fact.usefulness_score, 0.0, 1.0),
        "model_feedback": json_text(fact.feedback_json),
        "created_at": moment(envelope.occurred_at_ms),
        "context_tokens_before": int32(before),
        "context_tokens_after": int32(after),
        # Nothing found is nothing compressed.
        "compression_ratio": decimal(after / before, 0.0, 9.99) if before > 0 else 1.0,
        "documents_retrieved": len(fact.documents),
        "documents_used": sum(document.used for document in fact.documents),
    }
    return (
        session_row(session_id),
        RowChange("retrieval_metrics", call_id, values),
    )
