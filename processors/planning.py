"""The planning decider: a plan is asked for, checked, repaired, criticised and revised, then accepted."""

from processors import execution, progress, snapshots
from processors.answers import answer_without_model, nothing_written, turn_call_failed
from processors.calls import Prompt, Unaffordable, request, tell_unaffordable
from processors.examples import copied_tasks, is_copied
from processors.outputs import read_critique
from processors.plans import PlanFault, default_plan, one_task, parse_plan, prerequisites_of, with_estimates
from processors.prompts import critique_messages, estimated_tokens, plan_made_from, plan_messages
from processors.state import Phase
from processors.transition import Transition
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
from schemas.events.plans import (
    AcceptReason,
    PlanAccepted,
    PlanCriticised,
    PlannedTask,
    PlanProposed,
    PlanRejected,
    RejectReason,
)
from schemas.events.snapshots import Node
from schemas.frozen import replace

FAIR_SCORE = 0.5
"""What an unreadable critique counts as: the plan is neither praised nor sent back."""


def begin(transition: Transition) -> None:
    """Let the agent do the work that the message names, or have it planned."""
    agent = transition.turn.message.agent
    if agent is None or agent not in transition.configuration.agents:
        ask_for_plan(transition)
        return
    _propose(transition, one_task(agent))
    snapshots.take(transition, Node.PLAN)
    _accept(transition, AcceptReason.AGENT_NAMED)


def ask_for_plan(transition: Transition) -> None:
    """Ask the planner, or end the turn if that is unaffordable."""
    limits = transition.configuration.limits
    prompt = Prompt(
        purpose=CallPurpose.PLAN,
        agent="planner",
        tier=limits.plan_tier,
        messages=plan_messages(transition),
        output_tokens_max=limits.plan_output_tokens_max,
        temperature=limits.plan_temperature,
        json_mode=True,
        prompt_tokens_min=transition.turn.prompt_tokens_min,
    )
    call_id = request(transition, prompt)
    if isinstance(call_id, Unaffordable):
        tell_unaffordable(transition, call_id)
        if transition.turn.draft.tasks:
            # A revision is a luxury: the plan that stands is carried out.
            _accept(transition, AcceptReason.REVISION_UNAFFORDABLE)
            return
        answer_without_model(
            transition, AnswerReason.BUDGET_EXHAUSTED, "the budget is too small to plan the work"
        )
        return
    draft = replace(transition.turn.draft, made_from=plan_made_from(transition))
    transition.turn = replace(transition.turn, phase=Phase.PLAN, model_call_id=call_id, draft=draft)
    if draft.repairs:
        progress.report(transition, "the plan was not right, and is mended")
    else:
        progress.report(transition, "the plan is improved" if draft.revision else "the work is planned")


def plan_completed(transition: Transition, outcome: ModelCallCompleted) -> None:
    """Check the planner's answer; ask for a repair, for a critique, or give up."""
    turn = transition.turn
    limits = transition.configuration.limits
    if not outcome.text.strip():
        # There is nothing to repair, and nothing that could be shown to the planner as its own.
        fault = PlanFault(reason=RejectReason.EMPTY, detail=nothing_written(outcome))
        _reject(transition, fault, said=None)
        return
    checked = parse_plan(outcome.text, transition.configuration.agents, limits)
    said = PromptMessage(
        role=ChatRole.ASSISTANT,
        source=transition.reference(outcome.output_tokens),
        trust=turn.draft.made_from.trust,
    )
    if isinstance(checked, PlanFault):
        if outcome.finish_reason is FinishReason.LENGTH:
            checked = replace(
                checked, detail=f"it was cut off at {limits.plan_output_tokens_max} tokens: {checked.detail}"
            )
        _reject(transition, checked, said)
        return
    copied = copied_tasks(checked, transition.configuration.prompts["planner"])
    if copied:
        # Where all is copied nothing is about the request, and so nothing can be repaired.
        detail = f"of the instructions' example: {', '.join(copied)}"
        is_all = len(copied) == len(checked)
        _reject(transition, PlanFault(reason=RejectReason.COPIED, detail=detail), None if is_all else said)
        return
    if turn.draft.revision and _unestimated(checked) == _unestimated(turn.draft.tasks):
        _accept(transition, AcceptReason.REVISION_UNCHANGED)
        return
    _propose(transition, checked)
    draft = replace(transition.turn.draft, conversation=(*turn.draft.conversation, said), repairs=0)
    transition.turn = replace(transition.turn, draft=draft, prompt_tokens_min=0, attempt=1)
    snapshots.take(transition, Node.PLAN)
    _ask_for_critique(transition)


