"""What may be done and why: the facts of `policy.decisions`."""

from dataclasses import dataclass

from schemas.events.trust import Trust
from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class Decision(Word):
    """What a rule says of a call."""

    ALLOW = "allow"
    DENY = "deny"
    THROTTLE = "throttle"
    """It is made after a delay."""
    ESCALATE = "escalate"
    """A person decides."""
    AUDIT = "audit"
    """It is made, and marked for review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecided:
    """A rule decided a call before it ran: policy a tool's, the budget a model's or a tool's."""

    decision_id: Impersonal
    call_id: Impersonal
    """Empty for a model call that was not made."""
    task_id: Impersonal
    agent: Impersonal
    tool: Personal
    """Empty for a model call, whose purpose and models stand in `request_json`."""
    decision: Decision
    rule: Impersonal
    """Name of the rule that decided: the policy's, or budget_downshift, budget_exhausted, approval_expired,
    too_many_at_once (more calls than one answer may ask for) or untrusted_to_outside (docs/trust.md)."""
    reason: Impersonal
    tokens_left_before: int
    """What the session had left to reserve before the call."""
    tokens_left_after: int
    """The same once the call's reservation is made; unchanged when it is not."""
    usage_before_json: Impersonal
    """JSON object: tokens and nanodollars granted, used, reserved and left."""
    usage_after_json: Impersonal
    """The same once the call's reservation is made."""
    request_json: Personal
    """JSON object: the call as it was asked for."""
    user_json: Personal
    """JSON object: for whom."""
    trust: Trust = Trust.UNKNOWN
    """Of what led to a tool's call, the least trusted part; `request_json` tells what that is."""


PolicyFact = PolicyDecided
