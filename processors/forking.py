"""Forking: a new session goes on from a past point of another one.

The origin's state comes with the input, so the decider stays pure and the origin untouched. What is taken
over gets ids of its own, and its tasks are told anew, so that the fork's rows are as whole as any session's.
Approvals and reservations stay behind: calls that were in flight are decided, reserved and made again.
"""

from typing import TypeVar

import orjson

from processors import execution, leases, opening, planning, progress, snapshots, steps, synthesis
from processors.answers import ended_task, prune
from processors.memory.state import ImportedPast
from processors.plans import PlanFault, check_plan
from processors.policy.conditions import fault_of
from processors.provenance import FORKED, USERS, joined
from processors.state import (
    MessageTaken,
    Overrides,
    Phase,
    SessionState,
    SessionStatus,
    Task,
    TaskStatus,
    ToolCallPending,
    ToolCallStatus,
    Turn,
)
from processors.transition import Transition, digest
from schemas.configuration import Configuration, Policy
from schemas.events.inputs import SessionForked
from schemas.events.models import ChatRole, PromptMessage
from schemas.events.outputs import ErrorCode
from schemas.events.snapshots import Node
from schemas.events.tasks import (
    PruneReason,
    TaskAborted,
    TaskCompleted,
    TaskErrorKind,
    TaskFailed,
    TaskStarted,
)
from schemas.frozen import replace
from schemas.ids import derived_id
from schemas.plain import from_plain

T = TypeVar("T")


class ForkInvalid(Exception):
    """A fork cannot begin; the text says why."""


def origin_state(body: SessionForked) -> SessionState:
    """Read the state that a fork goes on from.

    Raises:
        ForkInvalid: it is no state, or not the one that its digest names.
    """
    if digest(body.state_json.encode()) != body.origin_digest:
        raise ForkInvalid("origin_digest is not the digest of state_json")
    return _read(SessionState, body.state_json, "state_json is not a session's state")


def policy_of(policy_json: str | None) -> Policy | None:
    """Read the policy that a fork brings; None: it brings none.

    Raises:
        ForkInvalid: it is no policy.
    """
    if policy_json is None:
        return None
    policy = _read(Policy, policy_json, "policy_json is not a policy")
    for rule in policy.rules:
        for fault in filter(None, map(fault_of, rule.arguments)):
            raise ForkInvalid(f"policy_json is not a policy: rule {rule.name!r}: {fault}")
    return policy


def open_calls(turn: Turn | None) -> dict[str, tuple[Task, ToolCallPending]]:
    """Return the tool calls that have no result yet, each with the task that waits for it, by call id."""
    return {
        call.call_id: (task, call)
        for task in (turn.tasks.values() if turn is not None else ())
        for call in task.tool_calls
        if call.status is not ToolCallStatus.SETTLED
    }


def session_forked(transition: Transition, body: SessionForked) -> None:
    """Open the session with the origin's past; what is in progress there goes on once there is a budget."""
    if transition.state.status is not SessionStatus.NEW:
        transition.refuse(ErrorCode.SESSION_EXISTS, "a fork begins a new session, and this one exists")
        return
    try:
        origin = origin_state(body)
        overrides = Overrides(model=body.model, policy=policy_of(body.policy_json))
        turn = _turn_taken(transition, origin, body)
    except ForkInvalid as error:
        transition.refuse(ErrorCode.FORK_INVALID, str(error))
        return
    queue: tuple[MessageTaken, ...] = ()
    if body.text is not None and body.call_id is None:
        message = MessageTaken(
            reference=transition.reference(body.tokens),
            excerpt=opening.excerpt_of(body.text),
            attachments=(),
            received_at_ms=transition.now_ms,
            traceparent=transition.event.traceparent,
            characters=len(body.text),
            made_from=USERS,
        )
        queue = (message,)
    transition.override(overrides)
    transition.state = replace(
        transition.state,
        resumption=turn,
        queue=queue,
        # A turn that was in progress is begun again under its number, whether by itself or by a new message.
        turns=origin.turns - (1 if origin.turn is not None and turn is None else 0),
        history=origin.history,
        imported=_taken_along(transition, origin),
        summary=origin.summary,
        past=origin.past,
    )
    leases.open_session(transition, body.budget_tokens, body.budget_nanodollars)


