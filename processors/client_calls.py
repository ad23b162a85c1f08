"""Clients' single model calls: reserve, call, let policy decide what comes back, charge, answer.

All calls of a token on one day share a session, so that its budget has one owner and nothing that is kept for
ever is kept for each call. A call that does not fit what is left waits, in its turn, as long as others hold
reservations; what they release is for those who wait. Policy decides each tool call of an answer as the agent
`client`: what it keeps back is told as a refusal, for nobody can approve or delay what a client does itself.
"""

from typing import Final

from processors import call_accounts
from processors.budgets import reserve, settle
from processors.client_failures import CLIENT, fail, fail_exhausted, fail_too_long
from processors.client_state import ClientCall, ClientCallStatus
from processors.decisions import tell_decision
from processors.leases import open_session
from processors.lifecycles import BEGINS, CLIENT_CALL, ENDS
from processors.policy import hindsight
from processors.policy.decide import PolicyRequest, Verdict, decide_client_tool
from processors.provenance import of_roles
from processors.repeats import has_seen, mark_of, with_mark
from processors.routing import price, share_left
from processors.state import Reservation, SessionStatus
from processors.transition import Transition
from schemas.configuration import ChatModel, Configuration
from schemas.events.client_calls import (
    EMBEDDINGS,
    ClientCallAnswered,
    ClientCallCancelled,
    ClientCallFailureKind,
    ClientCallReceived,
    ToolCallDenied,
)
from schemas.events.models import (
    CallPurpose,
    ChatRole,
    FinishReason,
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ModelFailureKind,
    PromptMessage,
    ToolCallProposed,
)
from schemas.events.policies import Decision
from schemas.frozen import replace
from schemas.ids import derived_id
from schemas.references import RecordReference

OUTPUT_TOKENS_USUAL: Final = 4_096
"""Reserved for an answer whose length the client leaves open."""
CANCELLED: Final = "its client cancelled it"
WAIT_MS_MAX: Final = 30_000
"""How long a call waits for budget that others hold."""
CALLS_MAX: Final = 512
"""Calls of one session that are not answered yet; each takes about 400 bytes of its state."""
SEEN_MAX: Final = 2_048
"""Calls that a session knows as repeats, until gateways find them in the log's copy; so nothing that is kept
for ever is kept for each call."""
ATTEMPTS_MAX: Final = 2
"""A prompt that has more tokens than were reserved is reserved anew once, with the exact count."""
CONTEXT_TOKENS_OPEN: Final = 2**31
MARGIN_SHARE: Final = 16
MARGIN_TOKENS: Final = 8
"""Providers count a prompt otherwise than we do: a sixteenth and this are reserved on top."""


def received(transition: Transition, body: ClientCallReceived) -> None:
    """Take a call up: it is made as soon as its reservation fits."""
    state = transition.state
    mark = mark_of(transition.event.event_id)
    if has_seen(state.seen, mark):
        return
    seen = with_mark(state.seen, mark, marks_max=SEEN_MAX)
    transition.state = replace(state, seen=seen, idle_since_ms=None)
    transition.about = transition.event.event_id
    call_accounts.look_again(transition)
    if state.status is SessionStatus.NEW:
        if body.budget is None:
            open_session(transition, None, None)
        else:
            call_accounts.open_session(transition, body.budget)
        transition.state = replace(transition.state, calls_of=body.token_id)
    model = model_of(transition.configuration, body.model, embeds=body.route == EMBEDDINGS)
    call = _call(transition, body, model)
    if model is None:
        fail(transition, call, ClientCallFailureKind.UNKNOWN_MODEL, f"there is no model {body.model}")
    elif state.status is SessionStatus.ENDED:
        fail(transition, call, ClientCallFailureKind.BUDGET_SPENT, "the account has nothing left")
    elif len(state.calls) >= CALLS_MAX:
        fail(transition, call, ClientCallFailureKind.TOO_MANY, f"{CALLS_MAX} calls wait already")
    elif call.output_tokens < 1 and not call.embeds:
        fail_too_long(transition, call, body.prompt_tokens, model)
    else:
        CLIENT_CALL.move(BEGINS, call.status)
        _put(transition, call)
        take_waiting(transition)


