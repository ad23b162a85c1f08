"""Rows of `graph_snapshots`."""

from processors.projections.parents import session_row
from processors.projections.rows import RowChange
from processors.projections.values import as_uuid, cut, json_text, moment
from schemas.envelope import Envelope
from schemas.events.snapshots import GraphSnapshotTaken


def of_snapshot(envelope: Envelope, fact: GraphSnapshotTaken) -> tuple[RowChange, ...]:
    """One row a snapshot."""
    session_id, snapshot_id = as_uuid(envelope.session_id), as_uuid(fact.snapshot_id)
    if session_id is None or snapshot_id is None:
        return ()
    values = {
        "session_id": session_id,
        "snapshot_json": json_text(fact.snapshot_json),
        "node_name": cut(fact.node, 50),
        "created_at": moment(envelope.occurred_at_ms),
        "agent_state": json_text(fact.agent_state_json),
        "cost_summary": json_text(fact.cost_summary_json),
        "performance_metrics": json_text(fact.performance_json),
    }
    return (
        session_row(session_id),
        RowChange("graph_snapshots", snapshot_id, values),
    )
