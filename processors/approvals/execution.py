"""Whether a call that a person approved may run: asked by whoever runs it, of the bytes that are to run."""

from processors.approvals.binding import Bound, binding_digest, place_of, schema_digest
from processors.approvals.statements import expiry_fault, fault_of, statement_given
from processors.objections import EVERY_TENANT
from schemas.canonical import NotCanonical
from schemas.configuration import Policy, ToolSpec
from schemas.envelope import Envelope
from schemas.events.tools import CallApproval, ToolCallRequested


def approval_fault(
    event: Envelope,
    spec: ToolSpec | None,
    policy: Policy,
    policy_version: str,
    *,
    now_ms: int,
    is_repeat: bool,
) -> str | None:
    """Tell why a call may not run although it says that a person approved it; None: it may.

    A call that policy allowed by itself brings no approval, and is no concern here.

    Args:
        event: the call.
        spec: the tool, as whoever runs the call has it; None: it has none.
        policy: in force where the call is run.
        policy_version: its content hash.
        now_ms: the clock.
        is_repeat: whether it has begun to run before; then it was in time.
    """
    body = event.body
    assert isinstance(body, ToolCallRequested)
    approval = body.approval
    if approval is None:
        return None
    if not approval.policy == policy_version == (event.versions.policy or ""):
        return "the policy has changed since it was approved"
    try:
        made_anew = binding_digest(_bound(event, body, approval, spec))
    except NotCanonical as error:
        return f"its arguments cannot have been approved: {error}"
    if made_anew != approval.digest:
        return "it is not the call that was approved"
    statement = statement_given(approval)
    fault = fault_of(policy, statement, approval.key, approval.signature)
    if fault is None and statement.tenant not in (EVERY_TENANT, event.tenant_id):
        fault = f"its approver did not act for the tenant {event.tenant_id}"
    if fault is None and not is_repeat:
        fault = expiry_fault(statement, now_ms)
    return None if fault is None else f"its approval does not count: {fault}"


def _bound(event: Envelope, body: ToolCallRequested, approval: CallApproval, spec: ToolSpec | None) -> Bound:
    return Bound(
        approval_id=approval.approval_id,
        session_id=event.session_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        call_id=body.call_id,
        task_id=body.task_id,
        agent=body.agent,
        tool=body.tool,
        # As whoever runs it has the tool, not as the call says: a tool that changed was not approved.
        tool_version=spec.version if spec is not None else "",
        tool_schema_sha256=schema_digest(spec) if spec is not None else "",
        arguments_json=body.arguments_json,
        message=place_of(body.message),
        policy=approval.policy,
        shown_sha256=approval.shown_sha256,
    )