def resume(transition: Transition) -> None:
    """Go on with the turn that the fork took over, as soon as the session is open."""
    origin = transition.state.resumption
    if origin is None or transition.state.status is not SessionStatus.OPEN:
        return
    transition.state = replace(transition.state, resumption=None)
    plan_id = derived_id(transition.state.session_id, "plan", str(origin.number))
    draft = replace(origin.draft, plan_id=plan_id)
    opening.begin_turn(transition, origin.number, origin.message, origin.phase, draft)
    transition.turn = replace(
        transition.turn, degraded=origin.degraded, prompt_tokens_min=origin.prompt_tokens_min
    )
    if origin.phase in (Phase.PLAN, Phase.CRITIQUE):
        progress.report(transition, "forked while it was planned")
        snapshots.take(transition, Node.FORK)
        planning.retry(transition)
        return
    execution.create_tasks(transition, (origin.message.input_id,))
    taken = {task.key: task for task in origin.tasks.values()}
    for task in tuple(transition.turn.tasks.values()):
        _restore(transition, task, taken[task.key])
    ended = sum(task.status.is_end for task in transition.turn.tasks.values())
    progress.report(transition, f"forked with {ended} of {len(taken)} tasks ended")
    snapshots.take(transition, Node.FORK)
    if origin.phase is Phase.SYNTHESIZE:
        synthesis.ask_for_answer(transition)
        return
    for task in tuple(transition.turn.tasks.values()):
        if task.tool_calls:
            steps.resume(transition, task)
    execution.schedule(transition)


def _read(cls: type[T], text: str, otherwise: str) -> T:
    try:
        return from_plain(cls, orjson.loads(text))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ForkInvalid(f"{otherwise}: {error!r}") from error


def _taken_along(transition: Transition, origin: SessionState) -> ImportedPast | None:
    """Return what the origin had from V1: it is the fork's, whose owner is the same."""
    event = transition.event
    past = origin.imported
    return past and replace(past, tenant_id=event.tenant_id, user_id=event.user_id)


def _turn_taken(transition: Transition, origin: SessionState, body: SessionForked) -> Turn | None:
    configuration = transition.configuration
    if body.model is not None and body.model not in {model.name for model in configuration.models.chat}:
        known = ", ".join(model.name for model in configuration.models.chat)
        raise ForkInvalid(f"there is no chat model {body.model}; those configured are {known}")
    sender = transition.event
    if (origin.tenant_id, origin.user_id) != (sender.tenant_id, sender.user_id):
        raise ForkInvalid(f"the origin is no session of the user {sender.user_id} of {sender.tenant_id}")
    turn = origin.turn
    if body.text is not None and body.call_id is None:
        return None
    if turn is None:
        raise ForkInvalid("nothing was in progress at that point, and there is no message to go on with")
    if turn.phase in (Phase.EXECUTE, Phase.SYNTHESIZE):
        _demand_sound(turn, configuration)
    if body.call_id is not None:
        turn = _answered(transition, turn, body)
    return replace(turn, message=replace(turn.message, forked_by=transition.event.event_id))


def _demand_sound(turn: Turn, configuration: Configuration) -> None:
    checked = check_plan(turn.draft.tasks, configuration.agents, configuration.limits)
    if isinstance(checked, PlanFault):
        raise ForkInvalid(f"its plan cannot be carried out: {checked.detail}")
    if sorted(task.key for task in turn.tasks.values()) != sorted(task.key for task in checked):
        raise ForkInvalid("its tasks are not those of its plan")


