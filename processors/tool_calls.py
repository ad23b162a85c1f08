"""Tool calls of an agent's step: each is decided by policy, reserved, made, and answered to the model."""

import json
from collections.abc import Mapping
from typing import Final

from processors import retrievals
from processors.approvals.asking import Again, ask, unaskable
from processors.budgets import EXHAUSTED_RULE, reserve, task_tokens_left, what_is_left
from processors.decisions import tell_decision
from processors.memory.history import RECALL_TOOL, past_of
from processors.plans import agent_of
from processors.policy import decide as policies
from processors.policy import hindsight
from processors.policy.decide import UNREADABLE_RULE, PolicyRequest, Verdict, narrowed
from processors.prompts import text_tokens
from processors.provenance import Provenance, joined, lowest, of_result
from processors.routing import share_left
from processors.state import TOOL_PREFIX, Reservation, Task, ToolCallPending, ToolCallStatus
from processors.transition import Transition
from schemas.canonical import NotCanonical
from schemas.configuration import ToolSpec
from schemas.events.budgets import BudgetExhausted, BudgetScope
from schemas.events.models import ChatRole, PromptMessage, ToolCallProposed
from schemas.events.policies import Decision
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.events.trust import Trust
from schemas.frozen import replace

TOO_MANY_RULE: Final = "too_many_at_once"


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
            denied = Verdict(decision=Decision.DENY, rule=TOO_MANY_RULE, reason=at_most)
            tell_denied(transition, task, call, denied)
            decline(transition, task, call, f"not made: {at_most}; ask again if it is needed")
        else:
            decide(transition, task, call)


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
            decide(transition, transition.turn.tasks[task.task_id], call)


def take_waiting(transition: Transition, task: Task) -> bool:
    """Make calls that waited for budget, as far as they can be afforded now; tells whether any moved."""
    moved = False
    for call in task.tool_calls:
        if call.status is ToolCallStatus.WAITING:
            make(transition, transition.turn.tasks[task.task_id], call)
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
        role=ChatRole.TOOL,
        text=_told_of_edit(call),
        source=transition.reference(tokens),
        tool_call_id=call.proposed.tool_call_id,
        trust=result_made_from(transition, task, outcome.tool).trust,
    )
    task = replace(task, progress_at_ms=transition.now_ms, stalled=False)
    store(transition, task, replace(call, status=ToolCallStatus.SETTLED, answer=told))


def result_made_from(transition: Transition, task: Task, tool: str) -> Provenance:
    """Return what a result of a tool is made of, or its error; what tells of the past is made of that."""
    spec = transition.configuration.tools.get(tool)
    if tool != RECALL_TOOL:
        return of_result(spec, tool, task.made_from)
    return joined(past_of(transition.state), replace(task.made_from, data=f"a result of {tool}"))


def due(transition: Transition, task: Task) -> None:
    """Make throttled calls whose delay is over."""
    for call in task.tool_calls:
        if call.status is ToolCallStatus.THROTTLED and call.due_at_ms <= transition.now_ms:
            make(transition, transition.turn.tasks[task.task_id], call)


def decide(transition: Transition, task: Task, call: ToolCallPending, again: Again | None = None) -> None:
    """Decide a call by policy and do what follows; `again` says why, where it was decided before."""
    configuration = transition.configuration
    name = call.proposed.name
    spec = configuration.tools.get(name)
    calls = task.tools_called.get(name, 0)
    request = PolicyRequest(
        agent=task.agent,
        tool=name,
        spec=spec,
        # A call that is decided again counts already.
        calls_before=calls if again is None else max(0, calls - 1),
        share_left=share_left(transition.budget),
        listed=name in agent_of(task.agent, configuration).tools,
        arguments_json=call.proposed.arguments_json,
        tenant=transition.state.tenant_id,
        user=transition.state.user_id,
        now_ms=transition.now_ms,
        calls_in_turn=_calls_in_turn(transition, name, again),
        calls_in_session=max(0, transition.state.tools_called.get(name, 0) - (again is not None)),
        trust=task.made_from.trust,
        trust_why=task.made_from.why,
        data=task.made_from.data,
    )
    verdict = _verdict(transition, call, request)
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
        trust=request.trust,
        request={
            **hindsight.told(request),
            "task": task.intent,
            **({"own_rules": True} if transition.state.overrides.policy is not None else {}),
            **({"decided_again": again.why} if again is not None else {}),
            **({"edited_by": call.edited_by} if call.edited_by else {}),
        },
    )
    call = replace(call, decided_event_id=decided, trust=request.trust)
    task = replace(task, tools_called={**task.tools_called, name: request.calls_before + 1})
    transition.put(task)
    if again is None and spec is not None:
        called = {**transition.state.tools_called, name: request.calls_in_session + 1}
        transition.state = replace(transition.state, tools_called=called)
    match verdict.decision:
        case Decision.ALLOW | Decision.AUDIT:
            make(transition, task, call)
        case Decision.THROTTLE:
            delay_ms = configuration.limits.retry_delay_ms
            waiting = replace(call, status=ToolCallStatus.THROTTLED, due_at_ms=transition.now_ms + delay_ms)
            store(transition, task, waiting)
        case Decision.ESCALATE:
            _escalate(transition, task, call, verdict, again)
        case _:
            decline(transition, task, call, f"denied by policy ({verdict.rule}): {verdict.reason}")


