"""/api/v2: what was charged, and for what."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import AwareDatetime

from processors.amounts import NANODOLLARS
from schemas.events.access import Scope
from sinks import costs as charged
from sinks.costs import By
from streams.gateway.bodies import Body
from streams.gateway.door import require
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router

DAYS: Final = 30
"""Without `since`, so many days are told."""

router: Final = make_router()


class Cost(Body):
    """What was charged under one key."""

    key: str
    """A day (of UTC), a session's id, an agent, a model, a tool, a token's id or a tenant."""
    title: str | None
    """Of a session."""
    charges: int
    tokens: int
    dollars: float


class CostList(Body):
    """What was charged, the newest day first, or else the most."""

    since: datetime
    until: datetime
    costs: list[Cost]
    truncated: bool
    """true: there are more than were asked for; these are the largest."""


@router.get("/costs")
async def costs(
    front: Doors,
    bearer: Bearer,
    *,
    by: By = By.DAY,
    since: Annotated[AwareDatetime | None, Query()] = None,
    until: Annotated[AwareDatetime | None, Query()] = None,
    limit: Limit = 100,
) -> CostList:
    """Sum up what the token's sessions and calls were charged, of the last 30 days if no time is given."""
    require(bearer, Scope.READ)
    end = until or datetime.now(UTC)
    begin = since or end - timedelta(days=DAYS)
    async with front.door.database() as connection:
        found = await charged.costs(
            connection,
            by,
            tenant=bearer.tenant,
            user=bearer.user,
            since=begin,
            until=end,
            limit=limit + 1,
        )
    listed = [
        Cost(
            key=one.what,
            title=one.title,
            charges=one.calls,
            tokens=one.tokens,
            dollars=one.nanodollars / NANODOLLARS,
        )
        for one in found[:limit]
    ]
    return CostList(since=begin, until=end, costs=listed, truncated=len(found) > limit)
