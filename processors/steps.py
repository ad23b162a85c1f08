"""The agent step decider: a task goes from model to tools and back until its agent has an answer."""

from processors import asked_calls, open_outcomes, retrievals, tool_calls
from processors.answers import (
    ERROR_CHARACTERS_MAX,
    EXCERPT_CHARACTERS_MAX,
    ended_task,
    nothing_written,
    prune,
    tell_retried,
)
from processors.calls import Prompt, Unaffordable, admission, request, tell_unaffordable
from processors.output_models import answer_fault
from processors.plans import agent_of
from processors.prompts import task_made_from, task_messages
from processors.provenance import joined
from processors.retries import retry_delay_ms
from processors.state import Task, TaskStatus, ToolCallPending, ToolCallStatus
from processors.transition import Transition
from schemas.events.budgets import BudgetScope
from schemas.events.inputs import ApprovalEdited, ApprovalReceived, OutcomeTold
from schemas.events.models import (
    CallPurpose,
    ChatRole,
    FinishReason,
    ModelCallCompleted,
    ModelCallFailed,
    ModelFailureKind,
    PromptMessage,
)
from schemas.events.outputs import AnswerReason
from schemas.events.tasks import PruneReason, TaskCompleted, TaskErrorKind, TaskFailed, TaskRetried
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.frozen import replace


def take_step(transition: Transition, task: Task) -> None:
    """Request the task's next model call; wait for budget, or drop the task, where it is unaffordable."""
    if task.steps >= _steps_max(transition, task):
        fail(
            transition, task, TaskErrorKind.STEP_LIMIT, f"no answer after {task.steps} steps", retryable=False
        )
        return
    prompt = _prompt(transition, task)
    outcome = request(transition, prompt)
    task = transition.turn.tasks[task.task_id]
    if isinstance(outcome, Unaffordable):
        if outcome.refusal.scope is BudgetScope.SESSION:
            # Calls in flight may release what this one needs; the scheduler asks again after each outcome.
            transition.put(replace(task, needs_step=True))
            return
        told = tell_unaffordable(transition, outcome)
        prune(
            transition,
            task,
            PruneReason.BUDGET_EXHAUSTED,
            "the task's own budget has too little left",
            (told,),
        )
        degrade(transition, AnswerReason.BUDGET_EXHAUSTED)
        return
    transition.put(
        replace(
            task,
            model_call_id=outcome,
            needs_step=False,
            steps=task.steps + 1,
            steps_total=task.steps_total + 1,
            progress_at_ms=transition.now_ms,
            stalled=False,
            made_from=task_made_from(transition, task, prompt.tools),
        )
    )


def resume(transition: Transition, task: Task) -> None:
    """Go on with a step whose tool calls another session began."""
    tool_calls.resume(transition, task)
    _go_on(transition, task.task_id)


def unaffordable(transition: Transition, task: Task) -> Unaffordable | None:
    """Tell why a task's next step cannot be afforded now, or None where it can; changes nothing."""
    admitted = admission(transition, _prompt(transition, task))
    return admitted if isinstance(admitted, Unaffordable) else None


def take_waiting(transition: Transition, task: Task) -> bool:
    """Go on with what the task waits for, if it can be afforded now; tells whether it moved."""
    if task.needs_step:
        take_step(transition, task)
        return not transition.turn.tasks[task.task_id].needs_step
    return tool_calls.take_waiting(transition, task) and _go_on(transition, task.task_id)


def step_completed(transition: Transition, task: Task, outcome: ModelCallCompleted) -> None:
    """Act on a model's answer: call the tools that it asks for, or end the task with its text."""
    task = replace(task, model_call_id=None, progress_at_ms=transition.now_ms, prompt_tokens_min=0)
    said = PromptMessage(
        role=ChatRole.ASSISTANT,
        source=transition.reference(outcome.output_tokens),
        trust=task.made_from.trust,
    )
    if outcome.tool_calls:
        transition.put(replace(task, conversation=(*task.conversation, said)))
        tool_calls.begin(transition, task.task_id, outcome.tool_calls)
        _go_on(transition, task.task_id)
    elif outcome.text.strip():
        _answered(transition, task, outcome, said)
    else:
        # What was cut off or held back is so again: only a model that stopped by itself may do better.
        again = outcome.finish_reason not in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)
        fail(transition, task, TaskErrorKind.EMPTY_ANSWER, nothing_written(outcome), retryable=again)


