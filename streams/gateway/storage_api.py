"""/api/v2: what the deployment's topics and tables take, for those who run it."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Annotated, Final

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types
from fastapi import Query

from sinks.storage import DatabaseUsage, Origin, TableUsage, database_usage
from streams.gateway.bodies import Body
from streams.gateway.front import Front
from streams.gateway.problems import away
from streams.gateway.sessions_api import Bearer, Doors, make_router
from streams.gateway.system_api import KAFKA_S, demand_operator
from topics.log_directories import LogDirectory
from topics.usage import DAY_MS, Kept, LogUsage, TopicUsage

OVER_DAYS: Final = 7.0

router: Final = make_router()


class StoredTopic(Body):
    """What a topic takes."""

    name: str
    kept: Kept
    partitions: int
    bytes: int
    """One copy."""
    bytes_of_replicas: int
    """All copies."""
    records: int
    """Of a compacted topic an upper bound."""
    oldest: datetime | None
    newest: datetime | None
    bytes_a_day: float | None
    """All copies; null: the log does not tell."""


class BrokerDirectory(Body):
    """A directory of a broker."""

    broker: int
    own_bytes: int
    """What of it is this deployment's."""
    bytes: int
    free_bytes: int | None
    volume_bytes: int | None
    bytes_a_day: float | None


class StoredTable(Body):
    """What a table takes."""

    name: str
    origin: Origin
    rows: int | None
    """As Postgres estimates; null: it was never analyzed."""
    dead_rows: int
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    bytes: int
    """All of it."""
    vacuumed: datetime | None


class Storage(Body):
    """What the deployment takes; what nobody knows is null."""

    measured_since: datetime
    """Growth is measured from here on."""
    events_a_day: float | None
    log_bytes: int
    log_bytes_of_replicas: int
    log_bytes_a_day: float | None
    directories: list[BrokerDirectory]
    topics: list[StoredTopic]
    database_bytes: int
    database_bytes_a_day: float | None
    """Of the rows that come from the log."""
    tables: list[StoredTable]


@router.get("/storage")
async def show_storage(
    front: Doors,
    bearer: Bearer,
    *,
    over_days: Annotated[float, Query(alias="overDays", ge=0.05, le=3_650)] = OVER_DAYS,
) -> Storage:
    """Tell what topics and tables take, and how fast they grow by the log's own times."""
    demand_operator(bearer)
    async with front.door.database(bearer) as connection:
        tables = await database_usage(connection)
    log = await _log_usage(front, over_days)
    return Storage(
        measured_since=_time(log.since_ms),
        events_a_day=log.events_per_day,
        log_bytes=log.bytes,
        log_bytes_of_replicas=log.bytes_of_replicas,
        log_bytes_a_day=log.growth,
        directories=[_directory(log, one, front.prefix) for one in log.directories],
        topics=[_topic(log, one) for one in log.topics],
        database_bytes=tables.bytes,
        database_bytes_a_day=tables.growth(log.events_per_day),
        tables=_tables(tables),
    )


async def _log_usage(front: Front, over_days: float) -> LogUsage:
    try:
        async with asyncio.timeout(KAFKA_S):
            return await front.door.client.log_usage(
                over_ms=round(over_days * DAY_MS), at_ms=time.time_ns() // 1_000_000
            )
    except (KafkaError, OSError, TimeoutError) as error:
        raise away("Kafka") from error


def _topic(log: LogUsage, one: TopicUsage) -> StoredTopic:
    return StoredTopic(
        name=one.name,
        kept=one.kept,
        partitions=one.partitions,
        bytes=one.bytes,
        bytes_of_replicas=one.bytes_of_replicas,
        records=one.records,
        oldest=None if one.oldest_ms is None else _time(one.oldest_ms),
        newest=None if one.newest_ms is None else _time(one.newest_ms),
        bytes_a_day=log.growth_of(one),
    )


def _directory(log: LogUsage, one: LogDirectory, prefix: str) -> BrokerDirectory:
    return BrokerDirectory(
        broker=one.broker,
        own_bytes=log.own_bytes_in(one, prefix),
        bytes=sum(one.replicas.values()),
        free_bytes=one.free_bytes,
        volume_bytes=one.volume_bytes,
        bytes_a_day=log.growth_in(one, prefix),
    )


def _tables(usage: DatabaseUsage) -> list[StoredTable]:
    return [
        StoredTable(
            name=_name(one),
            origin=one.origin,
            rows=one.rows,
            dead_rows=one.dead_rows,
            heap_bytes=one.heap_bytes,
            index_bytes=one.index_bytes,
            toast_bytes=one.toast_bytes,
            bytes=one.bytes,
            vacuumed=one.vacuumed_at,
        )
        for one in usage.tables
    ]


def _name(table: TableUsage) -> str:
    return f"{table.schema}.{table.name}" if table.schema else table.name


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
