"""Parents that may not have arrived: rows that only exist, made together with what refers to them."""

from functools import lru_cache

from processors.projections.rows import RowChange
from processors.projections.values import as_uuid


@lru_cache(maxsize=4_096)
def session_row(session_id: str) -> RowChange:
    """Let the session exist."""
    return RowChange("sessions", session_id)


@lru_cache(maxsize=4_096)
def task_rows(session_id: str, *task_ids: str | None) -> tuple[RowChange, ...]:
    """Let the session exist, and in it the tasks that are named."""
    keys = (as_uuid(task_id) for task_id in task_ids)
    return (
        session_row(session_id),
        *(RowChange("tasks_v2", key, {"session_id": session_id}) for key in keys if key is not None),
    )
