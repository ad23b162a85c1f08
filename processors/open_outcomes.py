"""Tool calls of which nobody knows whether they were carried out: a person is asked, and tells.

Until then the call is open: its task waits, as for an approval, and the turn's deadline rests. Nobody repeats
the call. Whoever finds out tells whether it was carried out, and the agent goes on with that.
"""

from typing import Final

from processors.lifecycles import BEGINS, OUTCOME
from processors.state import Task, ToolCallPending, ToolCallStatus
from processors.tool_calls import answer, find, store
from processors.transition import Transition
from schemas.events.inputs import OutcomeTold
from schemas.events.outputs import OutcomeAsked
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolFailureKind
from schemas.events.trust import Trust
from schemas.frozen import replace

RESULT_CHARACTERS_MAX: Final = 20_000
"""Of what an operator tells that a call gave."""


def is_open(task: Task, call_id: str) -> bool:
    """Tell whether a person is asked about a call of the task."""
    return any(call.call_id == call_id and call.status is ToolCallStatus.OPEN for call in task.tool_calls)


def was_told(task: Task, outcome: ToolCallFailed | ToolCallCompleted) -> bool:
    """Tell whether an outcome that leaves a call open is of a settled one: only a person settles those."""
    return (
        isinstance(outcome, ToolCallFailed)
        and outcome.maybe_effected
        and any(
            call.call_id == outcome.call_id and call.status is ToolCallStatus.SETTLED
            for call in task.tool_calls
        )
    )


def is_to_be_asked(outcome: ToolCallFailed) -> bool:
    """Tell whether a person could find out more than is known: of a lost result it is known all."""
    return outcome.maybe_effected and outcome.kind != ToolFailureKind.RESULT_INVALID


def ask(transition: Transition, task: Task, outcome: ToolCallFailed) -> None:
    """Ask a person what became of a call."""
    OUTCOME.move(BEGINS, "asked")
    call = find(task, outcome.call_id)
    expires_at_ms = transition.now_ms + transition.configuration.limits.approval_ms
    transition.emit(
        OutcomeAsked(
            call_id=call.call_id,
            task_id=task.task_id,
            agent=task.agent,
            tool=outcome.tool,
            arguments_json=call.proposed.arguments_json,
            idempotency_key=call.call_id,
            kind=outcome.kind,
            message=outcome.message,
            expires_at_ms=expires_at_ms,
        )
    )
    store(transition, task, replace(call, status=ToolCallStatus.OPEN, due_at_ms=expires_at_ms))


def told(transition: Transition, task: Task, body: OutcomeTold) -> None:
    """Settle a call by what a person found out."""
    OUTCOME.move("asked", "told")
    call = find(task, body.call_id)
    because = f": {body.reason}" if body.reason else ""
    if body.carried_out:
        said: dict[str, object] = {
            "carried_out": True,
            "result": "lost" if body.result is None else body.result,
            "told": f"a person looked whether the call was carried out{because}; it is not to be repeated",
        }
    else:
        said = {"error": f"not carried out, as a person has found{because}"}
    task = replace(task, progress_at_ms=transition.now_ms, stalled=False)
    answer(transition, task, call, said, Trust.USER)


def expired(transition: Transition, task: Task) -> ToolCallPending | None:
    """Return a call of the task that nobody told of in time."""
    for call in task.tool_calls:
        if call.status is ToolCallStatus.OPEN and call.due_at_ms <= transition.now_ms:
            OUTCOME.move("asked", "expired")
            return call
    return None
