"""The session's state at each node of its graph: the facts of `graph.snapshots`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSnapshotTaken:
    """The session reached a node."""

    snapshot_id: str
    turn: int
    node: str
    """intake, plan, critique, execute, synthesize, answer, exhausted, cancelled or failed."""
    snapshot_json: str
    """JSON object: the tasks with their statuses and relations."""
    agent_state_json: str
    """JSON object: what each running agent waits for."""
    cost_summary_json: str
    """JSON object: tokens and nanodollars granted, reserved, used and left."""
    performance_json: str
    """JSON object: elapsed times and counts of calls, retries and failures."""


SnapshotFact = GraphSnapshotTaken
