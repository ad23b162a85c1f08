"""Ending a turn: with the synthesizer's answer, or with the best that there is without a model."""

from collections.abc import Callable
from typing import Final

from processors import retrievals, snapshots
from processors.amounts import what_to_do
from processors.memory.summaries import note_exchange
from processors.retries import retry_delay_ms
from processors.state import Task, TaskStatus
from processors.transition import Transition
from schemas.events.models import FinishReason, ModelCallCompleted, ModelCallFailed, ModelFailureKind
from schemas.events.outputs import AnswerGiven, AnswerReason, Citation, NoticeCode, NoticeGiven
from schemas.events.snapshots import Node
from schemas.events.tasks import (
    CallGivenUp,
    CallRetried,
    PruneReason,
    TaskCompleted,
    TaskErrorKind,
    TaskFailed,
    TaskPruned,
)
from schemas.frozen import replace

EXCERPT_CHARACTERS_MAX: Final = 1_000
ERROR_CHARACTERS_MAX: Final = 1_000


def complete_tasks(transition: Transition) -> list[Task]:
    """Return the turn's tasks that ended well, in the order in which answers cite them."""
    return [task for task in transition.turn.tasks.values() if task.status is TaskStatus.COMPLETE]


def answer(transition: Transition, outcome: ModelCallCompleted) -> None:
    """End the turn with the synthesizer's text."""
    turn = transition.turn
    if turn.degraded is AnswerReason.BUDGET_EXHAUSTED:
        transition.emit(
            NoticeGiven(
                code=NoticeCode.BUDGET_SPENT,
                message=what_to_do(transition.state, turn.short_of, transition.configuration.limits),
                input_id=turn.message.input_id,
            )
        )
    _give(
        transition,
        text=outcome.text,
        reason=turn.degraded or (AnswerReason.UNPLANNED if turn.draft.is_default else AnswerReason.ANSWERED),
        model=outcome.model,
        local=outcome.local,
    )


def answer_without_model(transition: Transition, reason: AnswerReason, why: str) -> None:
    """End the turn with what the finished tasks found, and why there is no more."""
    found = [
        f"[{number}] {task.intent}: {task.excerpt}"
        for number, task in enumerate(complete_tasks(transition), start=1)
    ]
    lead = "This is the best answer so far" if found else "There is no answer"
    parts = [f"{lead}: {why}.", *found]
    if reason is AnswerReason.BUDGET_EXHAUSTED:
        short_of = transition.turn.short_of
        parts.append(f"{what_to_do(transition.state, short_of, transition.configuration.limits)}.")
    text = "\n\n".join(parts)
    transition.turn = replace(transition.turn, degraded=transition.turn.degraded or reason)
    _give(transition, text=text, reason=reason, model="", local=False)


def nothing_written(outcome: ModelCallCompleted) -> str:
    """Say why an answer has no text."""
    match outcome.finish_reason:
        case FinishReason.LENGTH:
            return (
                f"the answer was cut off at its limit, after {outcome.output_tokens} tokens and before any "
                "text came: the model used them up by thinking"
            )
        case FinishReason.CONTENT_FILTER:
            return "the provider's content filter held the answer back"
        case _:
            return "the model wrote nothing"


def turn_call_failed(
    transition: Transition,
    outcome: ModelCallFailed,
    *,
    retry: Callable[[Transition], None],
    give_up: Callable[[Transition, ModelCallFailed], None],
) -> None:
    """Handle the failure of one of the turn's own calls: try it again, now or later, or give up."""
    turn = transition.turn
    limits = transition.configuration.limits
    if (
        outcome.kind is ModelFailureKind.PROMPT_TOO_LONG
        and outcome.prompt_tokens_counted > turn.prompt_tokens_min
    ):
        tell_retried(transition, outcome, turn.attempt, prompt_tokens_min=outcome.prompt_tokens_counted)
        transition.turn = replace(turn, prompt_tokens_min=outcome.prompt_tokens_counted)
        retry(transition)
    elif outcome.retryable and turn.attempt < limits.attempts_max:
        delay_ms = max(retry_delay_ms(turn.attempt, outcome.call_id, limits), outcome.retry_after_ms or 0)
        tell_retried(transition, outcome, turn.attempt, delay_ms=delay_ms)
        transition.turn = replace(
            turn,
            attempt=turn.attempt + 1,
            retries=turn.retries + 1,
            retry_at_ms=transition.now_ms + delay_ms,
        )
    else:
        transition.emit(
            CallGivenUp(
                call_id=outcome.call_id,
                task_id=turn.root_task_id,
                purpose=outcome.purpose,
                attempt=turn.attempt,
                error_kind=outcome.kind,
                error=outcome.message[:ERROR_CHARACTERS_MAX],
            )
        )
        give_up(transition, outcome)


