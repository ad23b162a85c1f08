"""/api/v2: what was charged, and for what."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import Query

from processors.amounts import NANODOLLARS
from processors.counterfactual import compare, fixed_model
from schemas.events.access import Scope
from sinks import costs, session_lists, system
from sinks.costs import By
from sinks.routed import routed
from streams.configuration.foresight import in_force
from streams.gateway.bodies import Body, Moment
from streams.gateway.door import require
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, Limit, make_router

DAYS: Final = 30
"""Without `since`, so many days are told."""

router: Final = make_router()
Fixed = Annotated[str | None, Query(max_length=200)]


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


class FixedCost(Body):
    """Answered calls that one agent made to one model for one reason."""

    agent: str
    model: str
    cause: str
    """What named the model, as the call's event says it: tier, difficulty, money and so on; "" if untold."""
    calls: int
    tokens: int
    dollars: float | None
    """At today's prices; null: the model has none any more."""
    fixed_dollars: float
    """The same tokens with the one model."""


class FixedCosts(Body):
    """What planned sessions' answered calls cost as they were routed, and with one model for all."""

    since: datetime
    model: str
    costs: list[FixedCost]
    dollars: float
    """Of all that have a price."""
    fixed_dollars: float
    """Of the same calls."""
    share_saved: float | None
    """Of fixedDollars; null where that is nothing."""


@router.get("/costs/fixed")
async def compare_with_one_model(
    front: Doors,
    bearer: Bearer,
    *,
    model: Fixed = None,
    since: Annotated[Moment | None, Query()] = None,
) -> FixedCosts:
    """Hold what was routed against the same tokens with one model, at today's prices.

    `model` is a name or a tier; without one it is the best that there is.
    """
    require(bearer, Scope.READ)
    begin = since or datetime.now(UTC) - timedelta(days=DAYS)
    async with front.door.database(bearer) as connection:
        configuration = in_force(await system.in_force(connection))
        found = await routed(connection, since=begin, tenant=bearer.tenant, user=bearer.user)
    if configuration is None:
        raise Problem(503, "no worker has published its configuration yet")
    one_model = fixed_model(configuration.models.chat, model)
    if one_model is None:
        raise Problem(404, f"there is no model and no tier {model}")
    compared = compare(found, one_model, configuration.models.chat)
    return FixedCosts(
        since=begin,
        model=compared.model,
        costs=[
            FixedCost(
                agent=line.routed.agent,
                model=line.routed.model,
                cause=line.routed.cause,
                calls=line.routed.calls,
                tokens=line.routed.input_tokens + line.routed.output_tokens,
                dollars=None if line.as_routed is None else line.as_routed / NANODOLLARS,
                fixed_dollars=line.fixed / NANODOLLARS,
            )
            for line in compared.lines
        ],
        dollars=compared.as_routed / NANODOLLARS,
        fixed_dollars=compared.fixed / NANODOLLARS,
        share_saved=compared.share_saved,
    )
