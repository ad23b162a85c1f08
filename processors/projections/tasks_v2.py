"""Rows of `tasks_v2`, of task events."""

from typing import assert_never

from processors.projections.parents import task_rows
from processors.projections.rows import Cell, RowChange
from processors.projections.values import as_uuid, between, clean, cut, int32, json_text, moment
from schemas.envelope import Envelope
from schemas.events.tasks import (
    TaskAborted,
    TaskCompleted,
    TaskCreated,
    TaskFact,
    TaskFailed,
    TaskPruned,
    TaskReady,
    TaskRetried,
    TaskStalled,
    TaskStarted,
)


def of_task(envelope: Envelope, fact: TaskFact) -> tuple[RowChange, ...]:
    """A task's row after `fact`; its parent exists before it."""
    session_id, task_id = as_uuid(envelope.session_id), as_uuid(fact.task_id)
    if session_id is None or task_id is None:
        return ()
    at = moment(envelope.occurred_at_ms)
    values: dict[str, Cell] = {"session_id": session_id, "updated_at": at}
    parent_id = None
    match fact:
        case TaskCreated():
            # The table's check refuses a task that is its own parent.
            parent_id = None if as_uuid(fact.parent_id) == task_id else as_uuid(fact.parent_id)
            values |= _created(fact) | {"created_at": at, "parent_id": parent_id}
        case TaskReady():
            values |= {"status": "pending"}
        case TaskStarted():
            values |= {"status": "running", "retry_count": int32(max(0, fact.attempt - 1))}
        case TaskRetried():
            values |= {"status": "pending", "retry_count": int32(max(0, fact.attempt))}
            values |= _error(fact.error_kind, fact.error)
        case TaskCompleted():
            values |= {"status": "complete", "completed_at": at}
        case TaskFailed():
            values |= {"status": "failed", "completed_at": at} | _error(fact.error_kind, fact.error)
        case TaskPruned():
            values |= {"status": "pruned", "completed_at": at} | _error(fact.reason, fact.detail)
        case TaskAborted():
            values |= {"status": "aborted", "completed_at": at, "error_message": clean(fact.reason)}
        case TaskStalled():
            pass
        case _:
            assert_never(fact)
    if isinstance(fact, TaskCompleted | TaskRetried | TaskFailed | TaskPruned | TaskAborted):
        values["actual_cost_tokens"] = int32(fact.actual_tokens)
    return (
        *task_rows(session_id, parent_id),
        RowChange("tasks_v2", task_id, values),
    )


def _created(fact: TaskCreated) -> dict[str, Cell]:
    return {
        "intent": clean(fact.intent),
        "spec_json": json_text(fact.spec_json),
        "cost_budget_tokens": int32(fact.budget_tokens),
        "priority": between(fact.priority, 1, 10),
        "status": "running" if fact.started else "pending",
        "estimated_cost_tokens": int32(fact.estimated_tokens),
        "agent_assigned": cut(fact.agent, 50),
    }


def _error(kind: str, text: str) -> dict[str, Cell]:
    return {"error_message": clean(f"{kind}: {text}" if text else kind)}
