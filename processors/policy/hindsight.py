"""What other rules would have said of a call: all by which it was decided stands on the log."""

import json
from dataclasses import dataclass
from typing import Final

from processors.client_failures import CLIENT
from processors.policy.decide import (
    UNASKABLE_RULES,
    PolicyRequest,
    Verdict,
    decide,
    decide_client_tool,
    narrowed,
)
from processors.provenance import acts_outside, reaches_data
from schemas.configuration import Policy, ToolSpec
from schemas.envelope import Envelope
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.trust import Trust

EDITED: Final = Verdict(
    decision=Decision.ESCALATE, rule="edited_by_person", reason="a person changed the arguments"
)
_PASSES: Final = frozenset({Decision.ALLOW, Decision.AUDIT, Decision.THROTTLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """One decision, and what other rules say of the same call."""

    call_id: str
    agent: str
    tool: str
    tenant: str
    decision: Decision
    """What the rules said; that nobody could be asked does not count."""
    rule: str
    """Which decided."""
    other: Verdict

    @property
    def differs(self) -> bool:
        """Tell whether the call would have fared otherwise; by which rule does not matter."""
        return self.decision is not self.other.decision

    @property
    def is_stopped(self) -> bool:
        """Tell whether a call that was let pass would have been stopped, or asked about."""
        return self.decision in _PASSES and self.other.decision not in _PASSES


def told(request: PolicyRequest) -> dict[str, object]:
    """Return what a decision on the log tells of the call, as `review` reads it."""
    spec = request.spec
    return {
        "tool": request.tool,
        "arguments": request.arguments_json,
        "calls_before": request.calls_before,
        "calls_in_turn": request.calls_in_turn,
        "calls_in_session": request.calls_in_session,
        "share_left": request.share_left,
        "listed": request.listed,
        "safety_level": None if spec is None else spec.safety_level,
        "category": None if spec is None else spec.category,
        "trust": request.trust,
        "trust_why": request.trust_why,
        "data": request.data,
        "acts_outside": None if spec is None else acts_outside(spec),
        "reaches_data": None if spec is None else reaches_data(spec),
    }


def review(event: Envelope, policy: Policy) -> Reviewed | None:
    """Decide the call of a PolicyDecided by other rules.

    Returns None where there is nothing to decide: a model's call, what the budget or a person decided, what a
    session's own rules had a say in, and what an earlier program told too little of.
    """
    body = event.body
    assert isinstance(body, PolicyDecided)
    try:
        facts = json.loads(body.request_json)
        if not body.tool or facts.get("own_rules"):
            return None
        request = _request(event, body, facts)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    if body.agent == CLIENT:
        other = decide_client_tool(request, policy)
    else:
        other = decide(request, policy)
        if facts.get("edited_by"):
            other = narrowed(other, EDITED)
    return Reviewed(
        call_id=body.call_id,
        agent=body.agent,
        tool=body.tool,
        tenant=event.tenant_id,
        decision=Decision.ESCALATE if body.rule in UNASKABLE_RULES else body.decision,
        rule=body.rule,
        other=other,
    )


def _request(event: Envelope, body: PolicyDecided, facts: dict[str, object]) -> PolicyRequest:
    return PolicyRequest(
        agent=body.agent,
        tool=body.tool,
        spec=_spec(body.tool, facts),
        calls_before=_count(facts["calls_before"]),
        calls_in_turn=_count(facts["calls_in_turn"]),
        calls_in_session=_count(facts["calls_in_session"]),
        share_left=float(str(facts["share_left"])),
        listed=bool(facts["listed"]),
        arguments_json=str(facts["arguments"]),
        tenant=event.tenant_id,
        user=event.user_id,
        now_ms=event.occurred_at_ms,
        trust=Trust(str(facts.get("trust", Trust.UNKNOWN))),
        trust_why=str(facts.get("trust_why", "")),
        data=str(facts.get("data", "")),
    )


def _count(value: object) -> int:
    return int(str(value))


def spec_to_judge(
    tool: str,
    *,
    category: str,
    safety_level: str,
    acts_outside: bool | None = None,
    sensitive: bool | None = None,
) -> ToolSpec:
    """Return a tool of which only what rules ask for is known; it is never called."""
    return ToolSpec(
        name=tool,
        version="",
        description="",
        category=category,
        safety_level=safety_level,
        complexity_score=1,
        resource_intensity="light",
        parameters_json="{}",
        result_schema_json="{}",
        idempotent=False,
        tokens_max=0,
        tokens_min=0,
        nanodollars_per_token=0,
        timeout_ms=1,
        acts_outside=acts_outside,
        sensitive=sensitive,
    )


def _spec(tool: str, facts: dict[str, object]) -> ToolSpec | None:
    """Return as much of a tool as rules ask for."""
    if facts["safety_level"] is None:
        return None
    outside, reached = facts.get("acts_outside"), facts.get("reaches_data")
    return spec_to_judge(
        tool,
        category=str(facts["category"]),
        safety_level=str(facts["safety_level"]),
        acts_outside=None if outside is None else bool(outside),
        sensitive=None if reached is None else bool(reached),
    )
