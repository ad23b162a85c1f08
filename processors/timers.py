"""What a session waits for in time; the shell reminds it, and it does whatever is due then."""

from processors.decider import Timer
from processors.state import SessionState, Task, ToolCallStatus, Turn
from schemas.configuration import Limits
from schemas.events.timers import TimerKind
from schemas.ids import derived_id


def timers_of(state: SessionState, limits: Limits) -> tuple[Timer, ...]:
    """Return a timer for each deadline and delay; its id follows from what it is for and when it is due."""
    waits = []
    if state.turn is not None:
        waits += _turn_waits(state.turn)
        for task in state.turn.tasks.values():
            waits += _task_waits(task)
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
    if state.idle_since_ms is None or limits.session_idle_ms <= 0:
        return None
    return state.idle_since_ms + limits.session_idle_ms


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
        elif call.status is ToolCallStatus.ESCALATED:
            waits.append((TimerKind.APPROVAL, call.call_id, call.due_at_ms))
    return waits