def _answered(transition: Transition, turn: Turn, body: SessionForked) -> Turn:
    """Settle one tool call with the result that the fork brings."""
    found = open_calls(turn).get(body.call_id or "")
    if found is None or body.text is None:
        raise ForkInvalid(f"no tool call {body.call_id} was open at that point")
    task, open_call = found
    answer = PromptMessage(
        role=ChatRole.TOOL,
        source=transition.reference(body.tokens),
        tool_call_id=open_call.proposed.tool_call_id,
        trust=FORKED.trust,
    )
    settled = replace(open_call, status=ToolCallStatus.SETTLED, answer=answer)
    calls = tuple(settled if call is open_call else call for call in task.tool_calls)
    task = replace(task, tool_calls=calls, made_from=joined(task.made_from, FORKED))
    return replace(turn, tasks={**turn.tasks, task.task_id: task})


def _restore(transition: Transition, task: Task, origin: Task) -> None:
    """Bring a task that was just created to where it stood in the origin, and tell it."""
    if origin.status is TaskStatus.PENDING:
        return
    evidence = tuple(event_id for event_id in (task.created_event_id, origin.started_event_id) if event_id)
    if origin.status is not TaskStatus.PRUNED:
        attempt = max(1, origin.attempt)
        started = transition.emit(TaskStarted(task_id=task.task_id, attempt=attempt), evidence)
        task = replace(
            task,
            status=TaskStatus.RUNNING,
            attempt=attempt,
            started_event_id=started,
            started_at_ms=transition.now_ms,
        )
        transition.put(task)
    if origin.status is TaskStatus.RUNNING:
        _restore_running(transition, task, origin)
    else:
        _restore_end(transition, task, origin)


def _restore_running(transition: Transition, task: Task, origin: Task) -> None:
    asked = 1 if origin.model_call_id is not None else 0
    calls_before = dict(origin.tools_called)
    for call in origin.tool_calls:
        # They are decided, and so counted, again.
        if call.status is not ToolCallStatus.SETTLED and calls_before.get(call.proposed.name, 0) > 0:
            calls_before[call.proposed.name] -= 1
    retried = origin.retry_at_ms is not None
    transition.put(
        replace(
            task,
            attempt=task.attempt + 1 if retried else task.attempt,
            steps=0 if retried else max(0, origin.steps - asked),
            steps_total=max(0, origin.steps_total - asked),
            conversation=origin.conversation,
            prompt_tokens_min=origin.prompt_tokens_min,
            needs_step=not origin.tool_calls,
            tool_calls=tuple(
                call
                if call.status is ToolCallStatus.SETTLED
                else replace(call, status=ToolCallStatus.WAITING, due_at_ms=0, asked=None)
                for call in origin.tool_calls
            ),
            tools_called=calls_before,
            made_from=origin.made_from,
        )
    )


def _restore_end(transition: Transition, task: Task, origin: Task) -> None:
    """Tell a task's end again; nothing of what it used is this session's."""
    evidence = (origin.ended_event_id,) if origin.ended_event_id else ()
    kind, _, detail = origin.error.partition(": ")
    match origin.status:
        case TaskStatus.COMPLETE:
            ended = transition.emit(
                TaskCompleted(
                    task_id=task.task_id,
                    actual_tokens=0,
                    cost_nanodollars=0,
                    steps=origin.steps_total,
                    excerpt=origin.excerpt,
                ),
                evidence,
            )
        case TaskStatus.PRUNED:
            prune(transition, task, PruneReason(kind or PruneReason.PRUNED), detail, evidence)
            return
        case TaskStatus.ABORTED:
            reason = origin.error or "aborted"
            ended = transition.emit(
                TaskAborted(task_id=task.task_id, reason=reason, actual_tokens=0, cost_nanodollars=0),
                evidence,
            )
        case _:
            ended = transition.emit(
                TaskFailed(
                    task_id=task.task_id,
                    attempt=task.attempt,
                    error_kind=TaskErrorKind(kind or TaskErrorKind.FAILED),
                    error=detail,
                    actual_tokens=0,
                    cost_nanodollars=0,
                ),
                evidence,
            )
    restored = ended_task(task, origin.status, ended, origin.error, now_ms=transition.now_ms)
    transition.put(
        replace(
            restored,
            steps_total=origin.steps_total,
            tools_called=origin.tools_called,
            result=origin.result,
            excerpt=origin.excerpt,
            made_from=origin.made_from,
        )
    )
