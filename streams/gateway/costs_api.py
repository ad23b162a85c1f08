"""/api/v2: what was charged, and for what."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query

from processors.amounts import NANODOLLARS
from schemas.events.access import Scope
from sinks import costs, session_lists
from sinks.costs import By
from streams.gateway.bodies import Body, Moment
from streams.gateway.door import require
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router

DAYS: Final = 30
"""Without `since`, so many days are told."""

router: Final = make_router()


class Cost(Body):
    """What was charged under one key."""

    key: str
    """A day (of UTC), the id of a session or token, an agent, a model or a tool; "" for what has none."""
    title: str | None
    """Of a session."""
    calls: int
    tokens: int
    dollars: float


class CostList(Body):
    """What was charged, the newest day first, or else the most."""

    since: datetime
    costs: list[Cost]
    truncated: bool
    """true: there are more than were asked for; these are the largest."""


@router.get("/costs")
async def list_costs(
    front: Doors,
    bearer: Bearer,
    *,
    by: Literal["day", "session", "agent", "model", "tool", "token"] = "day",
    since: Annotated[Moment | None, Query()] = None,
    limit: Limit = 100,
) -> CostList:
    """Sum up what the token's sessions and calls were charged, of the last 30 days if no time is given."""
    require(bearer, Scope.READ)
    begin = since or datetime.now(UTC) - timedelta(days=DAYS)
    async with front.door.database(bearer) as connection:
        found = await costs.costs(
            connection, By(by), since=begin, tenant=bearer.tenant, user=bearer.user, limit=limit + 1
        )
        ids = [UUID(one.what) for one in found if by == "session" and one.what is not None]
        titles = await session_lists.titles_of(connection, ids)
    told = [
        Cost(
            key=one.what or "",
            title=titles.get(one.what or ""),
            calls=one.calls,
            tokens=one.tokens,
            dollars=one.nanodollars / NANODOLLARS,
        )
        for one in found[:limit]
    ]
    return CostList(since=begin, costs=told, truncated=len(found) > limit)