def make(transition: Transition, task: Task, call: ToolCallPending) -> None:
    """Reserve what the tool's own model calls may use, and request the call; or wait, or refuse.

    A call that a person approved is asked about again where the approval ran out while it waited for budget.
    """
    given = call.asked.given if call.asked is not None else None
    if given is not None and given.expires_at_ms <= transition.now_ms:
        why = "the approval ran out before the call could be paid"
        decide(transition, task, replace(call, asked=None), Again(why=why, replaces=given.approval_id))
        return
    spec = transition.configuration.tools[call.proposed.name]
    tokens = _reservation_tokens(transition, task, spec)
    if tokens < spec.tokens_min:
        if transition.budget.reservations:
            store(transition, task, replace(call, status=ToolCallStatus.WAITING))
            return
        _tell_exhausted(transition, task, call, spec)
        decline(transition, task, call, "not made: the budget has too little left for it")
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
            approval=given,
            trust=call.trust,
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


def _calls_in_turn(transition: Transition, tool: str, again: Again | None) -> int:
    calls = sum(task.tools_called.get(tool, 0) for task in transition.turn.tasks.values())
    return calls if again is None else max(0, calls - 1)


def _verdict(transition: Transition, call: ToolCallPending, request: PolicyRequest) -> Verdict:
    verdict = policies.decide(request, transition.configuration.policy)
    if transition.state.overrides.policy is not None:
        # What a session brings along may take away, and never give.
        verdict = narrowed(verdict, policies.decide(request, transition.state.overrides.policy))
    if call.edited_by:
        verdict = narrowed(verdict, hindsight.EDITED)
    if verdict.decision is Decision.ESCALATE:
        verdict = unaskable(transition, verdict) or verdict
    return verdict


def _escalate(
    transition: Transition, task: Task, call: ToolCallPending, verdict: Verdict, again: Again | None
) -> None:
    try:
        asked = ask(transition, task, call, verdict, again)
    except NotCanonical as error:
        told = f"nobody can be asked about its arguments: {error}"
        tell_denied(
            transition, task, call, Verdict(decision=Decision.DENY, rule=UNREADABLE_RULE, reason=told)
        )
        decline(transition, task, call, f"not made: {told}")
        return
    store(transition, task, asked)


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
    tell_denied(transition, task, call, Verdict(decision=Decision.DENY, rule=EXHAUSTED_RULE, reason=reason))


def tell_denied(transition: Transition, task: Task, call: ToolCallPending, verdict: Verdict) -> None:
    """Tell that a call is not made for another reason than a rule of the policy."""
    tool = call.proposed.name
    tell_decision(
        transition,
        verdict,
        call_id=call.call_id,
        task_id=task.task_id,
        agent=task.agent,
        tool=tool,
        trust=task.made_from.trust,
        request={"tool": tool, "arguments": call.proposed.arguments_json, "task": task.intent},
    )


def _told_of_edit(call: ToolCallPending) -> str | None:
    """Tell the model that the call was made with other arguments than its own."""
    if not call.edited_by:
        return None
    return f"A person changed the arguments of this call to {call.proposed.arguments_json}. "


def decline(transition: Transition, task: Task, call: ToolCallPending, text: str) -> None:
    """Say to the model why there is no result."""
    answer(transition, task, call, {"error": text})


def answer(
    transition: Transition,
    task: Task,
    call: ToolCallPending,
    said: Mapping[str, object],
    trust: Trust = Trust.SYSTEM,
) -> None:
    """Answer the model in place of a tool, with what is trusted so; what a person changed is theirs."""
    told = PromptMessage(
        role=ChatRole.TOOL,
        text=(_told_of_edit(call) or "") + json.dumps(said, ensure_ascii=False),
        tool_call_id=call.proposed.tool_call_id,
        trust=lowest(trust, Trust.USER) if call.edited_by else trust,
    )
    store(transition, task, replace(call, status=ToolCallStatus.SETTLED, answer=told))


def find(task: Task, call_id: str) -> ToolCallPending:
    """Return a call of the task's step."""
    return next(call for call in task.tool_calls if call.call_id == call_id)


def store(transition: Transition, task: Task, call: ToolCallPending) -> None:
    """Put a call in place of what it was."""
    calls = tuple(call if other.call_id == call.call_id else other for other in task.tool_calls)
    transition.put(replace(task, tool_calls=calls))