def step_failed(transition: Transition, task: Task, outcome: ModelCallFailed) -> None:
    """Handle the failure of a task's model call: reserve anew, try again later, or fail the task."""
    task = replace(task, model_call_id=None)
    if (
        outcome.kind is ModelFailureKind.PROMPT_TOO_LONG
        and outcome.prompt_tokens_counted > task.prompt_tokens_min
    ):
        tell_retried(transition, outcome, task.attempt, prompt_tokens_min=outcome.prompt_tokens_counted)
        task = replace(task, prompt_tokens_min=outcome.prompt_tokens_counted, steps=task.steps - 1)
        transition.put(task)
        take_step(transition, task)
        return
    fail(
        transition,
        task,
        TaskErrorKind(outcome.kind),
        outcome.message,
        retryable=outcome.retryable,
        retry_after_ms=outcome.retry_after_ms or 0,
    )


def tool_call_ended(transition: Transition, task: Task, outcome: ToolCallCompleted | ToolCallFailed) -> None:
    """Take a tool's outcome; the next step follows when all calls of this one are settled."""
    if open_outcomes.is_open(task, outcome.call_id) or open_outcomes.was_told(task, outcome):
        # It is told again; a person is asked already, or has told what became of the call.
        return
    task = _with_result(transition, task, outcome)
    if isinstance(outcome, ToolCallFailed) and open_outcomes.is_to_be_asked(outcome):
        open_outcomes.ask(transition, task, outcome)
        return
    if isinstance(outcome, ToolCallFailed) and outcome.maybe_effected:
        fail(transition, task, TaskErrorKind(f"tool_{outcome.kind}"), outcome.message, retryable=False)
        return
    tool_calls.settle(transition, task, outcome)
    agent = agent_of(task.agent, transition.configuration)
    if isinstance(outcome, ToolCallCompleted) and agent.answers_with == "tool" and len(task.tool_calls) == 1:
        task = transition.turn.tasks[task.task_id]
        _complete(transition, task, outcome.result_json, outcome.result_tokens)
        return
    _go_on(transition, task.task_id)


def tool_calls_due(transition: Transition, task: Task) -> None:
    """Go on with throttled calls, and give up on approvals that nobody gave in time."""
    tool_calls.due(transition, task)
    asked_calls.due(transition, transition.turn.tasks[task.task_id])
    unknown = open_outcomes.expired(transition, transition.turn.tasks[task.task_id])
    if unknown is not None:
        current = transition.turn.tasks[task.task_id]
        message = f"nobody told whether {unknown.proposed.name} was carried out"
        fail(transition, current, TaskErrorKind.TOOL_UNKNOWN, message, retryable=False)
        return
    _go_on(transition, task.task_id)


def approver_said(
    transition: Transition, task: Task, call: ToolCallPending, body: ApprovalReceived | ApprovalEdited
) -> None:
    """Go on as an approver has decided about a call, or ask anew about what an approver made of it."""
    if isinstance(body, ApprovalEdited):
        counts = asked_calls.edited(transition, task, call, body)
    else:
        counts = asked_calls.received(transition, task, call, body)
    if counts:
        _go_on(transition, task.task_id)


def renew_asked(transition: Transition) -> bool:
    """Decide anew what a person was asked under other conditions; tells whether there was any."""
    renewed = asked_calls.renew(transition)
    for task_id in renewed:
        _go_on(transition, task_id)
    return bool(renewed)


def outcome_told(transition: Transition, task: Task, body: OutcomeTold) -> None:
    """Go on with a call that a person found out about."""
    open_outcomes.told(transition, task, body)
    _go_on(transition, task.task_id)


def fail(
    transition: Transition,
    task: Task,
    kind: TaskErrorKind,
    message: str,
    *,
    retryable: bool,
    retry_after_ms: int = 0,
) -> None:
    """End an attempt of a task, and the task with it unless it may be tried again."""
    limits = transition.configuration.limits
    message = message[:ERROR_CHARACTERS_MAX]
    if retryable and task.attempt < limits.attempts_max:
        delay_ms = max(retry_after_ms, retry_delay_ms(task.attempt, task.task_id, limits))
        transition.emit(
            TaskRetried(
                task_id=task.task_id,
                attempt=task.attempt,
                delay_ms=delay_ms,
                error_kind=kind,
                error=message,
                actual_tokens=task.tokens_used,
            )
        )
        transition.put(replace(task, retry_at_ms=transition.now_ms + delay_ms, error=message))
        transition.turn = replace(transition.turn, retries=transition.turn.retries + 1)
        return
    failed = transition.emit(
        TaskFailed(
            task_id=task.task_id,
            attempt=task.attempt,
            error_kind=kind,
            error=message,
            actual_tokens=task.tokens_used,
            cost_nanodollars=task.nanodollars_used,
        )
    )
    retrievals.measure(transition, task, "", TaskStatus.FAILED)
    transition.put(
        ended_task(task, TaskStatus.FAILED, failed, f"{kind}: {message}", now_ms=transition.now_ms)
    )
    degrade(transition, AnswerReason.TASKS_FAILED)


