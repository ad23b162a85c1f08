"""How one schedule stands."""

from dataclasses import dataclass
from typing import Final

from schemas.events.schedules import SchedulePlan, ScheduleStatus

ACTS_MAX: Final = 16
"""So many of the latest acts are known, so that one that is sent twice counts once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFiring:
    """What was begun, and of which nobody has seen the end."""

    firing_id: str
    due_at_ms: int
    fired_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleState:
    """One schedule; without a plan it is none yet."""

    schedule_id: str
    tenant_id: str = ""
    user_id: str = ""
    """Its owner, in whose name it speaks."""
    plan: SchedulePlan | None = None
    status: ScheduleStatus = ScheduleStatus.ACTIVE
    anchor_ms: int = 0
    """When it was created."""
    next_at_ms: int | None = None
    """The first due time of which nothing was decided yet."""
    early: int = 0
    """How often a worker whose clock is ahead said that this time has come, and it had not."""
    session_opened: bool = False
    """Whether the one session in which all is said was opened."""
    open: tuple[OpenFiring, ...] = ()
    """The oldest first."""
    ended_at_ms: int | None = None
    acts: tuple[str, ...] = ()
    """Event ids of the latest acts, the oldest first."""
