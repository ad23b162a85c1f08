"""The sink beside Kafka Connect with Debezium's JDBC sink, both on the records of one topic.

Decisions of policy are the facts that suit a JDBC sink best: one kind of fact on the topic, all of whose
fields are plain, so that each record is a row as it stands. The peer writes it to a table without an index,
with what `policy_decisions` holds; ours writes `policy_decisions` with its key and indexes, the session it
belongs to, the event log, and its offsets in the same transaction.
"""

import asyncio
import itertools
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # it ships no types
from psycopg import AsyncConnection
from psycopg.errors import UndefinedTable
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from tests.benchmarks.connect_worker import connect_worker, log_tail
from tests.benchmarks.copies import copies
from tests.benchmarks.cost import cpu_s_by_process
from tests.benchmarks.databases import fresh_database
from tests.benchmarks.ground import PROJECT, Ground, ground
from tests.benchmarks.result import Row, row
from tests.sinks.whole_session import whole_session
from topics.catalog import POLICY_DECISIONS, TOPICS, topic_of
from topics.routing import key_of, partition_of

SESSIONS: Final = 25_000
"""Copies of one session; each decides on eight calls."""
WARM_UP: Final = 50_000
"""Records that do not count: a Java program needs them to get to its speed."""
AT_ONCE: Final = 250
"""Sessions that are written to Kafka in one go."""
POLL_S: Final = 0.5
"""Seldom enough that counting rows takes nothing from what is measured."""
STALL_S: Final = 90.0
"""A sink that brings nothing for so long has failed: a task of Connect's ends, and its worker lives on."""
ARTIFACTS: Final = PROJECT / ".cartrita" / "artifacts"
TABLE: Final = "decisions_of_peer"
PEER: Final = {
    "collection.name.format": TABLE,
    # Without a key, its table has no index to keep; whatever it reads again after a crash is there twice.
    "insert.mode": "insert",
    "primary.key.mode": "none",
    # One statement for a batch. Twice as fast as without; larger batches are slower again.
    "dialect.postgres.unnest.insert.enabled": "true",
    "batch.size": "2000",
    "consumer.override.max.poll.records": "2000",
    # It takes plain columns only: of the envelope what the table has, and the one fact of the union.
    "transforms": "pick,flatten",
    "transforms.pick.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
    "transforms.pick.include": "session_id,occurred_at_ms,body",
    "transforms.flatten.type": "org.apache.kafka.connect.transforms.Flatten$Value",
    "transforms.flatten.delimiter": "_",
}
"""The connector's settings, the fastest that were found."""
PEER_ONCE: Final = {
    **PEER,
    "insert.mode": "upsert",
    "primary.key.mode": "record_value",
    "primary.key.fields": "body_PolicyDecided_decision_id",
}
"""The same with a key, so that each record is a row once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look at how far a sink is."""

    at_s: float
    rows: int
    sink_s: float
    """Processor time of the sink since it began."""
    postgres_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a sink was, and the processor time that a record took."""

    records_per_s: float
    sink_us: float
    postgres_us: float


async def measure(runs: int) -> Sequence[Row]:
    """Let both read the same topic, one after the other, in each run."""
    paces = []
    async with ground(workers=0, sink=False) as where:
        records = await _fill(where)
        for _ in range(runs):
            ours = await _pace_of_ours(where, records)
            peer = await _pace_of_peer(where, records, PEER)
            paces.append((ours, peer, await _pace_of_peer(where, records, PEER_ONCE)))
    return (
        row(
            "sink beside Kafka Connect's JDBC sink",
            "events/s",
            [(ours.records_per_s, peer.records_per_s) for ours, peer, _ in paces],
            target="ratio >= 2",
            note=f"{records:,} policy decisions; peer: inserts into one table without a key",
        ),
        row(
            "the same, each event once",
            "events/s",
            [(ours.records_per_s, once.records_per_s) for ours, _, once in paces],
            note="peer: upserts by the decision's id",
        ),
        row(
            "CPU of the sink's process for one event, beside Kafka Connect",
            "µs",
            [(ours.sink_us, peer.sink_us) for ours, peer, _ in paces],
            note="peer without a key",
        ),
        row(
            "CPU of Postgres for one event, beside Kafka Connect",
            "µs",
            [(ours.postgres_us, peer.postgres_us) for ours, peer, _ in paces],
            note="peer without a key; ours has event log, indexes and foreign keys",
        ),
    )


def pace(samples: Sequence[Sample], warm_up: int, records: int) -> Pace:
    """Return the pace between the first look after the warm-up and the last before all was done.

    Args:
        samples: in the order of time.
        warm_up: so many records do not count.
        records: there are in all.

    Raises:
        ValueError: there are no two looks in between.
    """
    counted = [sample for sample in samples if warm_up <= sample.rows < records]
    if len(counted) < 2 or counted[0].rows == counted[-1].rows:
        raise ValueError(f"{records - warm_up} records are too few to be measured every {POLL_S} s")
    first, last = counted[0], counted[-1]
    rows = last.rows - first.rows
    return Pace(
        records_per_s=rows / (last.at_s - first.at_s),
        sink_us=1e6 * (last.sink_s - first.sink_s) / rows,
        postgres_us=1e6 * (last.postgres_s - first.postgres_s) / rows,
    )


async def _pace_of_ours(where: Ground, records: int) -> Pace:
    query = "SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets"
    async with fresh_database(where.endpoints.postgres_dsn) as dsn:
        await where.start("sink", "streams.main", "sink", environment={"CARTRITA_POSTGRES_DSN": dsn})
        try:
            samples = [one async for one in _watched(where, dsn, query, where.parts["sink"], records)]
        finally:
            where.end("sink")
    return pace(samples, WARM_UP, records)


async def _pace_of_peer(where: Ground, records: int, settings: Mapping[str, str]) -> Pace:
    query = f"SELECT count(*) FROM {TABLE}"
    topic = where.settings.topic_prefix + POLICY_DECISIONS.name
    async with fresh_database(where.endpoints.postgres_dsn) as dsn:
        with (
            tempfile.TemporaryDirectory(prefix="cartrita-connect-") as name,
            connect_worker(
                where.endpoints, ARTIFACTS, Path(name), topic=topic, dsn=dsn, settings=settings
            ) as process,
        ):
            try:
                samples = [one async for one in _watched(where, dsn, query, process, records)]
            except RuntimeError as error:
                raise RuntimeError(f"{error}:\n{log_tail(Path(name))}") from error
    return pace(samples, WARM_UP, records)


async def _watched(
    where: Ground, dsn: str, query: str, process: "subprocess.Popen[bytes]", records: int
) -> AsyncIterator[Sample]:
    """Look again and again until all records are there.

    Raises:
        RuntimeError: the process ended, or brings nothing more.
    """
    pids = {"postgres": where.pids()["postgres"], "sink": process.pid}
    moved_s = time.monotonic()
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("CHECKPOINT")  # what was written before is nobody's burden now
        rows = 0
        while rows < records:
            if process.poll() is not None or time.monotonic() - moved_s > STALL_S:
                raise RuntimeError(f"a sink has ended, or does nothing, after {rows} of {records} records")
            await asyncio.sleep(POLL_S)
            at_s, cpu_s = time.monotonic(), cpu_s_by_process(pids)
            before, rows = rows, await _count(connection, query)
            if rows > before:
                moved_s = at_s
            yield Sample(at_s=at_s, rows=rows, sink_s=cpu_s["sink"], postgres_s=cpu_s["postgres"])


async def _count(connection: AsyncConnection[TupleRow], query: str) -> int:
    try:
        found = await (await connection.execute(query.encode())).fetchone()
    except UndefinedTable:  # the peer makes its table with the first record
        return 0
    assert found is not None
    return int(found[0])


async def _fill(where: Ground) -> int:
    """Write the decisions of many sessions to their topic; return how many."""
    decisions = [event for event in whole_session() if topic_of(event.body) is POLICY_DECISIONS]
    registry = SchemaRegistry(where.endpoints.registry_url)
    producer = AIOKafkaProducer(
        bootstrap_servers=where.endpoints.kafka_bootstrap, linger_ms=5, max_batch_size=131_072
    )
    await producer.start()
    try:
        codec = await Codec.connect(TOPICS, registry, where.settings.topic_prefix)
        left = copies(decisions, SESSIONS)
        while some := list(itertools.islice(left, AT_ONCE)):
            events = itertools.chain.from_iterable(some)
            await asyncio.gather(*[await _sent(producer, codec, where, event) for event in events])
    finally:
        await producer.stop()
        await registry.close()
    return SESSIONS * len(decisions)


async def _sent(
    producer: AIOKafkaProducer, codec: Codec, where: Ground, event: Envelope
) -> Awaitable[object]:
    key = key_of(POLICY_DECISIONS, event)
    sent: Awaitable[object] = await producer.send(
        where.settings.topic_prefix + POLICY_DECISIONS.name,
        codec.encode(POLICY_DECISIONS, event),
        key,
        partition_of(key, where.settings.partitions),
        headers=codec.headers(POLICY_DECISIONS, event),
    )
    return sent
