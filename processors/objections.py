"""What a session refuses to be told: inputs of others than its owner, and outcomes that no call waits for.

A refused input is put aside with its reason under the sender's name. It changes nothing of the session and
causes no event in it, so that its owner never hears of it.
"""

from typing import Final, NamedTuple

from processors.decider import Refused
from processors.outcomes import Outcome, amounts
from processors.state import SessionState, SessionStatus, ToolCallStatus
from schemas.envelope import Envelope
from schemas.events.client_calls import ClientCallCancelled, ClientCallReceived
from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import InputFact, OperatorFact
from schemas.events.models import ModelCallCompleted, ModelCallFailed
from schemas.ids import outcome_id

EVERY_TENANT: Final = "*"
"""As tenant of an operator's act: the operator may act in every session."""
AMOUNT_MAX: Final = 2**53 - 1
"""No call uses more tokens or nanodollars than this, and the sums of many still fit 64 bits."""


class _Call(NamedTuple):
    """What a session knows of a call."""

    is_model: bool
    task_id: str
    is_made: bool
    """Somebody was asked to make it; otherwise it waits for budget, time or a person."""


def objection(state: SessionState, event: Envelope) -> Refused | None:
    """Tell why an input is not to be applied; None: it is."""
    body = event.body
    if isinstance(body, ClientCallReceived):
        return _of_call(state, body)
    if isinstance(body, ClientCallCancelled):
        if state.status is SessionStatus.NEW or event.tenant_id == state.tenant_id:
            return None
        return Refused(RejectionCode.NOT_OWNER, f"the session is not one of the tenant {event.tenant_id}")
    if isinstance(body, InputFact) and state.calls_of is not None:
        return Refused(RejectionCode.NOT_OWNER, "the session takes clients' single model calls alone")
    if isinstance(body, InputFact):
        return _of_stranger(state, event) if state.status is not SessionStatus.NEW else None
    if isinstance(body, Outcome):
        return _of_outcome(state, event, body)
    return None


def _of_stranger(state: SessionState, event: Envelope) -> Refused | None:
    """Refuse what is not the owner's.

    A session belongs to the tenant and the user who opened it: nobody else speaks in it, cancels it or closes
    it. Operators act in the sessions of their tenant, whoever the user is.
    """
    if isinstance(event.body, OperatorFact):
        if event.tenant_id in (EVERY_TENANT, state.tenant_id):
            return None
        return Refused(RejectionCode.NOT_OWNER, f"the session is not one of the tenant {event.tenant_id}")
    if (event.tenant_id, event.user_id) == (state.tenant_id, state.user_id):
        return None
    return Refused(
        RejectionCode.NOT_OWNER,
        f"the session is not one of the user {event.user_id} of the tenant {event.tenant_id}: "
        "only who opened it may speak in it, cancel it or close it",
    )


def _of_call(state: SessionState, body: ClientCallReceived) -> Refused | None:
    """Refuse a client's call in a conversation, and in the session of another token."""
    if state.status is SessionStatus.NEW or state.calls_of == body.token_id:
        return None
    return Refused(RejectionCode.NOT_OWNER, "the session does not hold the calls of this token")


def _of_outcome(state: SessionState, event: Envelope, body: Outcome) -> Refused | None:
    """Refuse what cannot be the outcome of a call of this session, before anything of it is applied.

    An outcome has one event id, which follows from its call, so that whoever tells it again tells the same
    event. One that was taken before is no fault: it is known by its call, for which nobody waits any more.
    """
    for name, amount in amounts(body).items():
        if not 0 <= amount <= AMOUNT_MAX:
            return Refused(RejectionCode.INVALID_INPUT, f"{name} is {amount}: no call can have used that")
    if event.event_id != outcome_id(body.call_id):
        return _unexpected(f"the event's id is not that of the outcome of the call {body.call_id}")
    if state.status is SessionStatus.NEW:
        return _unexpected("there is no such session")
    call = _call_of(state, body.call_id)
    if call is None:
        return None
    if call.is_model is not isinstance(body, ModelCallCompleted | ModelCallFailed):
        kind = "model" if call.is_model else "tool"
        return _unexpected(f"{type(body).__name__} is no outcome of a {kind} call")
    if not call.is_made:
        return _unexpected(f"the call {body.call_id} has not been made")
    if call.task_id != body.task_id:
        return _unexpected(f"the call {body.call_id} is not one of the task {body.task_id}")
    return None


def _call_of(state: SessionState, call_id: str) -> _Call | None:
    """Find a call by its reservation, which outlives its turn, or in its task; None: it is unknown."""
    held = state.budget.reservations.get(call_id)
    if held is not None:
        return _Call(not held.is_of_tool, held.task_id, is_made=True)
    # Calls of tools that call no models have no reservation.
    found = state.turn.tool_call(call_id) if state.turn is not None else None
    if found is None:
        return None
    task, call = found
    is_made = call.status in (ToolCallStatus.REQUESTED, ToolCallStatus.OPEN, ToolCallStatus.SETTLED)
    return _Call(False, task.task_id, is_made=is_made)


def _unexpected(reason: str) -> Refused:
    return Refused(RejectionCode.UNEXPECTED_OUTCOME, reason)
