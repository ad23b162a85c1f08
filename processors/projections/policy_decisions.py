"""Rows of `policy_decisions`."""

from processors.projections.parents import session_row
from processors.projections.rows import RowChange
from processors.projections.values import as_uuid, clean, cut, int32, json_text, moment, one_of
from schemas.envelope import Envelope
from schemas.events.policies import PolicyDecided

DECISIONS = ("allow", "deny", "throttle", "escalate", "audit")


def of_decided(envelope: Envelope, fact: PolicyDecided) -> tuple[RowChange, ...]:
    """One row a decision."""
    decision_id, session_id = as_uuid(fact.decision_id), as_uuid(envelope.session_id)
    if decision_id is None:
        return ()
    # A decision that the table has no word for is one that somebody should look at.
    decision = one_of(fact.decision, DECISIONS, "audit")
    reason = fact.reason if decision == fact.decision else f"[{fact.decision}] {fact.reason}"
    values = {
        "session_id": session_id,
        "tool_name": cut(fact.tool, 100) if fact.tool else None,
        "agent_name": cut(fact.agent, 50),
        "decision": decision,
        "policy_rule": cut(fact.rule, 100),
        "reason": clean(reason),
        "cost_limit_before": int32(fact.tokens_left_before),
        "cost_limit_after": int32(fact.tokens_left_after),
        "resource_usage_before": json_text(fact.usage_before_json),
        "resource_usage_after": json_text(fact.usage_after_json),
        "created_at": moment(envelope.occurred_at_ms),
        "request_context": json_text(fact.request_json),
        "user_context": json_text(fact.user_json),
    }
    row = RowChange("policy_decisions", decision_id, values)
    return (row,) if session_id is None else (session_row(session_id), row)
