"""Deadlines and retries that came due: the facts of `session.timers`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer that the session had set came due; a timer that it no longer waits for is ignored."""

    timer_id: str
    kind: str
    """What the timer is for: retry, throttle, stall, turn_deadline, approval or idle."""
    due_at_ms: int


TimerFact = TimerFired
