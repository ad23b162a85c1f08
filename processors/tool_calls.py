"""Tool calls of an agent's step: each is decided by policy, reserved, made, and answered to the model."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from processors import retrievals
from processors.budgets import EXHAUSTED_RULE, reserve, share_left, task_tokens_left, what_is_left
from processors.decisions import tell_decision
from processors.lifecycles import APPROVAL, BEGINS
from processors.policies import PolicyRequest, Verdict, decide, narrowed
from processors.prompts import text_tokens
from processors.state import TOOL_PREFIX, Reservation, Task, ToolCallPending, ToolCallStatus
from processors.transition import Transition
from schemas.configuration import ToolSpec
from schemas.events.budgets import BudgetExhausted, BudgetScope
from schemas.events.models import ChatRole, PromptMessage, ToolCallProposed
from schemas.events.outputs import ApprovalRequested
from schemas.events.policies import Decision
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.frozen import replace

TOO_MANY_RULE: Final = "too_many_at_once"
EXPIRED_RULE: Final = "approval_expired"


def begin(transition: Transition, task_id: str, proposed: tuple[ToolCallProposed, ...]) -> None:
    """Decide each call that a model asks for, and make those that are allowed."""
    limits = transition.configuration.limits
    calls = tuple(
        ToolCallPending(proposed=call, call_id=transition.new_id("tool-call"), status=ToolCallStatus.WAITING)
        for call in proposed
    )
    transition.put(replace(transition.turn.tasks[task_id], tool_calls=calls))
    for number, call in enumerate(calls, start=1):
        task = transition.turn.tasks[task_id]
        if number > limits.tool_calls_max:
            at_most = f"at most {limits.tool_calls_max} calls at once"
            _tell_denied(transition, task, call, TOO_MANY_RULE, at_most)
            _answer(transition, task, call, f"not made: {at_most}; ask again if it is needed")
        else:
            _decide(transition, task, call)


def resume(transition: Transition, task: Task) -> None:
    """Go on with the calls of a step that another session began: all that have no answer are decided anew."""
    calls = tuple(
        call
        if call.status is ToolCallStatus.SETTLED
        else ToolCallPending(
            proposed=call.proposed, call_id=transition.new_id("tool-call"), status=ToolCallStatus.WAITING
        )
        for call in task.tool_calls
    )
    transition.put(replace(task, tool_calls=calls))
    for call in calls:
        if call.status is ToolCallStatus.WAITING:
            _decide(transition, transition.turn.tasks[task.task_id], call)


def take_waiting(transition: Transition, task: Task) -> bool:
    """Make calls that waited for budget, as far as they can be afforded now; tells whether any moved."""
    moved = False
    for call in task.tool_calls:
        if call.status is ToolCallStatus.WAITING:
            _make(transition, transition.turn.tasks[task.task_id], call)
            now = find(transition.turn.tasks[task.task_id], call.call_id)
            moved = moved or now.status is not ToolCallStatus.WAITING
    return moved


def settle(transition: Transition, task: Task, outcome: ToolCallCompleted | ToolCallFailed) -> None:
    """Keep a tool's outcome for the model, by reference."""
    call = find(task, outcome.call_id)
    if isinstance(outcome, ToolCallCompleted):
        tokens = outcome.result_tokens
        searched = retrievals.pending(outcome, transition.event.event_id)
        if searched is not None:
            task = replace(task, retrievals=(*task.retrievals, searched))
    else:
        tokens = text_tokens(outcome.message) + text_tokens(outcome.kind)
    told = PromptMessage(
        role=ChatRole.TOOL, source=transition.reference(tokens), tool_call_id=call.proposed.tool_call_id
    )
    task = replace(task, progress_at_ms=transition.now_ms, stalled=False)
    store(transition, task, replace(call, status=ToolCallStatus.SETTLED, answer=told))


def due(transition: Transition, task: Task) -> None:
    """Make throttled calls whose delay is over; answer for approvals that have expired."""
    for call in task.tool_calls:
        if call.due_at_ms > transition.now_ms:
            continue
        if call.status is ToolCallStatus.THROTTLED:
            _make(transition, transition.turn.tasks[task.task_id], call)
        elif call.status is ToolCallStatus.ESCALATED:
            APPROVAL.move("asked", "expired")
            current = transition.turn.tasks[task.task_id]
            _tell_denied(transition, current, call, EXPIRED_RULE, "nobody approved it in time")
            _answer(transition, current, call, "not made: nobody approved it in time")


