"""Asking a person about a tool call, and judging what approvers say to it."""

from dataclasses import dataclass
from typing import Final

from processors.approvals.binding import Bound, binding_digest, place_of, schema_digest, shown_text
from processors.approvals.statements import (
    acts_for,
    approver_of,
    expiry_fault,
    fault_of,
    statement_of,
)
from processors.lifecycles import APPROVAL, BEGINS
from processors.policy.decide import NO_APPROVER_RULE, TOO_MANY_REQUESTS_RULE, Verdict
from processors.state import Asked, Task, ToolCallPending, ToolCallStatus
from processors.transition import Transition
from schemas.canonical import NotCanonical, text_digest
from schemas.configuration import Policy, ToolSpec
from schemas.events.inputs import ApprovalEdited, ApprovalReceived
from schemas.events.outputs import ApprovalClosed, ApprovalEnd, ApprovalRequested
from schemas.events.policies import Decision
from schemas.frozen import replace

_NOBODY_CERTAIN: Final = "token:"
"""How a gateway names an approver whose token is no certain person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """That a call is decided once more, and why."""

    why: str
    replaces: str | None
    """The request before."""


def unaskable(transition: Transition, verdict: Verdict) -> Verdict | None:
    """Tell as a decision why nobody can be asked about one more call; None: somebody can."""
    tenant = transition.state.tenant_id
    if not _eligible(transition.configuration.policy, verdict, tenant):
        reason = f"{verdict.reason}, and there is no approver who may: docs/approvals.md"
        return Verdict(decision=Decision.DENY, rule=NO_APPROVER_RULE, reason=reason)
    asked = sum(
        call.status is ToolCallStatus.ESCALATED
        for task in transition.turn.tasks.values()
        for call in task.tool_calls
    )
    if asked >= transition.configuration.limits.approvals_open_max:
        reason = f"{asked} requests of the session wait for a person already"
        return Verdict(decision=Decision.DENY, rule=TOO_MANY_REQUESTS_RULE, reason=reason)
    return None


def ask(
    transition: Transition, task: Task, call: ToolCallPending, verdict: Verdict, again: Again | None
) -> ToolCallPending:
    """Ask a person about a call; returns it with the request.

    Raises:
        NotCanonical: its arguments mean nothing, or more than one thing, or are too large to be shown.
    """
    spec = transition.configuration.tools[call.proposed.name]
    approval_id = transition.new_id("approval")
    shown = _shown(transition, task, call, spec, verdict, again)
    bound = _bound(transition, task, call, spec, approval_id, shown)
    digest = binding_digest(bound)
    expires_at_ms = transition.now_ms + transition.configuration.limits.approval_ms
    APPROVAL.move(BEGINS, "asked")
    transition.emit(
        ApprovalRequested(
            approval_id=approval_id,
            call_id=call.call_id,
            task_id=task.task_id,
            agent=task.agent,
            tool=spec.name,
            arguments_json=call.proposed.arguments_json,
            arguments_sha256=text_digest(call.proposed.arguments_json),
            reason=verdict.reason,
            expires_at_ms=expires_at_ms,
            tool_version=spec.version,
            tool_schema_sha256=bound.tool_schema_sha256,
            message=bound.message,
            policy=bound.policy,
            rule=verdict.rule,
            shown=shown,
            digest=digest,
            approvers=verdict.approvers,
            scope=verdict.scope,
            four_eyes=verdict.four_eyes,
            replaces=again.replaces if again else None,
            asked_again=again.why if again else "",
        ),
        (call.decided_event_id,) if call.decided_event_id else (),
    )
    asked = Asked(
        approval_id=approval_id,
        digest=digest,
        shown_sha256=bound.shown_sha256,
        policy=bound.policy,
        tool=tool_stamp(spec),
        approvers=verdict.approvers,
        scope=verdict.scope,
        four_eyes=verdict.four_eyes,
    )
    return replace(call, status=ToolCallStatus.ESCALATED, due_at_ms=expires_at_ms, asked=asked)


def close(
    transition: Transition,
    call: ToolCallPending,
    end: ApprovalEnd,
    *,
    approver: str = "",
    reason: str = "",
) -> None:
    """Tell that a request waits for nobody any more."""
    assert call.asked is not None
    APPROVAL.move("asked", end.value)
    transition.emit(
        ApprovalClosed(
            approval_id=call.asked.approval_id,
            call_id=call.call_id,
            end=end,
            approver=approver,
            reason=reason,
        )
    )


def objection_to(transition: Transition, call: ToolCallPending) -> str | None:
    """Tell why what an approver says of a call does not count; None: it does."""
    body, asked = transition.event.body, call.asked
    assert isinstance(body, ApprovalReceived | ApprovalEdited)
    assert asked is not None
    policy = transition.configuration.policy
    try:
        statement = statement_of(transition.event)
    except NotCanonical as error:
        return str(error)
    fault = fault_of(policy, statement, body.key, body.signature) or expiry_fault(
        statement, transition.now_ms
    )
    if fault is not None:
        return fault
    if body.digest != asked.digest:
        return "its digest is not that of the request: what is asked is not what was decided"
    if call.due_at_ms <= transition.now_ms:
        return "the request has expired"
    if isinstance(body, ApprovalReceived) and not body.approved:
        # Whoever may decide at all may refuse.
        return None
    return _who_objection(transition, call, asked)


def _who_objection(transition: Transition, call: ToolCallPending, asked: Asked) -> str | None:
    event = transition.event
    body = event.body
    assert isinstance(body, ApprovalReceived | ApprovalEdited)
    approver = approver_of(transition.configuration.policy, body.key)
    assert approver is not None, "whose signature it is was checked"
    if asked.approvers and event.user_id not in asked.approvers:
        return f"{event.user_id} is not one of those who may decide: {', '.join(asked.approvers)}"
    if asked.scope and asked.scope not in approver.scopes:
        return f"its approver is not good for {asked.scope}"
    if asked.four_eyes and event.user_id in (transition.state.user_id, call.edited_by):
        return "four eyes are wanted: whoever asked for the call, or wrote its arguments, may not approve it"
    if asked.four_eyes and event.user_id.startswith(_NOBODY_CERTAIN):
        return "four eyes are wanted: a token that is no certain user's may not approve it"
    return None


def tool_stamp(spec: ToolSpec | None) -> str:
    """Return what tells one version of a tool from another; empty for no tool."""
    return "" if spec is None else f"{spec.version} {schema_digest(spec)}"


def policy_version(transition: Transition) -> str:
    """Return the content hash of the policy that decides."""
    return transition.configuration.versions.policy or ""


def _eligible(policy: Policy, verdict: Verdict, tenant: str) -> bool:
    return any(
        acts_for(one, tenant)
        and (not verdict.approvers or one.speaks_for_tokens or one.name in verdict.approvers)
        and (not verdict.scope or verdict.scope in one.scopes)
        for one in policy.approvers
    )


def _shown(
    transition: Transition,
    task: Task,
    call: ToolCallPending,
    spec: ToolSpec,
    verdict: Verdict,
    again: Again | None,
) -> str:
    state = transition.state
    facts = {
        "tool": f"{spec.name} {spec.version} ({spec.safety_level})",
        "for": f"user {state.user_id} of tenant {state.tenant_id}, session {state.session_id}",
        "agent": task.agent,
        "task": task.intent,
        "asked because": verdict.reason,
        "asked again because": again.why if again else "",
        "rests on": f"{task.made_from.why} ({task.made_from.trust})" if task.made_from.is_untrusted else "",
        "arguments written by": call.edited_by,
    }
    return shown_text(call.proposed.arguments_json, facts)


def _bound(
    transition: Transition,
    task: Task,
    call: ToolCallPending,
    spec: ToolSpec,
    approval_id: str,
    shown: str,
) -> Bound:
    state = transition.state
    return Bound(
        approval_id=approval_id,
        session_id=state.session_id,
        tenant_id=state.tenant_id,
        user_id=state.user_id,
        call_id=call.call_id,
        task_id=task.task_id,
        agent=task.agent,
        tool=spec.name,
        tool_version=spec.version,
        tool_schema_sha256=schema_digest(spec),
        arguments_json=call.proposed.arguments_json,
        message=place_of(transition.turn.message.reference),
        policy=policy_version(transition),
        shown_sha256=text_digest(shown),
    )
