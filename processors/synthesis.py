"""The synthesis decider: the final answer is written from the tasks' results, which it cites."""

from processors import progress, snapshots
from processors.answers import answer, answer_without_model, complete_tasks, nothing_written, turn_call_failed
from processors.calls import Prompt, Unaffordable, request, tell_unaffordable
from processors.prompts import synthesis_messages
from processors.state import Phase
from processors.transition import Transition
from schemas.events.models import CallPurpose, ModelCallCompleted, ModelCallFailed
from schemas.events.outputs import AnswerReason
from schemas.events.snapshots import Node
from schemas.frozen import replace


def ask_for_answer(transition: Transition) -> None:
    """Ask the synthesizer, or answer without it when there is nothing to tell or nothing to pay it with."""
    complete = complete_tasks(transition)
    turn = transition.turn
    if len(complete) < len(turn.tasks):
        transition.turn = turn = replace(turn, degraded=turn.degraded or AnswerReason.TASKS_FAILED)
    if not complete:
        errors = "; ".join(f"{task.key}: {task.error}" for task in turn.tasks.values())
        answer_without_model(
            transition, turn.degraded or AnswerReason.TASKS_FAILED, f"no task ended well ({errors})"
        )
        return
    limits = transition.configuration.limits
    prompt = Prompt(
        purpose=CallPurpose.SYNTHESIZE,
        agent="synthesizer",
        tier=limits.synthesis_tier,
        messages=synthesis_messages(transition, complete),
        output_tokens_max=limits.synthesis_output_tokens_max,
        temperature=limits.synthesis_temperature,
        prompt_tokens_min=turn.prompt_tokens_min,
        may_use_reserve=True,
    )
    call_id = request(transition, prompt)
    if isinstance(call_id, Unaffordable):
        tell_unaffordable(transition, call_id)
        answer_without_model(
            transition, AnswerReason.BUDGET_EXHAUSTED, "the budget is too small to write the answer out"
        )
        return
    transition.turn = replace(transition.turn, phase=Phase.SYNTHESIZE, model_call_id=call_id)
    if turn.phase is not Phase.SYNTHESIZE:
        snapshots.take(transition, Node.SYNTHESIZE)
        progress.report(transition, "the answer is written")


def synthesis_completed(transition: Transition, outcome: ModelCallCompleted) -> None:
    """End the turn with the answer."""
    if outcome.text.strip():
        answer(transition, outcome)
    else:
        answer_without_model(transition, AnswerReason.MODEL_FAILED, nothing_written(outcome))


def synthesis_failed(transition: Transition, outcome: ModelCallFailed) -> None:
    """Try the synthesizer again, or answer without it."""
    turn_call_failed(transition, outcome, retry=ask_for_answer, give_up=_without)


def _without(transition: Transition, outcome: ModelCallFailed) -> None:
    answer_without_model(
        transition, AnswerReason.MODEL_FAILED, f"the model failed: {outcome.kind}: {outcome.message}"
    )
