"""Where decisions of approvers enter: what is not theirs never becomes a fact."""

from processors.approvals.statements import expiry_fault, fault_of, statement_of
from processors.inputs import InputInvalid
from schemas.canonical import NotCanonical
from schemas.configuration import Policy
from schemas.envelope import Envelope
from schemas.events.inputs import SignedFact


def demand_signed(event: Envelope, policy: Policy, now_ms: int) -> None:
    """See that a decision or an edit is an approver's, before it is a fact; other inputs are no concern here.

    Raises:
        InputInvalid: it is not; the sentence is for the sender.
    """
    body = event.body
    if not isinstance(body, SignedFact):
        return
    try:
        statement = statement_of(event)
    except NotCanonical as error:
        raise InputInvalid(str(error)) from error
    fault = fault_of(policy, statement, body.key, body.signature) or expiry_fault(statement, now_ms)
    if fault is not None:
        raise InputInvalid(f"the {type(body).__name__} does not count: {fault}")
