"""What of a deployment's storage may go without breaking a promise: found, told on the log, and deleted.

Everything else stays: topics of the truth and what is compacted of them, and rows that the log leads to.
"""

import asyncio
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.objections import EVERY_TENANT
from schemas.envelope import Envelope
from schemas.events.maintenance import (
    CutPartition,
    MaintenanceFact,
    Prunable,
    PrunedThing,
    PruneEnded,
    PruneRequested,
)
from schemas.ids import derived_id
from sinks import shadow
from sinks.fitting import fitted
from sinks.mapping import read_mapping
from sinks.rebuild import RebuildBusy, RebuildSettings, discard
from sinks.superseded import Superseded, superseded
from streams.client.client import Client
from streams.process.settings import Settings
from topics.catalog import HOUR_MS, MAINTENANCE_EVENTS
from topics.expired import Expired, delete, expired

_SINK: Final = RebuildSettings(bootstrap="", dsn="").sink


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Something that could go, and does not unless it is asked for by name."""

    thing: PrunedThing
    unless: str
    """What is lost with it, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What may go now."""

    things: tuple[PrunedThing, ...]
    snapshots: Mapping[str, Superseded] = field(default_factory=dict)
    """Those of them that are files, by name."""
    kept: tuple[Kept, ...] = ()
    busy: str = ""
    """Why of something nothing could be found out; empty: of all of it."""


async def plan(
    given: Settings,
    connection: AsyncConnection[TupleRow],
    *,
    wanted: Collection[Prunable],
    folders: Collection[Path],
    at_ms: int,
) -> Plan:
    """Find what may go; nothing is changed.

    Args:
        given: where all is.
        connection: autocommit.
        wanted: kinds that were asked for by name; none: all that goes unasked.
        folders: in which snapshots are looked for.
        at_ms: now, in milliseconds since 1970.

    Raises:
        KafkaError, psycopg.Error: one of them is away.
        DatabaseUnfit: tables are missing.
        OSError: a folder cannot be read.
    """
    things: list[PrunedThing] = []
    files: dict[str, Superseded] = {}
    kept: list[Kept] = []
    busy = ""
    asked = set(wanted or Prunable)
    if Prunable.DELTAS in asked:
        found = await expired(given.kafka_bootstrap, given.topic_prefix, at_ms=at_ms)
        things += _deltas(found)
    if Prunable.SHADOW in asked:
        if await shadow.is_being_filled(connection):
            busy = "a rebuild or a snapshot runs: its shadow tables are in use"
        elif left := await shadow.left(
            connection, _SINK, await fitted(connection, read_mapping(given.version_one_tables))
        ):
            thing = _shadow(left)
            if left.goes_on and not wanted:
                kept.append(
                    Kept(thing=thing, unless=f"a rebuild would go on after {left.records:,} records of it")
                )
            else:
                things.append(thing)
    if Prunable.SNAPSHOTS in asked:
        for folder in folders:
            for one in await asyncio.to_thread(superseded, folder):
                files[str(one.path)] = one
                things.append(_snapshot(one))
    return Plan(things=tuple(things), snapshots=files, kept=tuple(kept), busy=busy)


async def carry_out(given: Settings, found: Plan, *, user: str, reason: str | None, at_ms: int) -> PruneEnded:
    """Delete what was found, after the log says who wanted it, and return what became of it.

    Raises:
        KafkaError, RegistryError: the log does not take the request; nothing was deleted.
    """
    asked = PruneRequested(things=found.things, reason=reason)
    async with Client(given) as client:
        request_id = str(uuid.uuid4())
        await client.write(MAINTENANCE_EVENTS, _event(request_id, asked, user, at_ms))
        faults = []
        for thing in found.things:
            try:
                await _delete(given, thing, found)
            except (KafkaError, psycopg.Error, RebuildBusy, OSError) as error:
                faults.append(f"{thing.name}: {str(error).strip() or type(error).__name__}"[:500])
        ended = PruneEnded(
            request_id=request_id, deleted=len(found.things) - len(faults), faults=tuple(faults)
        )
        event_id = derived_id(request_id, PruneEnded.__name__)
        await client.write(MAINTENANCE_EVENTS, _event(event_id, ended, user, at_ms, request_id))
    return ended


async def _delete(given: Settings, thing: PrunedThing, found: Plan) -> None:
    match thing.kind:
        case Prunable.DELTAS:
            await delete(
                given.kafka_bootstrap,
                given.topic_prefix,
                {(thing.name, one.partition): one.before_offset for one in thing.cut},
            )
        case Prunable.SHADOW:
            await discard(given.postgres_dsn)
        case Prunable.SNAPSHOTS:
            await asyncio.to_thread(found.snapshots[thing.name].remove)


def _deltas(found: Collection[Expired]) -> list[PrunedThing]:
    """Return what is past its retention by topic."""
    things = []
    for topic in dict.fromkeys(one.topic for one in found):
        own = [one for one in found if one.topic == topic]
        hours = own[0].retention_ms / HOUR_MS
        things.append(
            PrunedThing(
                kind=Prunable.DELTAS,
                name=topic,
                cut=tuple(
                    CutPartition(partition=one.partition, before_offset=one.before_offset) for one in own
                ),
                records=sum(one.records for one in own),
                why=f"they are past the {hours:g} hours that the topic keeps, and part of no truth",
            )
        )
    return things


def _snapshot(one: Superseded) -> PrunedThing:
    return PrunedThing(
        kind=Prunable.SNAPSHOTS,
        name=str(one.path),
        bytes=one.bytes,
        why=f"{one.by} is whole and reaches at least as far in every partition",
    )


def _shadow(left: shadow.Left) -> PrunedThing:
    why = (
        "no rebuild runs; it was neither swapped in nor discarded"
        if left.goes_on
        else "no rebuild runs, and whichever comes begins anew"
    )
    return PrunedThing(
        kind=Prunable.SHADOW, name=shadow.SCHEMA, records=left.records, bytes=left.bytes, why=why
    )


def _event(
    event_id: str, fact: MaintenanceFact, user: str, at_ms: int, cause_id: str | None = None
) -> Envelope:
    return Envelope(
        event_id=event_id,
        type=type(fact).__name__,
        tenant_id=EVERY_TENANT,
        user_id=user,
        causation_id=cause_id,
        occurred_at_ms=at_ms,
        producer="cartrita-cli",
        body=fact,
    )