def critique_completed(transition: Transition, outcome: ModelCallCompleted) -> None:
    """Take the plan, or have it revised."""
    turn = transition.turn
    limits = transition.configuration.limits
    critique = read_critique(outcome.text)
    if not isinstance(critique, str) and is_copied(critique, transition.configuration.prompts["critic"]):
        critique = "the critic repeats the example of its instructions"
    score, remarks = (
        (FAIR_SCORE, critique) if isinstance(critique, str) else (critique.score, critique.remarks)
    )
    transition.emit(
        PlanCriticised(
            plan_id=turn.draft.plan_id,
            turn=turn.number,
            revision=turn.draft.revision,
            score=score,
            remarks=remarks,
        ),
        _proposal(transition),
    )
    snapshots.take(transition, Node.CRITIQUE)
    if score >= limits.critique_score_min:
        _accept(transition, AcceptReason.SCORE_REACHED)
    elif isinstance(critique, str):
        _accept(transition, AcceptReason.CRITIC_FAILED)
    elif turn.draft.revision >= limits.revisions_max:
        _accept(transition, AcceptReason.REVISIONS_USED_UP)
    else:
        _revise(transition, score, remarks)


def plan_failed(transition: Transition, outcome: ModelCallFailed) -> None:
    """Try the planner again, or end the turn, where nobody can answer."""
    turn_call_failed(transition, outcome, retry=ask_for_plan, give_up=_no_planner)


def critique_failed(transition: Transition, outcome: ModelCallFailed) -> None:
    """Try the critic again, or do without it."""
    turn_call_failed(transition, outcome, retry=_ask_for_critique, give_up=_no_critic)


def retry(transition: Transition) -> None:
    """Repeat the planner's or the critic's call, whose delay is over."""
    if transition.turn.phase is Phase.PLAN:
        ask_for_plan(transition)
    else:
        _ask_for_critique(transition)


def _no_planner(transition: Transition, outcome: ModelCallFailed) -> None:
    if transition.turn.draft.tasks:
        _accept(transition, AcceptReason.PLANNER_FAILED)
        return
    why = f"the planner's model failed: {outcome.kind}: {outcome.message}"
    if outcome.retryable or outcome.kind is ModelFailureKind.REFUSED:
        # Who is away, or refuses us, fails every other call as well.
        answer_without_model(transition, AnswerReason.MODEL_FAILED, why)
        return
    _do_without_plan(transition, why)


def _no_critic(transition: Transition, _outcome: ModelCallFailed) -> None:
    _accept(transition, AcceptReason.CRITIC_FAILED)


def _ask_for_critique(transition: Transition) -> None:
    limits = transition.configuration.limits
    prompt = Prompt(
        purpose=CallPurpose.CRITIQUE,
        agent="critic",
        tier=limits.critique_tier,
        messages=critique_messages(transition),
        output_tokens_max=limits.critique_output_tokens_max,
        temperature=limits.critique_temperature,
        json_mode=True,
        prompt_tokens_min=transition.turn.prompt_tokens_min,
    )
    call_id = request(transition, prompt)
    if isinstance(call_id, Unaffordable):
        _accept(transition, AcceptReason.CRITIQUE_UNAFFORDABLE)
        return
    transition.turn = replace(transition.turn, phase=Phase.CRITIQUE, model_call_id=call_id)
    progress.report(transition, "the plan is checked")


