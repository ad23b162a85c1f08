"""What may be done and why: the facts of `policy.decisions`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecided:
    """A rule decided a call before it ran: policy a tool's, the budget a model's or a tool's."""

    decision_id: str
    call_id: str
    """Empty for a model call that was not made."""
    task_id: str
    agent: str
    tool: str
    """Empty for a model call, whose purpose and models stand in `request_json`."""
    decision: str
    """allow, deny, throttle, escalate or audit."""
    rule: str
    """Name of the rule that decided: of the policy, or budget_downshift or budget_exhausted."""
    reason: str
    tokens_left_before: int
    """What the session had left to reserve before the call."""
    tokens_left_after: int
    """The same once the call's reservation is made; unchanged when it is not."""
    usage_before_json: str
    """JSON object: tokens and nanodollars granted, used, reserved and left."""
    usage_after_json: str
    """The same once the call's reservation is made."""
    request_json: str
    """JSON object: the call as it was asked for."""
    user_json: str
    """JSON object: for whom."""


PolicyFact = PolicyDecided
