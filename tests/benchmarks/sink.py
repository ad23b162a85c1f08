"""The sink beside the least that could be done: decode the same records, and COPY them into one bare table.

Both read the same topics of the same Kafka, in batches of the same size, and commit each in one transaction
of the same Postgres. Ours writes the event log with its indexes, every V2 table and its offsets; the bare one
a table without any index, of bare dicts as fastavro gives them. The rebuild reads the same topics into its
shadow tables.
"""

import asyncio
import gc
import io
import json
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

import fastavro
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # it ships no types
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Ports, Stack
from schemas.wire.avro_schema import schema_text, without_logical_types
from sinks.rebuild import RebuildSettings
from sinks.sink import SinkSettings, run_sink
from tests.benchmarks.copies import copies
from tests.benchmarks.databases import fresh_database, rebuilt
from tests.benchmarks.ground import PROJECT
from tests.benchmarks.result import Row, row
from tests.sinks.kafka import create_topics, producing
from tests.sinks.records import CODEC
from tests.sinks.whole_session import whole_session
from topics.catalog import TOPICS

SESSIONS: Final = 1_000
BATCH: Final = 2_000
WAIT_S: Final = 300.0
_POLL_S: Final = 0.05
"""Seldom enough that asking takes nothing from what is measured."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BARE: Final = """
    CREATE TABLE bare (event_id TEXT, topic TEXT, partition INTEGER, "offset" BIGINT, session_id TEXT,
                       type TEXT, sequence BIGINT, occurred_at TIMESTAMPTZ, body JSONB)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    bootstrap: str
    postgres_dsn: str
    prefix: str
    events: int


async def measure(runs: int) -> Sequence[Row]:
    """Let the sink, the bare copy and the rebuild read the same events, one after the other, in each run."""
    sink, rebuild = [], []
    gc.freeze()  # as the sink's process does; the peer has it too
    async with _ground() as ground:
        for _ in range(runs):
            async with fresh_database(ground.postgres_dsn) as dsn:
                ours = await _timed_sink(ground, dsn)
                bare = await _timed_bare(ground, dsn)
                anew = await _timed_rebuild(ground, dsn)
            sink.append((ground.events / ours, ground.events / bare))
            rebuild.append((ground.events / anew, ground.events / ours))
    return (
        row(
            "sink: Kafka to all V2 tables",
            "events/s",
            sink,
            target="ratio >= 0.5",
            note="peer: decode to dicts, COPY into one bare table",
        ),
        row("rebuild: Kafka to shadow tables", "events/s", rebuild, note="peer: the live sink"),
    )


async def _timed_sink(ground: _Ground, dsn: str) -> float:
    """Return how many seconds the sink takes from its first partition to the last event."""
    settings = SinkSettings(
        bootstrap=ground.bootstrap,
        dsn=dsn,
        topic_prefix=ground.prefix,
        group=uuid.uuid4().hex,
        batch_records_max=BATCH,
    )
    stop = asyncio.Event()
    sink = asyncio.create_task(run_sink(settings, CODEC, stop))
    try:
        async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
            # It has joined its group when it has offsets: that takes seconds, and says nothing of its speed.
            await _until(connection, "SELECT count(*) FROM sink_offsets", 1)
            began_s = time.monotonic()
            await _until(connection, "SELECT sum(next_offset) FROM sink_offsets", ground.events)
            return time.monotonic() - began_s
    finally:
        stop.set()
        await asyncio.wait_for(sink, WAIT_S)


async def _timed_bare(ground: _Ground, dsn: str) -> float:
    schemas = {ground.prefix + topic.name: _parsed(schema_text(topic)) for topic in TOPICS if topic.is_truth}
    consumer = AIOKafkaConsumer(bootstrap_servers=ground.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        places = [
            TopicPartition(name, number) for name in schemas for number in consumer.partitions_for_topic(name)
        ]
        consumer.assign(places)
        left = sum((await consumer.end_offsets(places)).values())
        async with await AsyncConnection.connect(dsn) as connection:
            await connection.execute(_BARE)
            began_s = time.monotonic()
            while left:
                fetched = await consumer.getmany(timeout_ms=1_000, max_records=BATCH)
                async with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN") as copy:
                    for tp, records in fetched.items():
                        for record in records:
                            await copy.write_row(_bare_row(record, schemas[tp.topic]))
                await connection.commit()
                left -= sum(map(len, fetched.values()))
            return time.monotonic() - began_s
    finally:
        await consumer.stop()


async def _timed_rebuild(ground: _Ground, dsn: str) -> float:
    settings = RebuildSettings(bootstrap=ground.bootstrap, dsn=dsn, topic_prefix=ground.prefix)
    loaded = await rebuilt(settings, CODEC)
    assert loaded.records == ground.events
    return loaded.elapsed_s


def _parsed(text: str) -> dict[str, object]:
    schema = cast("dict[str, object]", without_logical_types(json.loads(text)))
    return cast("dict[str, object]", fastavro.parse_schema(schema))


def _bare_row(record: object, schema: dict[str, object]) -> tuple[object, ...]:
    value: bytes = record.value  # type: ignore[attr-defined]  # aiokafka's record has no types
    buffer = io.BytesIO(value)
    buffer.seek(5)
    read = cast("dict[str, object]", fastavro.schemaless_reader(buffer, schema, None))
    return (
        read["event_id"],
        record.topic,  # type: ignore[attr-defined]  # as above
        record.partition,  # type: ignore[attr-defined]  # as above
        record.offset,  # type: ignore[attr-defined]  # as above
        read["session_id"],
        read["type"],
        read["sequence"],
        _EPOCH + timedelta(milliseconds=cast("int", read["occurred_at_ms"])),
        orjson.dumps(read["body"], default=str).decode(),
    )


async def _until(connection: AsyncConnection[TupleRow], query: str, number: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            cursor = await connection.execute(query.encode())
            found = await cursor.fetchone()
            if found is not None and found[0] is not None and found[0] >= number:
                return
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def _ground() -> AsyncIterator[_Ground]:
    """Give a stack whose topics hold the events of many sessions."""
    directory = Path(tempfile.mkdtemp(prefix="cartrita-sink-bench-"))
    stack = Stack(directory, artifacts=PROJECT / ".cartrita" / "artifacts", ports=Ports.free())
    try:
        endpoints = await asyncio.to_thread(stack.start)
        prefix = f"{uuid.uuid4().hex[:8]}."
        await create_topics(endpoints.kafka_bootstrap, prefix)
        number = 0
        async with producing(endpoints.kafka_bootstrap, prefix) as producer:
            for events in copies(whole_session(), SESSIONS):
                await producer.put(events)
                number += len(events)
        yield _Ground(
            bootstrap=endpoints.kafka_bootstrap,
            postgres_dsn=endpoints.postgres_dsn,
            prefix=prefix,
            events=number,
        )
    finally:
        await asyncio.to_thread(stack.stop)
        shutil.rmtree(directory)