def tell_retried(
    transition: Transition,
    outcome: ModelCallFailed,
    attempt: int,
    *,
    delay_ms: int = 0,
    prompt_tokens_min: int = 0,
) -> None:
    """Tell that a failed model call is made again."""
    transition.emit(
        CallRetried(
            call_id=outcome.call_id,
            task_id=outcome.task_id,
            purpose=outcome.purpose,
            attempt=attempt,
            delay_ms=delay_ms,
            error_kind=outcome.kind,
            error=outcome.message[:ERROR_CHARACTERS_MAX],
            prompt_tokens_min=prompt_tokens_min,
        )
    )


def prune(
    transition: Transition, task: Task, reason: PruneReason, detail: str, evidence: tuple[str, ...] = ()
) -> None:
    """Drop a task that has not ended."""
    retrievals.measure(transition, task, "", TaskStatus.PRUNED)
    ended = transition.emit(
        TaskPruned(
            task_id=task.task_id,
            reason=reason,
            detail=detail,
            actual_tokens=task.tokens_used,
            cost_nanodollars=task.nanodollars_used,
        ),
        evidence,
    )
    transition.put(
        ended_task(task, TaskStatus.PRUNED, ended, f"{reason}: {detail}", now_ms=transition.now_ms)
    )


def ended_task(task: Task, status: TaskStatus, ended_event_id: str, error: str, *, now_ms: int) -> Task:
    """Return a task at its end: it waits for nothing, and what it said on the way is forgotten."""
    return replace(
        task,
        status=status,
        ended_event_id=ended_event_id,
        error=error,
        model_call_id=None,
        needs_step=False,
        retry_at_ms=None,
        tool_calls=(),
        conversation=(),
        retrievals=(),
        progress_at_ms=now_ms,
    )


def _give(transition: Transition, *, text: str, reason: AnswerReason, model: str, local: bool) -> None:
    turn = transition.turn
    for task in turn.tasks.values():
        if not task.status.is_end:
            prune(transition, task, PruneReason(reason), "the turn ended before the task")
    turn = transition.turn
    found = complete_tasks(transition)
    rests_on = tuple(task.ended_event_id for task in found if task.ended_event_id)
    transition.emit(
        AnswerGiven(
            turn=turn.number,
            input_id=turn.message.input_id,
            task_id=turn.root_task_id,
            text=text,
            citations=tuple(
                Citation(task_id=task.task_id, intent=task.intent, number=number)
                for number, task in enumerate(found, start=1)
            ),
            complete=not turn.degraded,
            reason=reason,
            model=model,
            local=local,
            tokens=turn.tokens_used,
            cost_nanodollars=turn.nanodollars_used,
        ),
        (*rests_on, turn.message.reference.event_id),
    )
    _end_root(transition, text, reason, rests_on, answered=bool(model) or bool(found))
    snapshots.take(transition, _node(transition, reason))
    answered = transition.reference(_output_tokens(transition)) if model else None
    note_exchange(transition, turn, answered, len(text) if model else 0)
    transition.state = replace(transition.state, turn=None)


def _end_root(
    transition: Transition, text: str, reason: AnswerReason, evidence: tuple[str, ...], *, answered: bool
) -> None:
    turn = transition.turn
    if answered:
        transition.emit(
            TaskCompleted(
                task_id=turn.root_task_id,
                actual_tokens=turn.tokens_used,
                cost_nanodollars=turn.nanodollars_used,
                steps=turn.calls,
                excerpt=text[:EXCERPT_CHARACTERS_MAX],
            ),
            evidence,
        )
    else:
        transition.emit(
            TaskFailed(
                task_id=turn.root_task_id,
                attempt=1,
                error_kind=TaskErrorKind(reason),
                error=text,
                actual_tokens=turn.tokens_used,
                cost_nanodollars=turn.nanodollars_used,
            )
        )


def _node(transition: Transition, reason: AnswerReason) -> Node:
    if reason is AnswerReason.BUDGET_EXHAUSTED:
        return Node.EXHAUSTED
    return Node.ANSWER if reason is AnswerReason.ANSWERED or complete_tasks(transition) else Node.FAILED


def _output_tokens(transition: Transition) -> int:
    body = transition.event.body
    return body.output_tokens if isinstance(body, ModelCallCompleted) else 0
