"""Rows of what came over from V1, as far as V1's own tables do not hold them already."""

from typing import assert_never

from processors.projections.parents import session_row, task_rows
from processors.projections.rows import Cell, Place, RowChange
from processors.projections.sessions import ACCOUNT_CHARACTERS_MAX, TITLE_CHARACTERS_MAX
from processors.projections.values import (
    as_uuid,
    clean,
    cut,
    cut_unique,
    decimal,
    int32,
    json_of,
    json_text,
    moment,
    moment_us,
)
from schemas.envelope import Envelope
from schemas.events.imports import (
    BaselineImported,
    ConversationImported,
    ImportedStatus,
    ImportedTask,
    ImportFact,
    InvocationImported,
    MessageImported,
    RetrievalImported,
    TaskColumns,
    ToolUseImported,
)
from schemas.ids import derived_id

INFERRED_FROM = "v1_backfill"
"""In a task's spec: no plan made it, the import inferred it."""
ROOT_INTENT = "root_conversation_objective"
ROOT_PRIORITY, SUBTASK_PRIORITY = 5, 3
BASELINE = "migration_baseline"
ADOPTED, IMPORTED = "adopted", "imported"
"""As `graph_node`: V1's own row, and a copy of one."""
TOOL_VERSION = "v1"
"""V1 knows no versions of tools; V2's own statistics of a tool have rows of their own."""
_DECIMAL_8_2_MAX = 999_999.99


def of_import(envelope: Envelope, fact: ImportFact, place: Place) -> tuple[RowChange, ...]:
    """Return the rows of one fact; V1's own tables get nothing that they have."""
    if isinstance(fact, ToolUseImported):
        return _tool_use(fact)
    session_id = as_uuid(envelope.session_id)
    if session_id is None:
        return ()
    match fact:
        case ConversationImported():
            return _conversation(envelope, session_id, fact, moment(place.timestamp_ms))
        case MessageImported():
            return _message(envelope, session_id, fact)
        case InvocationImported():
            return _invocation(session_id, fact)
        case RetrievalImported():
            return _retrieval(envelope, session_id, fact)
        case BaselineImported():
            return _baseline(envelope, session_id, fact)
        case _:
            assert_never(fact)


def _conversation(
    envelope: Envelope, session_id: str, fact: ConversationImported, came_at: str
) -> tuple[RowChange, ...]:
    opened_at = moment(envelope.occurred_at_ms) if fact.began_at_us == 0 else moment_us(fact.began_at_us)
    summary: dict[str, Cell] = {
        "imported_from": cut(fact.origin, ACCOUNT_CHARACTERS_MAX),
        "imported_messages": int32(fact.messages),
        "imported_at": came_at,
        "imported_tenant_id": cut(envelope.tenant_id, ACCOUNT_CHARACTERS_MAX),
        "imported_user_id": cut(envelope.user_id, ACCOUNT_CHARACTERS_MAX),
        "imported_title": cut(fact.title, TITLE_CHARACTERS_MAX) if fact.title else None,
        "imported_opened_at": opened_at,
    }
    spec = {"inferred_from": INFERRED_FROM, "message_count": fact.messages, "origin": fact.origin}
    newest_us = max(fact.newest_at_us or 0, fact.ended_at_us or 0)
    root: dict[str, Cell] = {
        "session_id": session_id,
        "intent": ROOT_INTENT,
        "spec_json": json_of(spec),
        "priority": ROOT_PRIORITY,
        "status": fact.status if fact.status in tuple(ImportedStatus) else ImportedStatus.RUNNING,
        "created_at": opened_at,
        "updated_at": opened_at if newest_us == 0 else moment_us(newest_us),
        "completed_at": None if fact.ended_at_us is None else moment_us(fact.ended_at_us),
        **_kept(fact.adopted),
    }
    task_id = as_uuid(fact.task_id)
    created_at = None if fact.created_at_us is None else moment_us(fact.created_at_us)
    return (
        RowChange("sessions", session_id, {"imported_created_at": created_at}),
        RowChange("session_summaries", session_id, summary),
        *(() if task_id is None else (RowChange("tasks_v2", task_id, root),)),
    )


def _message(envelope: Envelope, session_id: str, fact: MessageImported) -> tuple[RowChange, ...]:
    key, root_id = as_uuid(fact.message_id), as_uuid(fact.root_task_id)
    if key is None:
        return ()
    task_id = None if fact.task is None else as_uuid(fact.task.task_id)
    said_at = moment(envelope.occurred_at_ms) if fact.said_at_us is None else moment_us(fact.said_at_us)
    values: dict[str, Cell] = {
        "session_id": session_id,
        "role": cut(fact.role, 20),
        "content": clean(fact.text),
        "created_at": said_at,
        "metadata": json_text(fact.metadata_json),
        "task_id": task_id or root_id,
        "graph_node": ADOPTED if fact.in_place else IMPORTED,
        "cost_tokens": int32(fact.cost_tokens) - int32(fact.cost_tokens_before),
    }
    of_task: tuple[RowChange, ...] = ()
    if fact.task is not None and task_id is not None:
        of_task = _subtask(session_id, root_id, task_id, fact.task, said_at)
    return (
        *task_rows(session_id, root_id),
        *of_task,
        RowChange("conversation_messages", key, values),
    )


