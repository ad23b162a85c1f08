"""/api/v2: how the deployment stands, and the switch that stops tools.

It is one deployment for all tenants, so it is for those who run it: tokens of the tenant `default` with the
scope administer that are good for each of its users, as this machine's own is.
"""

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # as above
from pydantic import Field, StrictBool

from processors.inputs import checked_restraint
from processors.objections import EVERY_TENANT
from processors.restraints import Restraints
from schemas.envelope import Envelope
from schemas.events.access import Scope
from schemas.events.restraints import RestraintAct, ToolsStarted, ToolsStopped
from sinks import conversations, queries, system
from sinks.system import PartInForce
from streams.client.standing import ReaderStanding, Standing
from streams.gateway.access import Principal
from streams.gateway.acts import post_act
from streams.gateway.bodies import Body
from streams.gateway.door import PRODUCER, require
from streams.gateway.front import Front
from streams.gateway.problems import Problem, away
from streams.gateway.sessions_api import Bearer, Doors, make_router
from topics.catalog import TOOL_RESTRAINTS

OPERATORS_TENANT: Final = "default"
KAFKA_S: Final = 10.0
QUARANTINED_MAX: Final = 50

router: Final = make_router()


class Process(Body):
    """One process of a part, as Kafka knows it."""

    name: str
    host: str


class Lag(Body):
    """What a part has not dealt with of a topic."""

    topic: str
    records: int


class Part(Body):
    """A shell, or the sinks."""

    name: str
    state: str
    """working, changing (partitions are being handed over) or nobody."""
    processes: list[Process]
    lag: int
    lags: list[Lag]


class KnownTopic(Body):
    """One topic."""

    name: str
    partitions: int
    records: int


class Rule(Body):
    """A rule of the policy, in its order."""

    name: str
    decision: str


class InForce(Body):
    """A part of the configuration, as a worker published it last."""

    kind: str
    hash: str
    since: datetime


class Stop(Body):
    """A stop of tools that holds."""

    name: str
    operator: str
    reason: str | None
    since: datetime


class Withheld(Body):
    """What a server offers that nobody has accepted so."""

    server: str
    tenant: str
    since: datetime
    added: list[str]
    removed: list[str]
    changed: list[str]
    renamed: list[str]
    unusable: list[str]
    program_changed: bool


class Quarantined(Body):
    """A session of which nothing is applied, since an input of it could not be."""

    session_id: UUID
    title: str | None
    user_id: str | None


class System(Body):
    """How the deployment stands."""

    version: str
    components: dict[str, str]
    parts: list[Part]
    topics: list[KnownTopic]
    configuration: list[InForce]
    policy: list[Rule]
    stops: list[Stop]
    withheld: list[Withheld]
    quarantined: list[Quarantined]
    """Of the tenant, the newest first."""


class NewStop(Body):
    """Which tools to stop."""

    name: Annotated[str, Field(max_length=200)]
    """A tool; a server, for all its tools; or `*`, for every tool."""
    reason: str | None = None
    stopped: StrictBool
    """false: take the stop of this name back."""


class AskedStop(Body):
    """An act that was written; it holds once workers have read it."""

    event_id: UUID


@router.get("/system")
async def show_system(front: Doors, bearer: Bearer) -> System:
    """Tell how the deployment stands: parts, topics and lag, what is stopped, and which policy decides."""
    demand_operator(bearer)
    async with front.door.database(bearer) as connection:
        sunk = await conversations.read_up_to(connection)
        parts = await system.in_force(connection)
        quarantined = await queries.sessions(
            connection, status="quarantined", tenant_id=bearer.tenant, limit=QUARANTINED_MAX
        )
    standing, restraints = await asyncio.gather(_standing(front, sunk), restraints_of(front))
    components = await front.door.check()
    components["feed"] = "connected" if front.feed.ready.is_set() else "disconnected"
    return System(
        version=front.version,
        components=components,
        parts=[_part(one) for one in standing.readers],
        topics=[
            KnownTopic(name=one.name, partitions=one.partitions, records=one.records)
            for one in standing.topics
        ],
        configuration=[InForce(kind=one.kind, hash=one.hash, since=one.at) for one in parts],
        policy=_rules(parts),
        stops=stops_of(restraints),
        withheld=withheld_of(restraints),
        quarantined=[
            Quarantined(session_id=one.id, title=one.title, user_id=one.user_id) for one in quarantined
        ],
    )


