"""/api/v2: what a message would cost before it runs."""

from typing import Annotated, Final

from pydantic import Field

from processors.amounts import NANODOLLARS
from schemas.events.access import Scope
from sinks import system, uses
from sinks.uses import Said
from streams.configuration.foresight import foretold, in_force, learnt
from streams.gateway.bodies import Body
from streams.gateway.door import require
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, make_router

TEXT_CHARACTERS_MAX: Final = 20_000

router: Final = make_router()


class MessageToEstimate(Body):
    """A message as it would be posted."""

    text: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS_MAX)]
    agent: str | None = None
    """The agent that it names, so that nobody plans."""


class EstimateLine(Body):
    """A part of an estimate."""

    what: str
    """planner, critic, synthesizer, an agent, or agent/tool."""
    times: int
    tokens: int
    dollars: float
    samples: int
    """Turns or tasks that it rests on; 0: the configuration alone."""


class MessageEstimate(Body):
    """What a message would cost."""

    lines: list[EstimateLine]
    tokens: int
    dollars: float


@router.post("/estimates")
async def estimate_message(message: MessageToEstimate, front: Doors, bearer: Bearer) -> MessageEstimate:
    """Tell what a message would cost, learnt from what the token's own turns used; no model is asked."""
    require(bearer, Scope.READ)
    async with front.door.database(bearer) as connection:
        configuration = in_force(await system.in_force(connection))
        found = await uses.uses(connection, bearer.tenant, bearer.user)
        turns = await uses.turns(connection, bearer.tenant, bearer.user)
    if configuration is None:
        raise Problem(503, "no worker has published its configuration yet")
    if message.agent is not None and message.agent not in configuration.agents:
        raise Problem(404, f"there is no agent {message.agent}")
    said = Said(text=message.text, agent=message.agent, tokens=front.count_tokens(message.text))
    told = foretold(said, learnt(turns, found, configuration), configuration)
    return MessageEstimate(
        lines=[
            EstimateLine(
                what=line.what,
                times=line.times,
                tokens=line.tokens,
                dollars=line.nanodollars / NANODOLLARS,
                samples=line.samples,
            )
            for line in told.lines
        ],
        tokens=told.tokens,
        dollars=told.nanodollars / NANODOLLARS,
    )