def _propose(transition: Transition, plan: tuple[PlannedTask, ...]) -> None:
    """Write the estimates beside the tasks, and take them for the plan in the making."""
    turn = transition.turn
    before = prerequisites_of(plan)
    estimates = {
        task.key: estimated_tokens(transition, task, len(before[task.key]), alone=len(plan) == 1)
        for task in plan
    }
    tasks = with_estimates(plan, estimates)
    proposed = transition.emit(
        PlanProposed(
            plan_id=turn.draft.plan_id,
            turn=turn.number,
            revision=turn.draft.revision,
            tasks=tasks,
            estimated_tokens=sum(estimates.values()),
        )
    )
    draft = replace(turn.draft, tasks=tasks, proposed_event_id=proposed)
    transition.turn = replace(transition.turn, draft=draft)


def _do_without_plan(transition: Transition, why: str) -> None:
    """Let one task of the default agent answer the request, and say so: who can talk gets an answer."""
    configuration = transition.configuration
    progress.report(transition, f"no plan could be had ({why}); one task answers the request")
    draft = replace(transition.turn.draft, is_default=True)
    transition.turn = replace(transition.turn, draft=draft)
    _propose(transition, default_plan(configuration.agents, configuration.limits))
    snapshots.take(transition, Node.PLAN)
    _accept(transition, AcceptReason.DEFAULT_TASK)


def _reject(transition: Transition, fault: PlanFault, said: PromptMessage | None) -> None:
    turn = transition.turn
    final = said is None or turn.draft.repairs >= transition.configuration.limits.repairs_max
    transition.emit(
        PlanRejected(
            plan_id=turn.draft.plan_id,
            turn=turn.number,
            revision=turn.draft.revision,
            repair=turn.draft.repairs,
            reason=fault.reason,
            detail=fault.detail,
            final=final,
        )
    )
    if final and turn.draft.tasks:
        _accept(transition, AcceptReason.REVISION_REJECTED)
        return
    if final:
        _do_without_plan(transition, f"the plan was rejected: {fault.reason}: {fault.detail}")
        return
    told = PromptMessage(
        role=ChatRole.USER,
        text=f"Your plan was rejected: {fault.reason}: {fault.detail}. Answer with the corrected JSON alone.",
        trust=turn.draft.made_from.trust,
    )
    _ask_again(transition, said, told, repairs=turn.draft.repairs + 1, revision=turn.draft.revision)


def _revise(transition: Transition, score: float, remarks: str) -> None:
    told = PromptMessage(
        role=ChatRole.USER,
        text=f"A critic scored your plan {score:.2f}: {remarks} Answer with the improved plan as JSON alone.",
        trust=transition.turn.draft.made_from.trust,
    )
    _ask_again(transition, None, told, repairs=0, revision=transition.turn.draft.revision + 1)


def _ask_again(
    transition: Transition, said: PromptMessage | None, told: PromptMessage, *, repairs: int, revision: int
) -> None:
    draft = transition.turn.draft
    conversation = (*draft.conversation, *((said,) if said else ()), told)
    draft = replace(draft, conversation=conversation, repairs=repairs, revision=revision)
    transition.turn = replace(transition.turn, draft=draft, prompt_tokens_min=0, attempt=1)
    ask_for_plan(transition)


def _accept(transition: Transition, reason: AcceptReason) -> None:
    turn = transition.turn
    accepted = transition.emit(
        PlanAccepted(
            plan_id=turn.draft.plan_id, turn=turn.number, revision=turn.draft.revision, reason=reason
        ),
        _proposal(transition),
    )
    execution.begin(transition, accepted)


def _unestimated(plan: tuple[PlannedTask, ...]) -> tuple[PlannedTask, ...]:
    return with_estimates(plan, dict.fromkeys((task.key for task in plan), 0))


def _proposal(transition: Transition) -> tuple[str, ...]:
    proposed = transition.turn.draft.proposed_event_id
    return (proposed,) if proposed else ()