def approval_received(
    transition: Transition, task: Task, call_id: str, *, approved: bool, reason: str
) -> None:
    """Make or refuse a call that waited for a person."""
    call = find(task, call_id)
    APPROVAL.move("asked", "approved" if approved else "refused")
    if approved:
        _make(transition, task, call)
    else:
        _answer(transition, task, call, f"not made: a person refused it: {reason or 'no reason given'}")


def awaits_approval(task: Task, call_id: str) -> bool:
    """Tell whether a call of the task waits for a person."""
    return any(
        call.call_id == call_id and call.status is ToolCallStatus.ESCALATED for call in task.tool_calls
    )


def _decide(transition: Transition, task: Task, call: ToolCallPending) -> None:
    configuration = transition.configuration
    name = call.proposed.name
    spec = configuration.tools.get(name)
    request = PolicyRequest(
        agent=configuration.agents[task.agent],
        tool=name,
        spec=spec,
        calls_before=task.tools_called.get(name, 0),
        share_left=share_left(transition.budget),
    )
    verdict = decide(request, configuration.policy)
    if transition.state.overrides.policy is not None:
        # What a session brings along may take away, and never give.
        verdict = narrowed(verdict, decide(request, transition.state.overrides.policy))
    planned = 0
    if spec is not None and verdict.decision in (Decision.ALLOW, Decision.AUDIT):
        planned = _reservation_tokens(transition, task, spec)
    decided = tell_decision(
        transition,
        verdict,
        call_id=call.call_id,
        task_id=task.task_id,
        agent=task.agent,
        tool=name,
        tokens=planned,
        nanodollars=planned * spec.nanodollars_per_token if spec is not None else 0,
        request={
            "tool": name,
            "arguments": call.proposed.arguments_json,
            "task": task.intent,
            "calls_before": request.calls_before,
        },
    )
    call = replace(call, decided_event_id=decided)
    task = replace(task, tools_called={**task.tools_called, name: request.calls_before + 1})
    transition.put(task)
    match verdict.decision:
        case Decision.ALLOW | Decision.AUDIT:
            _make(transition, task, call)
        case Decision.THROTTLE:
            delay_ms = configuration.limits.retry_delay_ms
            waiting = replace(call, status=ToolCallStatus.THROTTLED, due_at_ms=transition.now_ms + delay_ms)
            store(transition, task, waiting)
        case Decision.ESCALATE:
            _escalate(transition, task, call, verdict)
        case _:
            _answer(transition, task, call, f"denied by policy ({verdict.rule}): {verdict.reason}")


def _make(transition: Transition, task: Task, call: ToolCallPending) -> None:
    """Reserve what the tool's own model calls may use, and request the call; or wait, or refuse."""
    spec = transition.configuration.tools[call.proposed.name]
    tokens = _reservation_tokens(transition, task, spec)
    if tokens < spec.tokens_min:
        if transition.budget.reservations:
            store(transition, task, replace(call, status=ToolCallStatus.WAITING))
            return
        _tell_exhausted(transition, task, call, spec)
        _answer(transition, task, call, "not made: the budget has too little left for it")
        return
    nanodollars = tokens * spec.nanodollars_per_token
    left = what_is_left(transition, task.task_id)
    if tokens > 0:
        held = Reservation(
            task_id=task.task_id,
            model=f"{TOOL_PREFIX}{spec.name}",
            tokens=tokens,
            nanodollars=nanodollars,
        )
        left = reserve(transition, call.call_id, held)
    transition.emit(
        ToolCallRequested(
            call_id=call.call_id,
            task_id=task.task_id,
            turn=transition.turn.number,
            tool_call_id=call.proposed.tool_call_id,
            agent=task.agent,
            tool=spec.name,
            tool_version=spec.version,
            arguments_json=call.proposed.arguments_json,
            message=transition.turn.message.reference,
            idempotency_key=call.call_id,
            idempotent=spec.idempotent,
            reserved_tokens=tokens,
            reserved_nanodollars=nanodollars,
            session_tokens_left=left.session_tokens,
            session_nanodollars_left=left.session_nanodollars,
            task_tokens_left=left.task_tokens,
            timeout_ms=spec.timeout_ms,
        ),
        (call.decided_event_id, transition.turn.message.reference.event_id),
    )
    transition.turn = replace(transition.turn, calls=transition.turn.calls + 1)
    task = transition.turn.tasks[task.task_id]
    store(
        transition,
        replace(task, progress_at_ms=transition.now_ms),
        replace(call, status=ToolCallStatus.REQUESTED),
    )