def degrade(transition: Transition, reason: AnswerReason) -> None:
    """Note why the turn's answer cannot be complete; the first reason counts."""
    transition.turn = replace(transition.turn, degraded=transition.turn.degraded or reason)


def _answered(transition: Transition, task: Task, outcome: ModelCallCompleted, said: PromptMessage) -> None:
    """End a task whose answer fits its agent's output model; have another mended, as often as is allowed."""
    model_json = agent_of(task.agent, transition.configuration).output_model_json
    fault = answer_fault(outcome.text, model_json) if model_json else None
    if fault is None:
        _complete(transition, task, outcome.text, outcome.output_tokens)
        return
    if outcome.finish_reason is FinishReason.LENGTH:
        fault = f"it was cut off after {outcome.output_tokens} tokens: {fault}"
    if task.repairs >= transition.configuration.limits.repairs_max or _is_last_step(transition, task):
        # Who could not mend it will hardly do better from the beginning.
        fail(transition, task, TaskErrorKind.OUTPUT_INVALID, fault, retryable=False)
        return
    told = PromptMessage(
        role=ChatRole.USER,
        text=f"Your answer has not the form that is asked for: {fault}. Answer with corrected JSON alone.",
        trust=task.made_from.trust,
    )
    task = replace(task, conversation=(*task.conversation, said, told), repairs=task.repairs + 1)
    transition.put(task)
    take_step(transition, task)


def _with_result(transition: Transition, task: Task, outcome: ToolCallCompleted | ToolCallFailed) -> Task:
    """Note what a tool gave, or said of its failure, among what the task is made of."""
    result = tool_calls.result_made_from(transition, task, outcome.tool)
    # What was read last tells more of why than what was read before.
    task = replace(task, made_from=joined(result, task.made_from))
    transition.put(task)
    return task


def _complete(transition: Transition, task: Task, text: str, tokens: int) -> None:
    """End a task well; its result is the input's text."""
    excerpt = text[:EXCERPT_CHARACTERS_MAX]
    completed = transition.emit(
        TaskCompleted(
            task_id=task.task_id,
            actual_tokens=task.tokens_used,
            cost_nanodollars=task.nanodollars_used,
            steps=task.steps_total,
            excerpt=excerpt,
        )
    )
    retrievals.measure(transition, task, text, TaskStatus.COMPLETE)
    ended = ended_task(task, TaskStatus.COMPLETE, completed, "", now_ms=transition.now_ms)
    transition.put(replace(ended, result=transition.reference(tokens), excerpt=excerpt))


def _go_on(transition: Transition, task_id: str) -> bool:
    """Take the next step if the calls of this one are all settled; tells that something moved."""
    task = transition.turn.tasks[task_id]
    if task.status is not TaskStatus.RUNNING or not task.tool_calls:
        return True
    if any(call.status is not ToolCallStatus.SETTLED for call in task.tool_calls):
        return True
    answers = tuple(call.answer for call in task.tool_calls if call.answer is not None)
    task = replace(task, conversation=(*task.conversation, *answers), tool_calls=())
    transition.put(task)
    take_step(transition, task)
    return True


def _steps_max(transition: Transition, task: Task) -> int:
    own = agent_of(task.agent, transition.configuration).steps_max
    limit = transition.configuration.limits.steps_max
    return min(own, limit) if own else limit


def _is_last_step(transition: Transition, task: Task) -> bool:
    return task.steps >= _steps_max(transition, task)


def _prompt(transition: Transition, task: Task) -> Prompt:
    configuration = transition.configuration
    agent = agent_of(task.agent, configuration)
    # The last step offers no tools, so that it ends in an answer; nor does one that mends an answer.
    is_last = task.steps + 1 >= _steps_max(transition, task) or task.repairs > 0
    tools = () if is_last else tuple(name for name in agent.tools if name in configuration.tools)
    return Prompt(
        purpose=CallPurpose.STEP,
        agent=agent.name,
        tier=agent.tier,
        messages=task_messages(transition, task),
        output_tokens_max=agent.output_tokens_max,
        temperature=agent.temperature,
        # Where tools are offered it would keep some models from calling them.
        json_mode=bool(agent.output_model_json) and not tools,
        tools=tools,
        task=task,
        prompt_tokens_min=task.prompt_tokens_min,
    )
