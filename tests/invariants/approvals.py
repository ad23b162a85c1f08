"""Approvals: what a person was asked about runs only as a person approved it, and once."""

import json
from collections import Counter
from collections.abc import Iterator

from processors.approvals.execution import approval_fault
from processors.provenance import is_untrusted
from schemas.configuration import Configuration
from schemas.events.outputs import ApprovalClosed, ApprovalEnd, ApprovalRequested
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.tools import ToolCallRequested
from tests.invariants.stories import Story
from tests.invariants.violation import Violation


def approvals(story: Story, configuration: Configuration) -> Iterator[Violation]:
    """Hold every gated call of a session, at rest, against what a person signed.

    Args:
        story: of the session.
        configuration: that decided, the same from its first event to its last.
    """
    decided: dict[str, PolicyDecided] = {}
    used: Counter[str] = Counter()
    for event in sorted(story.events, key=lambda one: one.sequence):
        body = event.body
        if isinstance(body, PolicyDecided):
            decided[body.call_id] = body
        if not isinstance(body, ToolCallRequested):
            continue
        last = decided.get(body.call_id)
        gated = last is not None and (last.decision is Decision.ESCALATE or last.rule == "approved_by_person")
        if gated and body.approval is None:
            yield _broken(story, f"the call {body.call_id} was made and nobody approved it")
        if last is not None and body.approval is None and _needs_a_person(last, configuration):
            yield _broken(story, f"the call {body.call_id} took data outside for untrusted text, unasked")
        if body.approval is not None:
            used[body.approval.approval_id] += 1
            fault = approval_fault(
                event,
                configuration.tools.get(body.tool),
                configuration.policy,
                configuration.versions.policy or "",
                now_ms=event.occurred_at_ms,
                is_repeat=False,
            )
            if fault is not None:
                yield _broken(story, f"the call {body.call_id} was made, and {fault}")
    closed = story.facts(ApprovalClosed)
    approved = {one.approval_id for one in closed if one.end is ApprovalEnd.APPROVED}
    for approval_id, times in used.items():
        if times > 1 or approval_id not in approved:
            yield _broken(story, f"the approval {approval_id} was used {times} times")
    asked = Counter(one.approval_id for one in story.facts(ApprovalRequested))
    ended = Counter(one.approval_id for one in closed)
    if asked != ended:
        yield _broken(
            story, f"asked {dict(asked - ended)} and never closed, or closed twice {dict(ended - asked)}"
        )


def _needs_a_person(decided: PolicyDecided, configuration: Configuration) -> bool:
    """Tell whether untrusted input, data and an effect outside met, and no rule lets that pass."""
    facts = json.loads(decided.request_json)
    despite = {rule.name for rule in configuration.policy.rules if rule.despite_untrusted}
    return (
        is_untrusted(decided.trust)
        and decided.rule not in despite
        and bool(facts.get("acts_outside"))
        and bool(facts.get("data") or facts.get("reaches_data"))
    )


def _broken(story: Story, told: str) -> Violation:
    return Violation(invariant="I8", subject=story.session_id, message=told)
