"""What a session refuses to be told: inputs of others than its owner.

A refused input is put aside with its reason under the sender's name. It changes nothing of the session and
causes no event in it, so that its owner never hears of it.
"""

from typing import Final

from processors.decider import Refused
from processors.state import SessionState, SessionStatus
from schemas.envelope import Envelope
from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import InputFact, OperatorFact

EVERY_TENANT: Final = "*"
"""As tenant of an operator's act: the operator may act in every session."""


def objection(state: SessionState, event: Envelope) -> Refused | None:
    """Tell why an input is not to be applied; None: it is.

    A session belongs to the tenant and the user who opened it: nobody else speaks in it, cancels it or closes
    it. Operators act in the sessions of their tenant, whoever the user is.
    """
    if not isinstance(event.body, InputFact) or state.status is SessionStatus.NEW:
        return None
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
