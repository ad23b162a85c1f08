"""Tool calls that wait for a person: what approvers say, what time does, and what changes beneath them."""

from typing import Final

from processors import tool_calls
from processors.approvals.asking import Again, close, objection_to, policy_version, tool_stamp
from processors.approvals.binding import arguments_of
from processors.decisions import tell_decision
from processors.lifecycles import APPROVAL
from processors.policy.decide import Verdict
from processors.state import Asked, SessionState, Task, ToolCallPending, ToolCallStatus
from processors.transition import Transition
from schemas.canonical import NotCanonical
from schemas.events.inputs import ApprovalEdited, ApprovalReceived
from schemas.events.outputs import ApprovalClosed, ApprovalEnd, ApprovalRequested, ErrorCode
from schemas.events.policies import Decision
from schemas.events.tools import CallApproval
from schemas.frozen import replace

APPROVED_RULE: Final = "approved_by_person"
REFUSED_RULE: Final = "refused_by_person"
EXPIRED_RULE: Final = "approval_expired"


def find(transition: Transition, approval_id: str) -> tuple[Task, ToolCallPending] | None:
    """Return the call that an open request is about, and its task; None: nothing waits for it."""
    turn = transition.state.turn
    for task in turn.tasks.values() if turn is not None else ():
        for call in task.tool_calls:
            if _waits(call) and call.asked is not None and call.asked.approval_id == approval_id:
                return task, call
    return None


def received(transition: Transition, task: Task, call: ToolCallPending, body: ApprovalReceived) -> bool:
    """Make or refuse a call, as an approver has decided; tells whether the decision counts."""
    fault = objection_to(transition, call)
    if fault is not None:
        transition.refuse(ErrorCode.APPROVAL_REFUSED, f"the decision does not count: {fault}")
        return False
    approver = transition.event.user_id
    end = ApprovalEnd.APPROVED if body.approved else ApprovalEnd.REFUSED
    close(transition, call, end, approver=approver, reason=body.reason or "")
    if body.approved:
        verdict = Verdict(
            decision=Decision.ALLOW, rule=APPROVED_RULE, reason="a person approved this call, once"
        )
        call = replace(call, asked=_granted(transition, call, body))
        call = replace(call, decided_event_id=_tell(transition, task, call, verdict, approver))
        tool_calls.make(transition, task, call)
    else:
        verdict = Verdict(decision=Decision.DENY, rule=REFUSED_RULE, reason="a person refused this call")
        _tell(transition, task, call, verdict, approver)
        reason = body.reason or "no reason given"
        tool_calls.decline(transition, task, call, f"not made: a person refused it: {reason}")
    return True


def edited(transition: Transition, task: Task, call: ToolCallPending, body: ApprovalEdited) -> bool:
    """Decide a call anew with the arguments that an approver wrote; tells whether the edit counts."""
    fault = objection_to(transition, call)
    if fault is None:
        try:
            arguments_of(body.arguments_json)
        except NotCanonical as error:
            fault = f"the arguments cannot be asked for: {error}"
    if fault is not None:
        transition.refuse(ErrorCode.APPROVAL_REFUSED, f"the edit does not count: {fault}")
        return False
    approver = transition.event.user_id
    close(transition, call, ApprovalEnd.EDITED, approver=approver, reason=body.reason or "")
    proposed = replace(call.proposed, arguments_json=body.arguments_json)
    why = f"{approver} changed the arguments"
    _decide_again(transition, task, replace(call, proposed=proposed, edited_by=approver), why)
    return True


def due(transition: Transition, task: Task) -> None:
    """Refuse calls about which nobody has decided in time."""
    for call in task.tool_calls:
        if _waits(call) and call.due_at_ms <= transition.now_ms:
            current = transition.turn.tasks[task.task_id]
            _expire(transition, current, call)


