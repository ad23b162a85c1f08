"""/api/v2: the agents and tools that workers have, how they did, and what of them must not be called now.

What there is stands on the log, as workers published it; how it did is told of the bearer's tenant alone.
"""

import json
from datetime import datetime
from hashlib import sha256
from typing import Final, Literal

from pydantic import JsonValue

from processors.provenance import acts_outside, gives_data
from processors.restraints import SERVER_SEPARATOR, Restraints
from schemas.configuration import ToolSpec
from schemas.plain import from_plain
from sinks import system
from sinks.system import PartInForce, Used
from streams.gateway.bodies import Body
from streams.gateway.sessions_api import Bearer, Doors, make_router
from streams.gateway.system_api import Stop, Withheld, demand_operator, restraints_of, stops_of, withheld_of

PROMPT_DIGEST_CHARACTERS: Final = 16

router: Final = make_router()


class Statistics(Body):
    """How something did in the tenant's last 30 days."""

    calls: int
    failed: int
    latency_ms: float | None
    """On average."""
    last_at: datetime | None


class AgentToCall(Body):
    """Who tasks are given to."""

    name: str
    purpose: str
    tier: str
    tools: list[str]
    prompt: str
    prompt_version: str
    """The first 16 hexadecimal digits of the prompt's SHA-256."""
    answerable: bool
    """Whether it can be asked by itself at this gateway."""
    used: Statistics | None


class ToolToCall(Body):
    """What agents may be given."""

    name: str
    version: str
    description: str
    safety_level: str
    trust: str
    """Whose word its results are: tool (this deployment vouches for it) or document."""
    acts_outside: bool | None
    """Whether a call can change or tell something outside; null: it is not known."""
    gives_data: bool | None
    """Whether its results can hold data that is not for everybody."""
    server: str | None
    """null: it is ours, or one's own."""
    parameters: JsonValue
    health: Literal["ready", "stopped", "withheld"]
    used: Statistics | None


class Roster(Body):
    """All agents and tools."""

    agents: list[AgentToCall]
    tools: list[ToolToCall]
    stops: list[Stop]
    withheld: list[Withheld]


@router.get("/agents")
async def list_agents(front: Doors, bearer: Bearer) -> Roster:
    """List the agents and tools that workers published last, how they did, and what is held back."""
    demand_operator(bearer)
    async with front.door.database(bearer) as connection:
        parts = await system.in_force(connection)
        agents = await system.agents_used(connection, bearer.tenant)
        tools = await system.tools_used(connection, bearer.tenant)
    restraints = await restraints_of(front)
    return Roster(
        agents=[
            _agent(name, told, agents.get(name), answerable=name in front.agents)
            for name, told in _entries(parts, "agents")
        ],
        tools=[_tool(name, told, tools.get(name), restraints) for name, told in _entries(parts, "tools")],
        stops=stops_of(restraints),
        withheld=withheld_of(restraints),
    )


def _entries(parts: list[PartInForce], kind: str) -> list[tuple[str, dict[str, JsonValue]]]:
    content = next((one.read() for one in parts if one.kind == kind), {})
    return [(name, told) for name, told in sorted(content.items()) if isinstance(told, dict)]


def _agent(name: str, told: dict[str, JsonValue], used: Used | None, *, answerable: bool) -> AgentToCall:
    tools, prompt = told.get("tools"), str(told.get("prompt", ""))
    return AgentToCall(
        name=name,
        purpose=str(told.get("purpose", "")),
        tier=str(told.get("tier", "")),
        tools=[str(tool) for tool in tools] if isinstance(tools, list) else [],
        prompt=prompt,
        prompt_version=sha256(prompt.encode()).hexdigest()[:PROMPT_DIGEST_CHARACTERS],
        answerable=answerable,
        used=_statistics(used),
    )


def _tool(name: str, told: dict[str, JsonValue], used: Used | None, restraints: Restraints) -> ToolToCall:
    server = name.partition(SERVER_SEPARATOR)[0] if SERVER_SEPARATOR in name else None
    spec = _spec(told)
    return ToolToCall(
        name=name,
        version=str(told.get("version", "")),
        description=str(told.get("description", "")),
        safety_level=str(told.get("safety_level", "")),
        trust="" if spec is None else spec.trust,
        acts_outside=None if spec is None else acts_outside(spec),
        gives_data=None if spec is None else gives_data(spec),
        server=server,
        parameters=_json(str(told.get("parameters_json", "null"))),
        health=health_of(name, restraints),
        used=_statistics(used),
    )


def _spec(told: dict[str, JsonValue]) -> ToolSpec | None:
    """Read what a worker published of a tool; None: it is of another program, and cannot be read here."""
    try:
        return from_plain(ToolSpec, told)
    except (KeyError, TypeError):
        return None


def health_of(name: str, restraints: Restraints) -> Literal["ready", "stopped", "withheld"]:
    """Tell whether a tool may be called now; it is withheld, if it is for some tenant."""
    if restraints.stop_of(name) is not None:
        return "stopped"
    server, _, given = name.partition(SERVER_SEPARATOR)
    for one in restraints.withheld.values():
        fact = one.fact
        gone = {*fact.removed, *fact.changed, *(renamed.before for renamed in fact.renamed)}
        if given and fact.server == server and (fact.program_changed or given in gone):
            return "withheld"
    return "ready"


def _statistics(used: Used | None) -> Statistics | None:
    if used is None:
        return None
    return Statistics(calls=used.calls, failed=used.failed, latency_ms=used.latency_ms, last_at=used.last_at)


def _json(text: str) -> JsonValue:
    try:
        told: JsonValue = json.loads(text)
    except ValueError:
        return None
    return told
