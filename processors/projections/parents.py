"""Parents that may not have arrived: rows that only exist, made together with what refers to them."""

from processors.projections.rows import RowChange
from processors.projections.values import as_uuid


def session_row(session_id: str) -> RowChange:
    """Let the session exist."""
    return RowChange(table="sessions", key=session_id)


def task_rows(session_id: str, *task_ids: str | None) -> tuple[RowChange, ...]:
    """Let the session exist, and in it the tasks that are named."""
    keys = (as_uuid(task_id) for task_id in task_ids)
    return (
        session_row(session_id),
        *(
            RowChange(table="tasks_v2", key=key, values={"session_id": session_id})
            for key in keys
            if key is not None
        ),
    )
