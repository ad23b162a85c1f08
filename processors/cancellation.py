"""Ending before the end: cancels, deadlines, closing, and giving back what an account lent."""

from processors import retrievals, snapshots, synthesis
from processors.answers import answer_without_model, complete_tasks, ended_task, prune
from processors.calls import cancel_calls
from processors.state import Phase, SessionState, SessionStatus, TaskStatus
from processors.timers import idle_ends_at_ms
from processors.transition import Transition
from schemas.events.accounts import LeaseReturned
from schemas.events.inputs import SessionCancelled
from schemas.events.outputs import AnswerReason, EndReason, ErrorCode, SessionEnded
from schemas.events.snapshots import Node
from schemas.events.tasks import PruneReason, TaskAborted
from schemas.frozen import replace


def cancel(transition: Transition, body: SessionCancelled) -> None:
    """Stop the session: its tasks and calls in flight are aborted, and it takes no more input."""
    state = transition.state
    if state.status is SessionStatus.NEW:
        transition.refuse(ErrorCode.UNKNOWN_SESSION, "there is no such session")
        return
    if state.turn is not None:
        _abort(transition, body.reason or "the session was cancelled")
    _end(transition, EndReason.CANCELLED)


def close(transition: Transition) -> None:
    """End the session when the messages that it has taken are answered."""
    state = transition.state
    if state.status is SessionStatus.NEW:
        transition.refuse(ErrorCode.UNKNOWN_SESSION, "there is no such session")
        return
    if state.status is SessionStatus.LEASING:
        _end(transition, EndReason.CLOSED)
        return
    transition.state = replace(state, status=SessionStatus.CLOSING)


def end_if_closing(transition: Transition) -> None:
    """End a closing session that has nothing left to answer."""
    state = transition.state
    if state.status is SessionStatus.CLOSING and state.turn is None and not state.queue:
        _end(transition, EndReason.CLOSED)


def note_rest(transition: Transition) -> None:
    """Note since when the session has nothing to do."""
    state = transition.state
    rests = state.status is SessionStatus.OPEN and state.turn is None and not state.queue and not state.calls
    if not rests and state.idle_since_ms is not None:
        transition.state = replace(state, idle_since_ms=None)
    elif rests and state.idle_since_ms is None:
        transition.state = replace(state, idle_since_ms=transition.now_ms)


def end_if_idle(transition: Transition) -> None:
    """End a session that nobody has spoken in for too long; so its lease returns and its state can leave."""
    ends_at_ms = idle_ends_at_ms(transition.state, transition.configuration.limits)
    if ends_at_ms is not None and ends_at_ms <= transition.now_ms:
        _end(transition, EndReason.IDLE)


def deadline(transition: Transition) -> None:
    """End a turn whose time is up with what its tasks have found."""
    give_up(transition, AnswerReason.DEADLINE, "the turn's time is up")


def give_up(transition: Transition, reason: AnswerReason, why: str) -> None:
    """Stop a turn's work, and answer from what is complete."""
    cancel_calls(transition, reason)
    transition.turn = replace(transition.turn, retry_at_ms=None)
    was_synthesizing = transition.turn.phase is Phase.SYNTHESIZE
    for task in transition.turn.tasks.values():
        if not task.status.is_end:
            prune(transition, task, PruneReason(reason), why)
    transition.turn = replace(transition.turn, degraded=transition.turn.degraded or reason)
    if complete_tasks(transition) and not was_synthesizing and reason is not AnswerReason.DEADLINE:
        synthesis.ask_for_answer(transition)
    else:
        answer_without_model(transition, reason, why)


def return_lease(transition: Transition) -> None:
    """Give back what an ended session did not use, once its last bill is known."""
    state = transition.state
    if state.status is not SessionStatus.ENDED or state.lease_id is None or state.budget.reservations:
        return
    transition.emit(
        LeaseReturned(
            lease_id=state.lease_id,
            account_id=account_of(state),
            tokens_used=state.budget.tokens_used,
            nanodollars_used=state.budget.nanodollars_used,
        )
    )
    transition.state = replace(state, lease_id=None)


def account_of(state: SessionState) -> str:
    """Return the account that pays for a session."""
    return f"{state.tenant_id}/{state.user_id}"


def _abort(transition: Transition, reason: str) -> None:
    cancel_calls(transition, reason)
    for task in transition.turn.tasks.values():
        if task.status.is_end:
            continue
        retrievals.measure(transition, task, "", TaskStatus.ABORTED)
        aborted = transition.emit(
            TaskAborted(
                task_id=task.task_id,
                reason=reason,
                actual_tokens=task.tokens_used,
                cost_nanodollars=task.nanodollars_used,
            )
        )
        transition.put(ended_task(task, TaskStatus.ABORTED, aborted, reason, now_ms=transition.now_ms))
    turn = transition.turn
    transition.emit(
        TaskAborted(
            task_id=turn.root_task_id,
            reason=reason,
            actual_tokens=turn.tokens_used,
            cost_nanodollars=turn.nanodollars_used,
        )
    )
    snapshots.take(transition, Node.CANCELLED)
    transition.state = replace(transition.state, turn=None)


def _end(transition: Transition, reason: EndReason) -> None:
    state = transition.state
    transition.emit(
        SessionEnded(
            reason=reason,
            turns=state.turns,
            tokens=state.budget.tokens_used,
            cost_nanodollars=state.budget.nanodollars_used,
        )
    )
    transition.state = replace(
        state,
        status=SessionStatus.ENDED,
        ended_at_ms=state.now_ms,
        queue=(),
        turn=None,
        resumption=None,
        wish=None,
    )
    return_lease(transition)
