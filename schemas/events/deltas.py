"""Pieces of outputs while they come: the facts of `session.deltas`, which are not part of the truth."""

from dataclasses import dataclass

from schemas.events.models import CallPurpose
from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class OutputChannel(Word):
    """Where a tool wrote."""

    STDOUT = "stdout"
    STDERR = "stderr"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDeltaReceived:
    """Some more text of a model's answer."""

    call_id: Impersonal
    task_id: Impersonal
    purpose: CallPurpose
    attempt: int
    index: int
    """0, 1, 2 … within the attempt; a new attempt starts the text anew."""
    text: Personal


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDeltaReceived:
    """Some more output of a tool."""

    call_id: Impersonal
    task_id: Impersonal
    attempt: int
    index: int
    channel: OutputChannel
    text: Personal


DeltaFact = ModelDeltaReceived | ToolDeltaReceived