def renew(transition: Transition) -> tuple[str, ...]:
    """Decide anew the calls that a person was asked about under another policy, or of a tool as it was.

    Returns the tasks whose calls they are.
    """
    turn = transition.state.turn
    if turn is None:
        return ()
    renewed = []
    for task_id, task in turn.tasks.items():
        for call in task.tool_calls:
            why = _what_changed(transition, call)
            if why is None:
                continue
            current = transition.turn.tasks[task_id]
            if _waits(call) and call.asked is not None:
                close(transition, call, ApprovalEnd.RENEWED, reason=why)
            _decide_again(transition, current, call, why)
            renewed.append(task_id)
    return tuple(dict.fromkeys(renewed))


def withdraw(transition: Transition, before: SessionState) -> None:
    """Tell of each request whose call is gone that nobody waits for it any more.

    Args:
        transition: once the input is applied.
        before: the state before it.
    """
    asked_now = {one.approval_id: one.call_id for one in transition.caused(ApprovalRequested)}
    if not asked_now and (before.turn is None or before.turn.asking_since_ms is None):
        return
    asked = {**_open(before), **asked_now}
    gone = asked.keys() - _open(transition.state).keys()
    for approval_id in sorted(gone - {one.approval_id for one in transition.caused(ApprovalClosed)}):
        APPROVAL.move("asked", ApprovalEnd.WITHDRAWN.value)
        transition.emit(
            ApprovalClosed(
                approval_id=approval_id,
                call_id=asked[approval_id],
                end=ApprovalEnd.WITHDRAWN,
                reason="its task has ended",
            )
        )


def _open(state: SessionState) -> dict[str, str]:
    """Return the requests that wait for a person, each with its call."""
    return {
        call.asked.approval_id: call.call_id
        for task in (state.turn.tasks.values() if state.turn is not None else ())
        for call in task.tool_calls
        if _waits(call) and call.asked is not None
    }


def _waits(call: ToolCallPending) -> bool:
    return call.status is ToolCallStatus.ESCALATED


def _what_changed(transition: Transition, call: ToolCallPending) -> str | None:
    """Tell what was asked for under other conditions than those that hold now; None: all is as it was."""
    if call.status not in (ToolCallStatus.ESCALATED, ToolCallStatus.WAITING):
        return None
    asked = call.asked
    if asked is None:
        # A behaviour before this one asked for it, and bound nothing.
        return "it was asked for by an earlier version" if _waits(call) else None
    if asked.policy != policy_version(transition):
        return "the policy has changed since it was asked for"
    if asked.tool != tool_stamp(transition.configuration.tools.get(call.proposed.name)):
        return "the tool has changed since it was asked for"
    return None


def _decide_again(transition: Transition, task: Task, call: ToolCallPending, why: str) -> None:
    replaces = call.asked.approval_id if call.asked is not None else None
    tool_calls.decide(transition, task, replace(call, asked=None), Again(why=why, replaces=replaces))


def _granted(transition: Transition, call: ToolCallPending, body: ApprovalReceived) -> Asked:
    assert call.asked is not None
    given = CallApproval(
        approval_id=call.asked.approval_id,
        digest=call.asked.digest,
        shown_sha256=call.asked.shown_sha256,
        policy=call.asked.policy,
        approver=transition.event.user_id,
        tenant=transition.event.tenant_id,
        expires_at_ms=body.expires_at_ms,
        nonce=body.nonce,
        key=body.key,
        signature=body.signature,
    )
    return replace(call.asked, given=given)


def _expire(transition: Transition, task: Task, call: ToolCallPending) -> None:
    if call.asked is not None:
        close(transition, call, ApprovalEnd.EXPIRED, reason="nobody decided in time")
    verdict = Verdict(decision=Decision.DENY, rule=EXPIRED_RULE, reason="nobody approved it in time")
    tool_calls.tell_denied(transition, task, call, verdict)
    tool_calls.decline(transition, task, call, "not made: nobody approved it in time")


def _tell(transition: Transition, task: Task, call: ToolCallPending, verdict: Verdict, approver: str) -> str:
    """Tell what a person decided, as every decision is told."""
    request = {
        "tool": call.proposed.name,
        "arguments": call.proposed.arguments_json,
        "task": task.intent,
        "approver": approver,
    }
    return tell_decision(
        transition,
        verdict,
        call_id=call.call_id,
        task_id=task.task_id,
        agent=task.agent,
        tool=call.proposed.name,
        trust=call.trust,
        request=request,
    )
