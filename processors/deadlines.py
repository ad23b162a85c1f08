"""The turn's deadline, which rests while a person is asked: their time is not the turn's."""

from processors import progress
from processors.state import Turn
from processors.transition import Transition
from schemas.frozen import replace


def is_over(turn: Turn, now_ms: int) -> bool:
    """Tell whether the turn's time is up; it is not while a person is asked."""
    return turn.asking_since_ms is None and turn.deadline_at_ms <= now_ms


def rest_while_asking(transition: Transition) -> None:
    """Note when the turn begins to wait for a person, and give it that time back when it goes on."""
    turn = transition.state.turn
    if turn is None:
        return
    is_asking = any(task.is_asking for task in turn.tasks.values())
    if is_asking and turn.asking_since_ms is None:
        transition.turn = replace(turn, asking_since_ms=transition.now_ms)
    elif not is_asking and turn.asking_since_ms is not None:
        asked_ms = transition.now_ms - turn.asking_since_ms
        transition.turn = replace(turn, asking_since_ms=None, deadline_at_ms=turn.deadline_at_ms + asked_ms)
        progress.report(transition, "nobody is asked any more; the work goes on")
