"""The running summary of a conversation: a model adds the turns that no longer fit to the summary so far.

It is asked for when a turn has ended, from what the session has left; nobody waits for it. Where it cannot
be paid or fails, the turns stay, and it is asked for again after the next turn.
"""

from collections.abc import Sequence
from typing import Final, TypeGuard

from processors.calls import Prompt, Unaffordable, admission, request
from processors.memory.history import (
    came_over,
    exchange_messages,
    exchange_tokens,
    imported_messages,
    imported_tokens,
    made_from,
    past_of,
    summary_message,
)
from processors.memory.state import Exchange, ImportedMessage, Summary, SummaryCall
from processors.prompts import prompt_tokens, turn_made_from
from processors.provenance import CAME_OVER, joined
from processors.routing import Admission
from processors.state import Budget, SessionState, SessionStatus, Turn
from processors.transition import Transition
from schemas.configuration import Limits
from schemas.events.models import (
    CallPurpose,
    ChatRole,
    FinishReason,
    ModelCallCompleted,
    ModelCallFailed,
    PromptMessage,
)
from schemas.events.trust import Trust
from schemas.frozen import replace
from schemas.references import RecordReference

HISTORY_MAX: Final = 16
"""Earlier turns that a session knows one by one, by reference; where none can be summed up, older ones go."""
FULL_SHARE: Final = 0.75
"""Of the bound of the history: with more in it, the oldest turns are summed up."""
LEFT_SHARE: Final = 0.5
"""How much of the bound the turns that stay may have."""
BUDGET_SHARE_MAX: Final = 0.1
"""Of what the session has left: a summary that may take more is not worth its price to whoever still asks."""
SUMMARIZER: Final = "conversation_summarizer"
"""As calls and costs name who writes it; an agent that sums up what tasks found is called summarizer."""
RULES: Final = "summarizer"
"""Under which its prompt stands."""


def note_exchange(
    transition: Transition, turn: Turn, answer: RecordReference | None, answer_characters: int
) -> None:
    """Keep a turn that has ended, and have the oldest ones summed up where there are too many.

    Args:
        transition: with the turn still in progress, which pays for the summary.
        turn: that has ended.
        answer: the input that has it; None: no model gave one.
        answer_characters: how long it is.
    """
    exchange = Exchange(
        message=turn.message.reference,
        answer=answer,
        message_characters=turn.message.characters,
        answer_characters=answer_characters,
        outside=_had_part(turn) or _is_outside(transition.state, transition.state.history),
        said=turn.message.made_from,
        made_from=turn_made_from(transition.state, turn),
    )
    state = transition.state
    past = joined(exchange.made_from, past_of(state))
    history = (*state.history, exchange)
    call = state.summary_call
    if len(history) > HISTORY_MAX:
        history = history[1:]
        if call is not None:
            call = replace(call, exchanges=max(0, call.exchanges - 1))
    transition.state = replace(state, history=history, summary_call=call, past=past)
    if call is None:
        _ask(transition)


def ended(transition: Transition, outcome: ModelCallCompleted | ModelCallFailed) -> None:
    """Take a summary in the place of the turns that it tells of; without one they stay."""
    state = transition.state
    call = state.summary_call
    assert call is not None
    if _is_summary(outcome):
        summary = Summary(
            reference=transition.reference(outcome.output_tokens),
            characters=len(outcome.text),
            turns=call.turns,
            outside=call.outside,
            imported=call.imported,
            made_from=call.made_from,
        )
        transition.state = replace(
            state,
            history=state.history[call.exchanges :],
            summary=summary,
            summary_call=None,
            summary_tokens_missed=0,
        )
        return
    counted = outcome.prompt_tokens_counted if isinstance(outcome, ModelCallFailed) else 0
    missed = max(0, counted - call.tokens_estimated)
    transition.state = replace(
        state, summary_call=None, summary_tokens_missed=max(missed, state.summary_tokens_missed)
    )


def is_asked_for(transition: Transition, call_id: str) -> bool:
    """Tell whether a call is that of the summary which is being made."""
    call = transition.state.summary_call
    return call is not None and call.call_id == call_id


def to_sum_up(history: Sequence[Exchange], limits: Limits) -> int:
    """Return how many of the oldest turns are to be summed up now: all but the latest that may stay."""
    tokens_max = limits.history_tokens_max
    tokens = [exchange_tokens(exchange, tokens_max) for exchange in history]
    if sum(tokens) <= tokens_max * FULL_SHARE and len(history) < HISTORY_MAX:
        return 0
    left = sum(tokens)
    for number, of_one in enumerate(tokens[:-1]):
        if left <= tokens_max * LEFT_SHARE and len(history) - number <= HISTORY_MAX // 2:
            return number
        left -= of_one
    return len(history) - 1