def cancelled(transition: Transition, body: ClientCallCancelled) -> None:
    """Let go of a call that waits; of one that is being made the outcome tells what it has cost."""
    found = [call for call in transition.state.calls.values() if call.reference.event_id == body.input_id]
    for call in found:
        transition.about = body.input_id
        if call.status is ClientCallStatus.REQUESTED:
            transition.emit(ModelCallCancelled(call_id=call.call_id, reason=CANCELLED))
            continue
        _drop(transition, call)
        fail(transition, call, ClientCallFailureKind.CANCELLED, CANCELLED)
    take_waiting(transition)


def outcome(transition: Transition, body: ModelCallCompleted | ModelCallFailed) -> None:
    """Charge a call, and tell its client what became of it."""
    call = transition.state.calls.get(body.call_id)
    if call is None:
        settle(transition, body)
        return
    transition.about = call.reference.event_id
    used_before = transition.budget.tokens_used, transition.budget.nanodollars_used
    settle(transition, body)
    charged = (
        transition.budget.tokens_used - used_before[0],
        transition.budget.nanodollars_used - used_before[1],
    )
    if isinstance(body, ModelCallCompleted):
        _answer(transition, call, body, charged[1])
    elif body.kind is ModelFailureKind.PROMPT_TOO_LONG and _reserves_anew(transition, call, body):
        pass
    else:
        _drop(transition, call)
        fail(
            transition,
            call,
            ClientCallFailureKind(body.kind),
            body.message,
            charged=charged,
            retry_after_ms=body.retry_after_ms,
        )
    take_waiting(transition)


def take_waiting(transition: Transition) -> None:
    """Make the calls that wait, in the order in which they came, as far as they fit what is left."""
    if transition.state.status is SessionStatus.LEASING:
        return
    for call in tuple(transition.state.calls.values()):
        if call.status is not ClientCallStatus.WAITING:
            continue
        transition.about = call.reference.event_id
        model = model_of(transition.configuration, call.model, embeds=call.embeds)
        if model is None:
            _drop(transition, call)
            fail(transition, call, ClientCallFailureKind.UNKNOWN_MODEL, f"there is no model {call.model}")
            continue
        output_tokens = _fitting(transition, call, model)
        if output_tokens >= call.output_tokens:
            _request(transition, call, model)
        elif call_accounts.may_ask(transition):
            _ask_account(transition, call, model)
            return
        elif transition.budget.reservations or call_accounts.waits_for_others(transition):
            # Later ones wait behind it, so that small calls do not keep a large one out for ever.
            return
        elif call.may_shorten and output_tokens >= transition.configuration.limits.output_tokens_min:
            _request(transition, replace(call, output_tokens=output_tokens), model)
        else:
            _drop(transition, call)
            fail_exhausted(transition, call, model)


def due(transition: Transition) -> None:
    """Give up on calls that have waited for too long, and see what fits now."""
    for call in tuple(transition.state.calls.values()):
        if call.status is ClientCallStatus.WAITING and call.due_at_ms <= transition.now_ms:
            transition.about = call.reference.event_id
            _drop(transition, call)
            fail(
                transition,
                call,
                ClientCallFailureKind.BUDGET_BUSY,
                f"what is left of the budget was held by other calls for {WAIT_MS_MAX // 1_000} seconds",
                retry_after_ms=1_000,
            )
    call_accounts.due(transition)
    take_waiting(transition)


def refuse_all(transition: Transition, reason: str) -> None:
    """Tell all who wait that there will be no budget."""
    for call in tuple(transition.state.calls.values()):
        transition.about = call.reference.event_id
        _drop(transition, call)
        fail(transition, call, ClientCallFailureKind.BUDGET_SPENT, reason)


