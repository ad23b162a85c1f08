"""What a session waits for in time; the shell reminds it, and it does whatever is due then."""

from typing import Final

from processors.client_state import ClientCallStatus
from processors.decider import Timer
from processors.state import SessionState, Task, ToolCallStatus, Turn
from schemas.configuration import Limits
from schemas.events.timers import TimerKind
from schemas.ids import derived_id

CALLS_IDLE_MS: Final = 25 * 3_600_000
"""A session of clients' calls is one day's: by then nobody calls in it any more."""


LEASE_REST_MS: Final = 60_000
"""After so long without a call a session of calls gives back what its token's account has lent it."""


def timers_of(state: SessionState, limits: Limits) -> tuple[Timer, ...]:
    """Return a timer for each deadline and delay; its id follows from what it is for and when it is due."""
    waits = []
    if state.turn is not None:
        waits += _turn_waits(state.turn)
        for task in state.turn.tasks.values():
            waits += _task_waits(task)
    # They wait in the order in which they came, so that the first is the first to be given up.
    waiting = (one for one in state.calls.values() if one.status is ClientCallStatus.WAITING)
    if (first := next(waiting, None)) is not None:
        waits.append((TimerKind.CLIENT_CALL, first.call_id, first.due_at_ms))
    for at_ms in (lease_returns_at_ms(state), state.account.retry_at_ms if state.account else None):
        if at_ms is not None:
            waits.append((TimerKind.LEASE, str(at_ms), at_ms))
    ends_at_ms = idle_ends_at_ms(state, limits)
    if ends_at_ms is not None:
        waits.append((TimerKind.IDLE, str(state.turns), ends_at_ms))
    return tuple(
        Timer(
            timer_id=derived_id(state.session_id, "timer", kind, subject, str(due_at_ms)),
            kind=kind,
            due_at_ms=due_at_ms,
        )
        for kind, subject, due_at_ms in waits
    )


def idle_ends_at_ms(state: SessionState, limits: Limits) -> int | None:
    """Return when a session ends that nobody speaks in any more, or None while it does not."""
    if state.idle_since_ms is None:
        return None
    if state.calls_of is not None:
        return state.idle_since_ms + CALLS_IDLE_MS
    if limits.session_idle_ms <= 0:
        return None
    return state.idle_since_ms + limits.session_idle_ms


def lease_returns_at_ms(state: SessionState) -> int | None:
    """Return when a session of calls gives its lease back if nobody calls, or None while it does not."""
    account = state.account
    if account is None or account.lease_id is None or account.asked is not None:
        return None
    return None if state.idle_since_ms is None else state.idle_since_ms + LEASE_REST_MS


def _turn_waits(turn: Turn) -> list[tuple[TimerKind, str, int]]:
    subject = str(turn.number)
    waits = [(TimerKind.STALL, subject, turn.stall_check_at_ms)]
    if turn.asking_since_ms is None:
        waits.append((TimerKind.TURN_DEADLINE, subject, turn.deadline_at_ms))
    if turn.retry_at_ms is not None:
        waits.append((TimerKind.RETRY, subject, turn.retry_at_ms))
    return waits


def _task_waits(task: Task) -> list[tuple[TimerKind, str, int]]:
    waits = []
    if task.retry_at_ms is not None:
        waits.append((TimerKind.RETRY, task.task_id, task.retry_at_ms))
    for call in task.tool_calls:
        if call.status is ToolCallStatus.THROTTLED:
            waits.append((TimerKind.THROTTLE, call.call_id, call.due_at_ms))
        elif call.status in (ToolCallStatus.ESCALATED, ToolCallStatus.OPEN):
            waits.append((TimerKind.APPROVAL, call.call_id, call.due_at_ms))
    return waits