def _subtask(
    session_id: str, root_id: str | None, task_id: str, task: ImportedTask, said_at: str
) -> tuple[RowChange, ...]:
    values: dict[str, Cell] = {
        "session_id": session_id,
        "parent_id": None if root_id == task_id else root_id,
        "intent": clean(task.intent),
        "spec_json": json_of({"content_preview": task.preview}),
        "priority": SUBTASK_PRIORITY,
        "status": "complete",
        "created_at": said_at,
        "updated_at": said_at,
        **_kept(task.adopted),
    }
    row = RowChange("tasks_v2", task_id, values)
    before_id = as_uuid(task.after_task_id)
    if before_id is None or before_id == task_id:
        return (row,)
    edge: dict[str, Cell] = {
        "from_task_id": task_id,
        "to_task_id": before_id,
        "relation_type": "depends_on",
        "weight": 1.0,
        "created_at": said_at,
    }
    return (
        row,
        *task_rows(session_id, before_id),
        RowChange("task_edges", derived_id("edge", task_id, before_id, "depends_on"), edge),
    )


def _kept(columns: TaskColumns | None) -> dict[str, Cell]:
    if columns is None:
        return {}
    return {
        "cost_budget_tokens": _int32(columns.budget_tokens),
        "estimated_cost_tokens": _int32(columns.estimated_tokens),
    }


def _invocation(session_id: str, fact: InvocationImported) -> tuple[RowChange, ...]:
    key = as_uuid(fact.invocation_id)
    if key is None or fact.in_place:
        return (session_row(session_id),)
    values: dict[str, Cell] = {
        "session_id": session_id,
        "tool_name": clean(fact.tool),
        "category": clean(fact.category),
        "output_json": json_text(fact.output_json),
        "latency_ms": _int32(fact.latency_ms),
        "cost_tokens": _int32(fact.cost_tokens),
        "created_at": None if fact.called_at_us is None else moment_us(fact.called_at_us),
    }
    return (session_row(session_id), RowChange("tool_invocations", key, values))


def _retrieval(envelope: Envelope, session_id: str, fact: RetrievalImported) -> tuple[RowChange, ...]:
    key = as_uuid(fact.retrieval_id)
    if key is None:
        return ()
    before, after = fact.context_tokens_before, fact.context_tokens_after
    score = fact.usefulness_score
    values: dict[str, Cell] = {
        "session_id": session_id,
        "query_text": clean(fact.query),
        "k_initial": _int32(fact.k_initial),
        "k_rerank": _int32(fact.k_rerank),
        "retrieval_latency_ms": _int32(fact.retrieval_latency_ms),
        "rerank_latency_ms": _int32(fact.rerank_latency_ms),
        "usefulness_score": None if score is None else decimal(score, 0.0, 1.0),
        "created_at": moment(envelope.occurred_at_ms),
        "context_tokens_before": _int32(before),
        "context_tokens_after": _int32(after),
        "compression_ratio": decimal(after / before, -9.99, 9.99) if before and after is not None else None,
        "documents_retrieved": _int32(fact.documents_retrieved),
        "documents_used": _int32(fact.documents_used),
        "model_feedback": json_of({"source": INFERRED_FROM, "origin": fact.origin}),
    }
    return (session_row(session_id), RowChange("retrieval_metrics", key, values))


def _baseline(envelope: Envelope, session_id: str, fact: BaselineImported) -> tuple[RowChange, ...]:
    key = as_uuid(fact.snapshot_id)
    if key is None:
        return ()
    values: dict[str, Cell] = {
        "session_id": session_id,
        "snapshot_json": json_text(fact.snapshot_json),
        "node_name": BASELINE,
        "created_at": moment(envelope.occurred_at_ms),
        "agent_state": "{}",
        "cost_summary": "{}",
        "performance_metrics": "{}",
    }
    return (session_row(session_id), RowChange("graph_snapshots", key, values))


def _tool_use(fact: ToolUseImported) -> tuple[RowChange, ...]:
    tool = cut_unique(fact.tool, 100)
    latency, rate = fact.latency_ms_mean, fact.success_rate
    values: dict[str, Cell] = {
        "tool_name": tool,
        "category": cut(fact.category, 50),
        "version": TOOL_VERSION,
        "success_rate_30d": None if rate is None else decimal(rate, 0.0, 100.0),
        "avg_latency_ms": None if latency is None else decimal(latency, 0.0, _DECIMAL_8_2_MAX),
        "avg_cost_tokens": decimal(fact.cost_tokens_mean, 0.0, _DECIMAL_8_2_MAX),
        "call_count_30d": int32(fact.calls),
        "last_updated": moment(fact.measured_at_ms),
        "last_success": None if fact.succeeded_at_us is None else moment_us(fact.succeeded_at_us),
        "last_failure": None if fact.failed_at_us is None else moment_us(fact.failed_at_us),
    }
    key = derived_id("tool_capability", tool, TOOL_VERSION)
    return (RowChange("tool_capability_index", key, values),)


def _int32(number: int | None) -> int | None:
    return None if number is None else int32(number)