def _call(transition: Transition, body: ClientCallReceived, model: ChatModel | None) -> ClientCall:
    reference = transition.reference(body.prompt_tokens)
    input_tokens = body.prompt_tokens + body.prompt_tokens // MARGIN_SHARE + MARGIN_TOKENS
    room = 0 if model is None else model.context_tokens - input_tokens
    embeds = body.route == EMBEDDINGS
    return ClientCall(
        call_id=derived_id(transition.state.session_id, CLIENT, reference.event_id, "1"),
        reference=reference,
        model=body.model,
        input_tokens=input_tokens,
        output_tokens=0 if embeds else min(body.output_tokens_max or OUTPUT_TOKENS_USUAL, room),
        may_shorten=body.output_tokens_max is None and not embeds,
        body_sha256=body.body_sha256,
        due_at_ms=transition.now_ms + WAIT_MS_MAX,
        embeds=embeds,
        made_from=of_roles(message.role for message in body.messages),
    )


def model_of(configuration: Configuration, name: str, *, embeds: bool) -> ChatModel | None:
    """Return the model that a client's call names; None: there is none.

    One that makes vectors is priced like one whose answers cost nothing, and its window is that of each text,
    which the gateway has looked at.
    """
    if not embeds:
        return next((chat for chat in configuration.models.chat if chat.name == name), None)
    embedding = configuration.models.embedding
    if not name or embedding.name != name:
        return None
    return ChatModel(
        name=name,
        tier=EMBEDDINGS,
        input_nanodollars=embedding.input_nanodollars,
        output_nanodollars=0,
        context_tokens=CONTEXT_TOKENS_OPEN,
        encoding=embedding.encoding,
    )


