"""Deadlines and retries that came due: the facts of `session.timers`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal
from schemas.words import Word


class TimerKind(Word):
    """What a timer is for."""

    RETRY = "retry"
    THROTTLE = "throttle"
    """A tool call that goes on after a delay."""
    STALL = "stall"
    """To look for tasks without progress."""
    TURN_DEADLINE = "turn_deadline"
    APPROVAL = "approval"
    """To give up on it."""
    IDLE = "idle"
    """To end a session that nobody speaks in."""
    CLIENT_CALL = "client_call"
    """To give up on a client's call that waits for budget."""
    LEASE = "lease"
    """To give back what a token's account has lent, or to ask it again."""
    SCHEDULE = "schedule"
    """To begin what a schedule wants begun; told as a ScheduleDue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """A timer that the session had set came due; a timer that it no longer waits for is ignored."""

    timer_id: Impersonal
    kind: TimerKind
    due_at_ms: int


TimerFact = TimerFired
