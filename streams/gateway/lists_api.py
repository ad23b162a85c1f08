"""/api/v2: who asks, the list of sessions, and a stream that tells which of them change."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from schemas.events.access import Scope
from sinks import session_lists
from sinks.session_lists import LOOK_BACK, Order, Wanted
from streams.gateway.access import Principal
from streams.gateway.bodies import Me, SessionPage
from streams.gateway.door import require
from streams.gateway.front import Front
from streams.gateway.pages import mark_of, moment_in, number_in, parts_of, uuid_in
from streams.gateway.problems import Problem, response_of
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router, status_of

LOOK_EVERY_S: Final = 1.0
BEAT_EVERY: Final = 5
"""After so many looks at which nothing has changed, that is told, so that a dead connection is noticed."""
CHANGES_MAX: Final = 500
SEARCH_CHARACTERS_MAX: Final = 200

router: Final = make_router()


@router.get("/me")
async def me(bearer: Bearer) -> Me:
    """Tell for whom the request's token is good, and for what."""
    return Me(tenant=bearer.tenant, user=bearer.user, scopes=sorted(bearer.scopes))


@router.get("/sessions")
async def list_sessions(
    front: Doors,
    bearer: Bearer,
    *,
    before: str | None = None,
    limit: Limit = 50,
    search: Annotated[str, Query(max_length=SEARCH_CHARACTERS_MAX)] = "",
    status: Annotated[list[str], Query(max_length=16)] = [],  # noqa: B006  # FastAPI copies it
    sort: Order = Order.OPENED,
    direction: Literal["descending", "ascending"] = "descending",
    count: bool = False,
) -> SessionPage:
    """List the sessions that the token may see, the newest first if nothing else is asked for.

    `search` is a part of the title, of the newest answer or of the user's name, or the beginning of the id.
    """
    require(bearer, Scope.READ)
    wanted = Wanted(
        tenant=bearer.tenant,
        user=bearer.user,
        statuses=tuple(one.replace("\0", "") for one in status),
        search=search.replace("\0", "").strip(),
    )
    async with front.door.database(bearer) as connection:
        page = await session_lists.sessions_of(
            connection,
            wanted,
            order=sort,
            ascending=direction == "ascending",
            before=None if before is None else _mark(before, sort),
            limit=limit,
        )
        total = await session_lists.count_of(connection, wanted) if count else None
    key = session_lists.key_of(sort, page[-1]) if len(page) == limit else None
    return SessionPage(
        sessions=[status_of(front, str(one.id), one) for one in page],
        next=None if key is None else mark_of(sort, key, str(page[-1].id)),
        total=total,
    )


def _mark(text: str, sort: Order) -> tuple[str, UUID]:
    """Read the mark of a page.

    Raises:
        Problem: it is none, or one of another order.
    """
    order, key, session_id = parts_of(text, 3)
    if order != sort:
        raise Problem(400, "this mark is of a list in another order", code="invalid_mark")
    if sort in (Order.OPENED, Order.ACTIVITY):
        moment_in(key)
    else:
        number_in(key)
    return key, uuid_in(session_id)


async def changes(request: Request) -> Response:
    """Tell as server-sent events which sessions change, for whoever shows a list of them."""
    front: Front = request.app.state.front
    bearer: Principal = request.state.principal
    try:
        require(bearer, Scope.READ)
    except Problem as problem:
        return response_of(problem, request)
    return EventSourceResponse(_changes(front, bearer))


async def _changes(front: Front, bearer: Principal) -> AsyncGenerator[ServerSentEvent, None]:
    wanted = Wanted(tenant=bearer.tenant, user=bearer.user)
    known: dict[UUID, str] | None = None
    moved_before = -1
    still = 0
    while front.book.holder(bearer.token_id) is not None:
        told: list[str] = []
        try:
            async with front.door.database(bearer) as connection:
                moved, now = await session_lists.moved(connection)
                if moved != moved_before:
                    found = await session_lists.changed(connection, wanted, now - LOOK_BACK, CHANGES_MAX)
                    told = (
                        [] if known is None else [str(one) for one in found if known.get(one) != found[one]]
                    )
                    known, moved_before = found, moved
        except Problem as problem:
            yield ServerSentEvent(data=json.dumps({"type": "closed", "reason": problem.detail}))
            return
        still = 0 if told else still + 1
        if told or still % BEAT_EVERY == 1:
            yield ServerSentEvent(data=json.dumps({"type": "changed" if told else "beat", "sessions": told}))
        await asyncio.sleep(LOOK_EVERY_S)
    yield ServerSentEvent(data=json.dumps({"type": "closed", "reason": "the token is not good any more"}))