def _fitting(transition: Transition, call: ClientCall, model: ChatModel) -> int:
    """Return how long the answer may be with what is left; negative when not even the prompt fits."""
    budget = transition.budget
    output_tokens = budget.tokens_left - call.input_tokens
    spare = budget.nanodollars_left - price(model, call.input_tokens, 0)
    if model.output_nanodollars > 0:
        output_tokens = min(output_tokens, spare // model.output_nanodollars)
    return min(output_tokens, call.output_tokens) if spare >= 0 else -1


def _ask_account(transition: Transition, call: ClientCall, model: ChatModel) -> None:
    """Have the token's account lend what the call lacks."""
    budget = transition.budget
    call_accounts.ask(
        transition,
        call.input_tokens + call.output_tokens - budget.tokens_left,
        price(model, call.input_tokens, call.output_tokens) - budget.nanodollars_left,
    )


def _request(transition: Transition, call: ClientCall, model: ChatModel) -> None:
    limits = transition.configuration.limits
    held = Reservation(
        task_id="",
        model=model.name,
        tokens=call.input_tokens + call.output_tokens,
        nanodollars=price(model, call.input_tokens, call.output_tokens),
    )
    left = reserve(transition, call.call_id, held)
    requested = ModelCallRequested(
        call_id=call.call_id,
        task_id="",
        turn=0,
        purpose=CallPurpose.CLIENT,
        agent=CLIENT,
        model=model.name,
        messages=(PromptMessage(role=ChatRole.USER, source=call.reference, trust=call.made_from.trust),),
        input_tokens_max=call.input_tokens,
        output_tokens_max=call.output_tokens,
        reserved_tokens=held.tokens,
        reserved_nanodollars=held.nanodollars,
        session_tokens_left=left.session_tokens,
        session_nanodollars_left=left.session_nanodollars,
        task_tokens_left=left.task_tokens,
        timeout_ms=limits.model_timeout_ms,
        attempts_max=limits.model_attempts_max,
    )
    event_id = transition.emit(requested, (call.reference.event_id,))
    CLIENT_CALL.move(call.status, ClientCallStatus.REQUESTED)
    _put(transition, replace(call, status=ClientCallStatus.REQUESTED, requested_event_id=event_id))


def _reserves_anew(transition: Transition, call: ClientCall, body: ModelCallFailed) -> bool:
    """Let a call wait for a larger reservation, where its prompt was counted to need one and can have it."""
    model = model_of(transition.configuration, call.model, embeds=call.embeds)
    counted = body.prompt_tokens_counted
    if model is None or call.attempt >= ATTEMPTS_MAX or counted <= call.input_tokens:
        return False
    room = model.context_tokens - counted
    if room < 1:
        return False
    attempt = call.attempt + 1
    _leave(transition, call)
    CLIENT_CALL.move(call.status, ClientCallStatus.WAITING)
    again = replace(
        call,
        call_id=derived_id(transition.state.session_id, CLIENT, call.reference.event_id, str(attempt)),
        status=ClientCallStatus.WAITING,
        input_tokens=counted,
        output_tokens=min(call.output_tokens, room),
        attempt=attempt,
    )
    _put(transition, again)
    return True


def _answer(
    transition: Transition, call: ClientCall, body: ModelCallCompleted, charged_nanodollars: int
) -> None:
    allowed: list[ToolCallProposed] = []
    denied: list[ToolCallDenied] = []
    evidence = [call.reference.event_id, call.requested_event_id]
    for number, proposed in enumerate(body.tool_calls):
        earlier = sum(other.name == proposed.name for other in body.tool_calls[:number])
        verdict, event_id = _decided(transition, call, proposed, number, calls_before=earlier)
        evidence.append(event_id)
        if verdict.decision in (Decision.ALLOW, Decision.AUDIT):
            allowed.append(proposed)
        else:
            denied.append(ToolCallDenied(name=proposed.name, rule=verdict.rule, reason=verdict.reason))
    reason = body.finish_reason
    if denied and not allowed and reason is FinishReason.TOOL_CALLS:
        reason = FinishReason.STOP
    answered = ClientCallAnswered(
        call_id=call.call_id,
        input_id=call.reference.event_id,
        body_sha256=call.body_sha256,
        model=body.model,
        text=body.text,
        tool_calls=tuple(allowed),
        denied=tuple(denied),
        finish_reason=reason,
        input_tokens=body.input_tokens,
        output_tokens=body.output_tokens,
        cost_nanodollars=charged_nanodollars,
        local=body.local,
        vectors=_vectors(transition, body),
    )
    transition.emit(answered, tuple(evidence))
    _drop(transition, call)


def _vectors(transition: Transition, body: ModelCallCompleted) -> RecordReference | None:
    return None if body.vectors is None else transition.reference(0)


def _decided(
    transition: Transition, call: ClientCall, proposed: ToolCallProposed, number: int, *, calls_before: int
) -> tuple[Verdict, str]:
    request = PolicyRequest(
        agent=CLIENT,
        tool=proposed.name,
        spec=None,
        calls_before=calls_before,
        share_left=share_left(transition.budget),
        arguments_json=proposed.arguments_json,
        tenant=transition.state.tenant_id,
        user=transition.state.user_id,
        now_ms=transition.now_ms,
        trust=call.made_from.trust,
        trust_why=call.made_from.why,
    )
    verdict = decide_client_tool(request, transition.configuration.policy)
    event_id = tell_decision(
        transition,
        verdict,
        call_id=derived_id(call.call_id, "tool", str(number)),
        task_id="",
        agent=CLIENT,
        tool=proposed.name,
        trust=request.trust,
        request={**hindsight.told(request), "model": call.model},
    )
    return verdict, event_id


def _put(transition: Transition, call: ClientCall) -> None:
    calls = {**transition.state.calls, call.call_id: call}
    transition.state = replace(transition.state, calls=calls)


def _leave(transition: Transition, call: ClientCall) -> None:
    calls = {key: other for key, other in transition.state.calls.items() if key != call.call_id}
    transition.state = replace(transition.state, calls=calls)


def _drop(transition: Transition, call: ClientCall) -> None:
    CLIENT_CALL.move(call.status, ENDS)
    _leave(transition, call)
