"""Pieces of outputs while they come: the facts of `session.deltas`, which are not part of the truth."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeltaReceived:
    """Some more text of a model's answer."""

    call_id: str
    task_id: str
    purpose: str
    attempt: int
    index: int
    """0, 1, 2 … within the attempt; a new attempt starts the text anew."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeltaReceived:
    """Some more output of a tool."""

    call_id: str
    task_id: str
    attempt: int
    index: int
    channel: str
    """stdout, stderr or progress."""
    text: str


DeltaFact = ModelDeltaReceived | ToolDeltaReceived
