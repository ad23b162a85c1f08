"""Rows of `task_edges`, of the relations that come with a task."""

from processors.projections.parents import task_rows
from processors.projections.rows import RowChange
from processors.projections.values import as_uuid, decimal, moment, one_of
from schemas.envelope import Envelope
from schemas.events.tasks import TaskCreated, TaskEdge
from schemas.ids import derived_id

RELATIONS = ("depends_on", "blocks", "enables", "refines")


def of_created(envelope: Envelope, fact: TaskCreated) -> tuple[RowChange, ...]:
    """Every relation with both its tasks."""
    session_id = as_uuid(envelope.session_id)
    if session_id is None:
        return ()
    return tuple(change for edge in fact.edges for change in _edge(envelope, session_id, edge))


def _edge(envelope: Envelope, session_id: str, edge: TaskEdge) -> tuple[RowChange, ...]:
    from_id, to_id = as_uuid(edge.from_task_id), as_uuid(edge.to_task_id)
    if from_id is None or to_id is None:
        return ()
    relation = one_of(edge.relation, RELATIONS, "depends_on")
    values = {
        "from_task_id": from_id,
        "to_task_id": to_id,
        "relation_type": relation,
        "weight": decimal(edge.weight, -9.99, 9.99),
        "created_at": moment(envelope.occurred_at_ms),
    }
    return (
        *task_rows(session_id, from_id, to_id),
        # The table knows one relation of a kind between two tasks, so that is what the id is made of: an
        # edge that is stated twice under two ids is still one row.
        RowChange("task_edges", derived_id("edge", from_id, to_id, relation), values),
    )
