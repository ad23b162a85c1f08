"""Clients' calls that have no answer: what their clients are told, and what tells why."""

from typing import Final

from processors.budgets import EXHAUSTED_RULE
from processors.client_state import ClientCall
from processors.decisions import tell_decision
from processors.policy.decide import Verdict
from processors.routing import price
from processors.transition import Transition
from schemas.configuration import ChatModel
from schemas.events.budgets import BudgetExhausted, BudgetScope
from schemas.events.client_calls import ClientCallFailed, ClientCallFailureKind
from schemas.events.models import CallPurpose
from schemas.events.policies import Decision

CLIENT: Final = "client"
"""The agent as which policy knows whoever calls."""


def fail_exhausted(transition: Transition, call: ClientCall, model: ChatModel) -> None:
    """Refuse a call that cannot be afforded, as a decision and as an event."""
    limits, budget = transition.configuration.limits, transition.budget
    output_tokens = (
        min(call.output_tokens, limits.output_tokens_min) if call.may_shorten else call.output_tokens
    )
    tokens = call.input_tokens + output_tokens
    nanodollars = price(model, call.input_tokens, output_tokens)
    reason = (
        f"the call takes {tokens} tokens and {nanodollars} nanodollars at the least; "
        f"{budget.tokens_left} tokens and {budget.nanodollars_left} nanodollars are left"
    )
    decided = tell_decision(
        transition,
        Verdict(decision=Decision.DENY, rule=EXHAUSTED_RULE, reason=reason),
        call_id="",
        task_id="",
        agent=CLIENT,
        request={"purpose": CallPurpose.CLIENT, "model": model.name},
    )
    exhausted = transition.emit(
        BudgetExhausted(
            scope=BudgetScope.SESSION,
            scope_id=transition.state.session_id,
            purpose=CallPurpose.CLIENT,
            needed_tokens=tokens,
            needed_nanodollars=nanodollars,
            tokens_left=budget.tokens_left,
            nanodollars_left=budget.nanodollars_left,
        )
    )
    fail(
        transition,
        call,
        ClientCallFailureKind.BUDGET_SPENT,
        f"the token's budget is spent: {reason}",
        evidence=(decided, exhausted),
    )


def fail_too_long(transition: Transition, call: ClientCall, prompt_tokens: int, model: ChatModel) -> None:
    """Refuse a call whose prompt leaves no room for an answer."""
    fail(
        transition,
        call,
        ClientCallFailureKind.PROMPT_TOO_LONG,
        f"the prompt has {prompt_tokens} tokens, and {model.name} has room for {model.context_tokens}, the "
        "answer included",
    )


def fail(
    transition: Transition,
    call: ClientCall,
    kind: ClientCallFailureKind,
    message: str,
    *,
    charged: tuple[int, int] = (0, 0),
    retry_after_ms: int | None = None,
    evidence: tuple[str, ...] = (),
) -> None:
    """Tell a client that its call has no answer, and what was charged all the same (tokens, nanodollars)."""
    tokens, nanodollars = charged
    made = (call.requested_event_id,) if call.requested_event_id else ()
    transition.emit(
        ClientCallFailed(
            call_id=call.call_id if made else "",
            input_id=call.reference.event_id,
            body_sha256=call.body_sha256,
            kind=kind,
            message=message,
            tokens=tokens,
            cost_nanodollars=nanodollars,
            retry_after_ms=retry_after_ms,
        ),
        (call.reference.event_id, *made, *evidence),
    )