def _reservation_tokens(transition: Transition, task: Task, spec: ToolSpec) -> int:
    """Return how many tokens a tool may use: its maximum, or less where less is left.

    A share of what the task has left stays for the step that reads the result.
    """
    turn = transition.turn
    budget = transition.budget
    share = transition.configuration.limits.tool_share_max
    tokens = min(
        spec.tokens_max,
        int(task_tokens_left(transition, task.task_id) * share),
        budget.tokens_left - turn.synthesis_tokens,
    )
    if spec.nanodollars_per_token > 0:
        money = budget.nanodollars_left - turn.synthesis_nanodollars
        tokens = min(tokens, money // spec.nanodollars_per_token)
    return max(0, tokens)


def _escalate(transition: Transition, task: Task, call: ToolCallPending, verdict: Verdict) -> None:
    APPROVAL.move(BEGINS, "asked")
    expires_at_ms = transition.now_ms + transition.configuration.limits.approval_ms
    transition.emit(
        ApprovalRequested(
            approval_id=call.call_id,
            call_id=call.call_id,
            task_id=task.task_id,
            agent=task.agent,
            tool=call.proposed.name,
            arguments_json=call.proposed.arguments_json,
            arguments_sha256=sha256(call.proposed.arguments_json.encode()).hexdigest(),
            reason=verdict.reason,
            expires_at_ms=expires_at_ms,
        )
    )
    store(transition, task, replace(call, status=ToolCallStatus.ESCALATED, due_at_ms=expires_at_ms))


def _tell_exhausted(transition: Transition, task: Task, call: ToolCallPending, spec: ToolSpec) -> None:
    transition.emit(
        BudgetExhausted(
            scope=BudgetScope.TASK,
            scope_id=task.task_id,
            purpose=f"tool:{spec.name}",
            needed_tokens=spec.tokens_min,
            needed_nanodollars=spec.tokens_min * spec.nanodollars_per_token,
            tokens_left=task_tokens_left(transition, task.task_id),
            nanodollars_left=transition.budget.nanodollars_left,
        )
    )
    reason = f"the task has too little left: the tool takes at least {spec.tokens_min} tokens"
    _tell_denied(transition, task, call, EXHAUSTED_RULE, reason)


def _tell_denied(transition: Transition, task: Task, call: ToolCallPending, rule: str, reason: str) -> None:
    """Tell that a call is not made for another reason than a rule of the policy."""
    tool = call.proposed.name
    tell_decision(
        transition,
        Verdict(decision=Decision.DENY, rule=rule, reason=reason),
        call_id=call.call_id,
        task_id=task.task_id,
        agent=task.agent,
        tool=tool,
        request={"tool": tool, "arguments": call.proposed.arguments_json, "task": task.intent},
    )


def _answer(transition: Transition, task: Task, call: ToolCallPending, text: str) -> None:
    """Say to the model why there is no result."""
    answer(transition, task, call, {"error": text})


def answer(transition: Transition, task: Task, call: ToolCallPending, said: Mapping[str, object]) -> None:
    """Answer the model in place of a tool."""
    told = PromptMessage(
        role=ChatRole.TOOL,
        text=json.dumps(said, ensure_ascii=False),
        tool_call_id=call.proposed.tool_call_id,
    )
    store(transition, task, replace(call, status=ToolCallStatus.SETTLED, answer=told))


def find(task: Task, call_id: str) -> ToolCallPending:
    """Return a call of the task's step."""
    return next(call for call in task.tool_calls if call.call_id == call_id)


def store(transition: Transition, task: Task, call: ToolCallPending) -> None:
    """Put a call in place of what it was."""
    calls = tuple(call if other.call_id == call.call_id else other for other in task.tool_calls)
    transition.put(replace(task, tool_calls=calls))