def _is_summary(outcome: ModelCallCompleted | ModelCallFailed) -> TypeGuard[ModelCallCompleted]:
    """Tell whether a summary was written: one that a filter broke off would lose what an earlier one kept."""
    return (
        isinstance(outcome, ModelCallCompleted)
        and bool(outcome.text.strip())
        and outcome.finish_reason is not FinishReason.CONTENT_FILTER
    )


def _ask(transition: Transition) -> None:
    state = transition.state
    limits = transition.configuration.limits
    rules = transition.configuration.prompts.get(RULES)
    # What came over goes into the first summary, and so is what makes way first.
    came = came_over(state, limits.history_tokens_max, limits.history_tokens_max)
    count = to_sum_up(state.history, limits)
    is_full = bool(count) or (
        bool(came) and _tokens(state, came, limits) > limits.history_tokens_max * FULL_SHARE
    )
    # A session that is closing is not spoken in any more.
    if not is_full or not limits.summary_output_tokens_max or rules is None or _is_last(transition):
        return
    taken = state.history[:count]
    messages = _messages(transition, rules, taken, came)
    estimated = prompt_tokens(messages, transition.configuration, ())
    prompt = Prompt(
        purpose=CallPurpose.SUMMARIZE,
        agent=SUMMARIZER,
        tier=limits.summary_tier,
        messages=messages,
        output_tokens_max=limits.summary_output_tokens_max,
        temperature=limits.summary_temperature,
        prompt_tokens_min=estimated + state.summary_tokens_missed,
    )
    admitted = admission(transition, prompt)
    if isinstance(admitted, Unaffordable) or not _is_worth_it(admitted, state.budget):
        return
    call_id = request(transition, prompt)
    assert isinstance(call_id, str)
    call = SummaryCall(
        call_id=call_id,
        exchanges=count,
        turns=state.turns - (len(state.history) - count),
        tokens_estimated=estimated,
        outside=_is_outside(state, taken),
        imported=bool(came) or (state.summary is not None and state.summary.imported),
        made_from=joined(
            *(made_from(one) for one in taken),
            *((CAME_OVER,) if came else ()),
            *((made_from(state.summary),) if state.summary is not None else ()),
        ),
    )
    transition.state = replace(transition.state, summary_call=call)


def _had_part(turn: Turn) -> bool:
    """Tell whether documents, attachments or tools had a part in a turn of their own."""
    return bool(turn.message.attachments) or any(task.tools_called for task in turn.tasks.values())


def _is_outside(state: SessionState, exchanges: Sequence[Exchange]) -> bool:
    """Tell how far the past is trusted that these turns and the summary tell: as its least trusted part."""
    if state.imported is not None:
        return True
    return any(one.outside for one in exchanges) or (state.summary is not None and state.summary.outside)


def _tokens(state: SessionState, came: Sequence[ImportedMessage], limits: Limits) -> int:
    tokens_max = limits.history_tokens_max
    return imported_tokens(came, tokens_max) + sum(exchange_tokens(one, tokens_max) for one in state.history)


def _is_worth_it(admitted: Admission, budget: Budget) -> bool:
    return (
        admitted.tokens <= budget.tokens_left * BUDGET_SHARE_MAX
        and admitted.nanodollars <= budget.nanodollars_left * BUDGET_SHARE_MAX
    )


def _is_last(transition: Transition) -> bool:
    state = transition.state
    return state.status is SessionStatus.CLOSING and not state.queue


def _messages(
    transition: Transition, rules: str, exchanges: Sequence[Exchange], came: Sequence[ImportedMessage]
) -> tuple[PromptMessage, ...]:
    before, past = transition.state.summary, transition.state.imported
    limits = transition.configuration.limits
    told = [text for exchange in exchanges for text in exchange_messages(exchange, limits.history_tokens_max)]
    return (
        PromptMessage(role=ChatRole.SYSTEM, text=rules, trust=Trust.SYSTEM),
        *(imported_messages(past, came, limits.history_tokens_max) if past is not None and came else ()),
        *((summary_message(before, limits.summary_output_tokens_max),) if before is not None else ()),
        *(_quoted(text) for text in told),
        PromptMessage(role=ChatRole.USER, text="Write the summary of all of this.", trust=Trust.SYSTEM),
    )


def _quoted(message: PromptMessage) -> PromptMessage:
    """Quote what was said, so that a model neither obeys it nor goes on with it."""
    who = "The user said:" if message.role is ChatRole.USER else "The answer was:"
    return replace(message, role=ChatRole.USER, text=f"{who}\n{message.text or ''}")
