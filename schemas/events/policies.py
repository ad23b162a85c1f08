"""What may be done and why: the facts of `policy.decisions`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDecided:
    """A rule decided a tool call before it ran."""

    decision_id: str
    call_id: str
    task_id: str
    agent: str
    tool: str
    decision: str
    """allow, deny, throttle, escalate or audit."""
    rule: str
    """Name of the rule that decided."""
    reason: str
    tokens_left_before: int
    """What the session had left to reserve before the call."""
    tokens_left_after: int
    """The same once the call's reservation is made; unchanged when it is not."""
    usage_before_json: str
    """JSON object: what the session has used and reserved."""
    usage_after_json: str
    request_json: str
    """JSON object: the call as it was asked for."""
    user_json: str
    """JSON object: for whom."""


PolicyFact = PolicyDecided
