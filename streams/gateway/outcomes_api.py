"""/api/v2: tool calls of which nobody knows whether they were carried out, and what operators tell."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from schemas.events.access import Scope
from schemas.events.inputs import OutcomeTold
from sinks import open_outcomes
from sinks.connection import Connection
from sinks.open_outcomes import Question
from streams.gateway.access import Principal
from streams.gateway.bodies import Finding, Outcome, Outcomes, QueuedMessage
from streams.gateway.door import id_of, require
from streams.gateway.front import Front
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, IdempotencyKey, Limit, make_router, queued

router: Final = make_router()


@router.get("/outcomes")
async def list_outcomes(front: Doors, bearer: Bearer, limit: Limit = 50) -> Outcomes:
    """List the calls that somebody has to find out about, of the sessions that the token may see."""
    require(bearer, Scope.APPROVE)
    async with front.door.database(bearer) as connection:
        found = await open_outcomes.open_questions(
            connection, tenant=bearer.tenant, user=bearer.user, limit=limit, now=datetime.now(UTC)
        )
    return Outcomes(outcomes=[_outcome(one) for one in found])


@router.get("/sessions/{session_id}/outcomes/{call_id}")
async def show_outcome(session_id: str, call_id: UUID, front: Doors, bearer: Bearer) -> Outcome:
    """Show one such call, and what was told of it."""
    return _outcome(await _found(front, bearer, session_id, call_id))


@router.post("/sessions/{session_id}/outcomes/{call_id}", status_code=202)
async def tell_outcome(
    session_id: str,
    call_id: UUID,
    finding: Finding,
    front: Doors,
    bearer: Bearer,
    idempotency_key: IdempotencyKey = None,
) -> QueuedMessage:
    """Tell whether a call was carried out; an operator's act."""
    question = await _found(front, bearer, session_id, call_id)
    is_repeat = idempotency_key is not None and question.told_event_id == id_of(
        bearer, session_id, idempotency_key
    )
    if question.status != "waiting" and not is_repeat:
        raise Problem(409, f"nobody is asked any more: {question.status}", code="outcome_closed")
    told = OutcomeTold(
        call_id=str(call_id),
        carried_out=finding.carried_out,
        result=finding.result,
        reason=finding.reason,
    )
    return queued(await front.door.say(bearer, session_id, told, idempotency_key))


async def _found(front: Front, bearer: Principal, session_id: str, call_id: UUID) -> Question:
    require(bearer, Scope.APPROVE)
    await front.door.owner(bearer, session_id, wait=True)

    async def question(connection: Connection) -> Question | None:
        return await open_outcomes.question_of(connection, UUID(session_id), str(call_id), datetime.now(UTC))

    # What was just told by a WebSocket may not be in Postgres yet.
    found = await front.door.lately(bearer, question)
    if found is None:
        raise Problem(404, "nobody is asked about such a call", code="outcome_not_found")
    return found


def _outcome(question: Question) -> Outcome:
    asked = question.asked
    return Outcome(
        call_id=UUID(asked.call_id),
        session_id=UUID(question.session_id),
        user_id=question.user_id,
        asked_at=question.asked_at,
        expires_at=datetime.fromtimestamp(asked.expires_at_ms / 1_000, UTC),
        status=question.status,
        carried_out=question.carried_out,
        told_by=question.told_by,
        agent=asked.agent,
        tool=asked.tool,
        arguments=asked.arguments_json,
        idempotency_key=asked.idempotency_key,
        kind=asked.kind,
        message=asked.message,
    )
