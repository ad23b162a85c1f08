"""How far a turn is, told as it goes: a line for each phase, each task that ends, and what is waited for."""

from processors.state import Turn
from processors.transition import Transition
from schemas.events.outputs import ProgressReported, Stage


def report(transition: Transition, detail: str, stage: Stage | None = None) -> None:
    """Tell the user how far the turn is; the stage is the turn's phase unless another is named."""
    turn = transition.turn
    transition.emit(
        ProgressReported(
            turn=turn.number,
            stage=Stage(turn.phase) if stage is None else stage,
            detail=detail,
            tasks_done=sum(task.status.is_end for task in turn.tasks.values()),
            tasks_total=len(turn.tasks),
        )
    )


def report_ends(transition: Transition, before: Turn) -> None:
    """Tell the user of the tasks that ended since `before`."""
    if transition.state.turn is None or transition.turn.number != before.number:
        return
    for task in transition.turn.tasks.values():
        earlier = before.tasks.get(task.task_id)
        if task.status.is_end and earlier is not None and not earlier.status.is_end:
            report(transition, f"{task.key}: {task.status}: {task.intent}")
