"""The session's state at each node of its graph: the facts of `graph.snapshots`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class Node(Word):
    """A node of a session's graph."""

    INTAKE = "intake"
    PLAN = "plan"
    CRITIQUE = "critique"
    EXECUTE = "execute"
    SYNTHESIZE = "synthesize"
    ANSWER = "answer"
    EXHAUSTED = "exhausted"
    """The budget ended the turn."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    FORK = "fork"
    """Where a fork went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSnapshotTaken:
    """The session reached a node."""

    snapshot_id: Impersonal
    turn: int
    node: Node
    snapshot_json: Personal
    """JSON object: the request, and the tasks with intent, parent, priority, status and edges.

    While a plan is made, the tasks that it has so far.
    """
    agent_state_json: Personal
    """JSON object: what each running agent waits for."""
    cost_summary_json: Impersonal
    """JSON object: tokens and nanodollars granted, reserved, used and left."""
    performance_json: Impersonal
    """JSON object: elapsed times and counts of calls, retries and failures."""


SnapshotFact = GraphSnapshotTaken
