"""Requesting model calls: the prompt, its estimate, the admission, the reservation, and the call."""

from dataclasses import dataclass

from processors.budgets import Left, exhausted, reserve_model_call, task_tokens_left
from processors.health import resting
from processors.memory.imported import told_by
from processors.prompts import evidence_of, prompt_tokens
from processors.routing import Admission, Refusal, Wish, route
from processors.state import Task, ToolCallStatus
from processors.transition import Transition
from schemas.events.budgets import BudgetScope
from schemas.events.models import CallPurpose, ModelCallCancelled, ModelCallRequested, PromptMessage
from schemas.events.plans import Difficulty
from schemas.events.tools import ToolCallCancelled
from schemas.frozen import replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A model call as a decider wants it."""

    purpose: CallPurpose
    agent: str
    tier: str
    messages: tuple[PromptMessage, ...]
    output_tokens_max: int
    temperature: float = 0.0
    json_mode: bool = False
    tools: tuple[str, ...] = ()
    task: Task | None = None
    """None: the call is the turn's own, and counts for its root task."""
    prompt_tokens_min: int = 0
    """What an earlier try was counted to have, when the estimate was too low."""
    may_use_reserve: bool = False
    """True for the synthesizer: what was held back is for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unaffordable:
    """A call that was not made."""

    wish: Wish
    refusal: Refusal


def admission(transition: Transition, prompt: Prompt) -> Admission | Unaffordable:
    """Tell on what terms a model call can be afforded now; changes nothing."""
    wish = _wish(transition, prompt)
    models, limits = transition.configuration.models.chat, transition.configuration.limits
    admitted = route(wish, transition.budget, models, limits)
    return Unaffordable(wish=wish, refusal=admitted) if isinstance(admitted, Refusal) else admitted


def request(transition: Transition, prompt: Prompt) -> str | Unaffordable:
    """Request a model call if it can be afforded; returns its id."""
    admitted = admission(transition, prompt)
    if isinstance(admitted, Unaffordable):
        return admitted
    turn = transition.turn
    task_id = _task_id(transition, prompt)
    call_id = transition.new_id("model-call")
    left = reserve_model_call(transition, call_id, _wish(transition, prompt), admitted)
    requested = _requested(transition, prompt, admitted, call_id, task_id, left)
    begun = (prompt.task.started_event_id,) if prompt.task else ()
    transition.emit(requested, (*begun, *told_by(transition.state), *evidence_of(prompt.messages)))
    transition.turn = replace(transition.turn, calls=turn.calls + 1)
    return call_id


def tell_unaffordable(transition: Transition, unaffordable: Unaffordable) -> str:
    """Tell that a call could not be admitted; returns the event's id."""
    scope_id = (
        transition.state.session_id
        if unaffordable.refusal.scope is BudgetScope.SESSION
        else unaffordable.wish.task_id
    )
    return exhausted(transition, unaffordable.wish, unaffordable.refusal, scope_id)


def cancel_calls(transition: Transition, reason: str) -> None:
    """Tell the effect shells that the outcomes of the turn's calls in flight are no longer wanted.

    Their reservations stay until their bills are known.
    """
    turn = transition.turn
    if turn.model_call_id is not None:
        transition.emit(ModelCallCancelled(call_id=turn.model_call_id, reason=reason))
        transition.turn = replace(transition.turn, model_call_id=None)
    for task in turn.tasks.values():
        cancel_task_calls(transition, task, reason)


def cancel_task_calls(transition: Transition, task: Task, reason: str) -> None:
    """Tell the same of one task's calls."""
    if task.model_call_id is not None:
        transition.emit(ModelCallCancelled(call_id=task.model_call_id, reason=reason))
    for call in task.tool_calls:
        if call.status is ToolCallStatus.REQUESTED:
            transition.emit(ToolCallCancelled(call_id=call.call_id, reason=reason))


def _task_id(transition: Transition, prompt: Prompt) -> str:
    return prompt.task.task_id if prompt.task else transition.turn.root_task_id


def _wish(transition: Transition, prompt: Prompt) -> Wish:
    turn = transition.turn
    budget = transition.budget
    held_tokens = 0 if prompt.may_use_reserve else turn.synthesis_tokens
    held_money = 0 if prompt.may_use_reserve else turn.synthesis_nanodollars
    estimate = prompt_tokens(prompt.messages, transition.configuration, prompt.tools)
    task = prompt.task
    return Wish(
        task_id=_task_id(transition, prompt),
        purpose=prompt.purpose,
        agent=prompt.agent,
        tier=prompt.tier,
        input_tokens=max(estimate, prompt.prompt_tokens_min),
        output_tokens=prompt.output_tokens_max,
        tokens_left=max(0, budget.tokens_left - held_tokens),
        nanodollars_left=max(0, budget.nanodollars_left - held_money),
        task_tokens_left=task_tokens_left(transition, task.task_id) if task else None,
        difficulty=task.difficulty if task else Difficulty.USUAL,
        calls_tools=bool(prompt.tools),
        is_json=prompt.json_mode,
        resting=resting(transition.state.models_failed, transition.now_ms, transition.configuration.limits),
    )


def _requested(
    transition: Transition, prompt: Prompt, admitted: Admission, call_id: str, task_id: str, left: Left
) -> ModelCallRequested:
    limits = transition.configuration.limits
    return ModelCallRequested(
        call_id=call_id,
        task_id=task_id,
        turn=transition.turn.number,
        purpose=prompt.purpose,
        agent=prompt.agent,
        model=admitted.model.name,
        messages=prompt.messages,
        tools=prompt.tools,
        json_mode=prompt.json_mode,
        temperature=prompt.temperature,
        input_tokens_max=admitted.input_tokens,
        output_tokens_max=admitted.output_tokens,
        reserved_tokens=admitted.tokens,
        reserved_nanodollars=admitted.nanodollars,
        session_tokens_left=left.session_tokens,
        session_nanodollars_left=left.session_nanodollars,
        task_tokens_left=left.task_tokens,
        timeout_ms=limits.model_timeout_ms,
        attempts_max=limits.model_attempts_max,
        routing=admitted.reasons,
    )
