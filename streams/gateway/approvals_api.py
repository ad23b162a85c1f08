"""/api/v2: tool calls that wait for a person, and what the bearers of tokens decide about them.

The gateway signs what a token with the scope approve decides, in the name of the token's user. What it signs
names the digest that the bearer gave, and that digest is made anew from the request that stands on the log:
who was shown something else approves nothing.
"""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Query

from processors.approvals.binding import asked_bound, binding_digest
from schemas.canonical import NotCanonical
from schemas.events.access import Scope
from sinks import approvals
from sinks.approvals import Request
from sinks.connection import Connection
from streams.configuration.approvers import ApproverKey, signed_decision, signed_edit
from streams.gateway.access import Principal
from streams.gateway.bodies import (
    Approval,
    Approvals,
    Decision,
    Edit,
    PastDecision,
    PastDecisions,
    QueuedMessage,
)
from streams.gateway.door import require
from streams.gateway.front import Front
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, Limit, act, make_router

router: Final = make_router()


@router.get("/approvals")
async def list_approvals(front: Doors, bearer: Bearer, limit: Limit = 50) -> Approvals:
    """List what waits for a person in the sessions that the token may see, the oldest first."""
    require(bearer, Scope.APPROVE)
    async with front.door.database(bearer) as connection:
        found = await approvals.open_requests(connection, tenant=bearer.tenant, user=bearer.user, limit=limit)
    return Approvals(approvals=[_approval(one) for one in found])


@router.get("/approvals/past")
async def list_past(
    front: Doors, bearer: Bearer, tool: Annotated[str, Query(max_length=200)], limit: Limit = 10
) -> PastDecisions:
    """List what became of earlier requests about calls of a tool, in the sessions that the token may see."""
    require(bearer, Scope.APPROVE)
    async with front.door.database(bearer) as connection:
        found = await approvals.past_decisions(
            connection, tool=tool.replace("\0", ""), tenant=bearer.tenant, user=bearer.user, limit=limit
        )
    return PastDecisions(
        past=[
            PastDecision(
                approval_id=one.approval_id,
                end=one.end,
                approver=one.approver,
                reason=one.reason,
                at=one.at,
                agent=one.agent,
                arguments=one.arguments,
            )
            for one in found
        ]
    )


@router.get("/sessions/{session_id}/approvals/{approval_id}")
async def show_approval(session_id: str, approval_id: UUID, front: Doors, bearer: Bearer) -> Approval:
    """Show one request, with exactly what would run."""
    require(bearer, Scope.APPROVE)
    return _approval(await _found(front, bearer, session_id, approval_id))


@router.post("/sessions/{session_id}/approvals/{approval_id}", status_code=202)
async def decide_approval(
    session_id: str, approval_id: UUID, decision: Decision, front: Doors, bearer: Bearer
) -> QueuedMessage:
    """Approve or refuse a tool call, this one and once; an operator's act."""
    request, key = await _asked(front, bearer, session_id, approval_id, decision.digest)
    fact = signed_decision(
        key,
        request.asked,
        approved=decision.approved,
        approver=bearer.operator,
        tenant=request.tenant_id,
        reason=decision.reason,
    )
    return await act(front, bearer, session_id, fact)


@router.post("/sessions/{session_id}/approvals/{approval_id}/edit", status_code=202)
async def edit_approval(
    session_id: str, approval_id: UUID, edit: Edit, front: Doors, bearer: Bearer
) -> QueuedMessage:
    """Write other arguments for a tool call, which is then asked about anew; an operator's act."""
    request, key = await _asked(front, bearer, session_id, approval_id, edit.digest)
    fact = signed_edit(
        key,
        request.asked,
        arguments_json=edit.arguments,
        approver=bearer.operator,
        tenant=request.tenant_id,
        reason=edit.reason,
    )
    return await act(front, bearer, session_id, fact)


async def _asked(
    front: Front, bearer: Principal, session_id: str, approval_id: UUID, digest: str
) -> tuple[Request, ApproverKey]:
    require(bearer, Scope.APPROVE)
    request = await _found(front, bearer, session_id, approval_id)
    if request.ended is not None:
        raise Problem(409, f"the request was {request.ended} before", code="approval_closed")
    asked = request.asked
    try:
        bound = asked_bound(request.session_id, request.tenant_id, request.user_id, asked)
        made_anew = binding_digest(bound)
    except NotCanonical:
        made_anew = ""
    if not digest == asked.digest == made_anew:
        raise Problem(409, "the digest is not that of the request: look at it anew", code="approval_changed")
    if front.approver_key is None:
        raise Problem(
            403,
            "this gateway takes no decisions: it has no key to sign them with",
            code="approvals_not_taken",
        )
    return request, front.approver_key


async def _found(front: Front, bearer: Principal, session_id: str, approval_id: UUID) -> Request:
    await front.door.owner(bearer, session_id, wait=True)

    async def request(connection: Connection) -> Request | None:
        found = await approvals.request_of(connection, str(approval_id), UUID(session_id))
        return found if found is not None and bearer.may_see(found.tenant_id, found.user_id) else None

    # What was just told by a WebSocket may not be in Postgres yet.
    found = await front.door.lately(bearer, request)
    if found is None:
        raise Problem(404, "the session has no such request", code="approval_not_found")
    return found


def _approval(request: Request) -> Approval:
    asked = request.asked
    expires_at = datetime.fromtimestamp(asked.expires_at_ms / 1_000, UTC)
    waiting = "waiting" if expires_at > datetime.now(UTC) else "expired"
    return Approval(
        approval_id=UUID(asked.approval_id),
        session_id=UUID(request.session_id),
        user_id=request.user_id,
        asked_at=request.asked_at,
        expires_at=expires_at,
        status=request.ended or waiting,
        approver=request.approver,
        agent=asked.agent,
        tool=asked.tool,
        arguments=asked.arguments_json,
        shown=asked.shown,
        digest=asked.digest,
        reason=asked.reason,
        asked_again=asked.asked_again,
        approvers=list(asked.approvers),
        scope=asked.scope,
        four_eyes=asked.four_eyes,
    )