@router.post("/tools/stops", status_code=202)
async def stop_tools(new: NewStop, front: Doors, bearer: Bearer) -> AskedStop:
    """Stop tools in all workers and for all tenants, or take a stop back; an operator's act."""
    demand_operator(bearer)
    act: RestraintAct = (
        ToolsStopped(name=new.name, reason=new.reason)
        if new.stopped
        else ToolsStarted(name=new.name, reason=new.reason)
    )
    event = Envelope(
        event_id=str(uuid.uuid4()),
        type=type(act).__name__,
        tenant_id=EVERY_TENANT,
        user_id=bearer.operator,
        occurred_at_ms=time.time_ns() // 1_000_000,
        producer=PRODUCER,
        body=act,
    )
    await post_act(front, event, checked_restraint)
    return AskedStop(event_id=UUID(event.event_id))


def demand_operator(bearer: Principal) -> None:
    """See that somebody runs the deployment, and not one tenant or user of it alone.

    Raises:
        Problem: not so.
    """
    require(bearer, Scope.ADMINISTER)
    if bearer.tenant != OPERATORS_TENANT or bearer.user is not None:
        raise Problem(
            403,
            f"this is for whoever runs the deployment: a token of {OPERATORS_TENANT}, for all of its users",
            code="operators_alone",
        )


async def restraints_of(front: Front) -> Restraints:
    """Read which tools are stopped or withheld now.

    Raises:
        Problem: Kafka is away.
    """
    restraints = Restraints()
    try:
        async with asyncio.timeout(KAFKA_S):
            for event in await front.door.client.whole(TOOL_RESTRAINTS):
                restraints.apply(event)
    except (KafkaError, OSError, TimeoutError) as error:
        raise away("Kafka") from error
    return restraints


def stops_of(restraints: Restraints) -> list[Stop]:
    """Return the stops that hold."""
    return [
        Stop(name=one.name, operator=one.operator, reason=one.reason, since=_time(one.stopped_at_ms))
        for one in restraints.stops.values()
    ]


def withheld_of(restraints: Restraints, tenant: str | None = None) -> list[Withheld]:
    """Return what is withheld of servers; with a tenant, of its connections alone."""
    return [
        Withheld(
            server=one.fact.server,
            tenant=one.fact.tenant,
            since=_time(one.told_at_ms),
            added=list(one.fact.added),
            removed=list(one.fact.removed),
            changed=list(one.fact.changed),
            renamed=[f"{name.before} → {name.after}" for name in one.fact.renamed],
            unusable=[f"{aside.tool}: {aside.reason}" for aside in one.fact.put_aside],
            program_changed=one.fact.program_changed,
        )
        for one in restraints.withheld.values()
        if tenant in (None, one.fact.tenant)
    ]


async def _standing(front: Front, sunk: dict[tuple[str, int], int]) -> Standing:
    known = {TopicPartition(front.prefix + topic, number): at for (topic, number), at in sunk.items()}
    try:
        async with asyncio.timeout(KAFKA_S):
            return await front.door.client.standing(known)
    except (KafkaError, OSError, TimeoutError) as error:
        raise away("Kafka") from error


def _part(one: ReaderStanding) -> Part:
    return Part(
        name=one.name,
        state=one.state,
        processes=[Process(name=member.client, host=member.host) for member in one.members],
        lag=one.lag,
        lags=[Lag(topic=topic, records=records) for topic, records in one.lags.items() if records],
    )


def _rules(parts: list[PartInForce]) -> list[Rule]:
    policy = next((one.read() for one in parts if one.kind == "policy"), {})
    rules = policy.get("rules")
    return [
        Rule(name=str(one.get("name", "")), decision=str(one.get("decision", "")))
        for one in (rules if isinstance(rules, list) else ())
        if isinstance(one, dict)
    ]


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
