"""Reads a whole deployment: the log, the groups' positions, Postgres, and the fake servers' books."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol, TypedDict

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from psycopg.rows import dict_row

from processors.projections.event_log import COLUMNS
from processors.projections.rows import Place
from processors.projections.tables import TABLES
from schemas.wire.codec import FINGERPRINT_HEADER, Codec, UndecodableError, UnknownFactError
from schemas.wire.registry import SchemaRegistry
from sinks.comparison import TableComparison
from sinks.rebuild import RebuildSettings, rebuilding
from streams.process.settings import Settings
from streams.stateful.marks import is_marks
from streams.stateful.stored_record import StoredRecord
from tests.chaos.evidence import Evidence, LoggedRow, LogRecord, Slot, StateRecord
from tests.chaos.fake_servers import FakeServers
from tests.chaos.rows import canonical, logged_of
from tests.invariants.entries import BudgetEntry
from topics import shells
from topics.catalog import (
    TOPICS,
    Topic,
    read_by,
)
from topics.tables import ACCOUNT_STATES, CAPABILITY_STATES, SCHEDULE_STATES, SESSION_STATES, changelog_of

SOURCES: Final[Mapping[str, tuple[Topic, ...]]] = {shell: read_by(shell) for shell in shells.SHELLS}
"""What each shell reads."""
TABLES_OF: Final[Mapping[str, str]] = {
    SESSION_STATES: shells.SESSION,
    ACCOUNT_STATES: shells.ACCOUNT,
    CAPABILITY_STATES: shells.CAPABILITY,
    SCHEDULE_STATES: shells.SCHEDULE,
}
"""Whose table it is."""
_READ_S: Final = 900.0
_REBUILD_S: Final = 900.0


class _Fetched(Protocol):
    """A record as aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


async def gather(
    settings: Settings,
    servers: FakeServers | None = None,
    sent: Mapping[str, str] | None = None,
    *,
    rebuild: bool = True,
) -> Evidence:
    """Read everything; nothing is changed, and Kafka, the registry and Postgres have to run.

    Args:
        settings: of the deployment.
        servers: whose books are read.
        sent: session by event id, of each input that was acknowledged.
        rebuild: make the tables once more from the log, and compare them.
    """
    async with asyncio.timeout(_READ_S):
        ends, records = await _log(settings)
        states = await _states(settings)
        committed = await _committed(settings)
    async with asyncio.timeout(_REBUILD_S):
        rebuilt = await _rebuilt(settings) if rebuild else None
    return Evidence(
        records=tuple(records),
        ends=ends,
        committed=committed,
        model_ledger=servers.ledger() if servers is not None else (),
        tool_ledger=servers.tool_ledger() if servers is not None else (),
        sent=dict(sent or {}),
        states=states,
        rebuilt=rebuilt,
        **await asyncio.to_thread(_postgres, settings.postgres_dsn),
    )


async def _log(settings: Settings) -> tuple[dict[Slot, int], list[LogRecord]]:
    registry = SchemaRegistry(settings.registry_url)
    # Knows no schema beforehand, so that every one comes from the registry, as for any outsider.
    codec = Codec(TOPICS, registry, {})
    prefix = settings.topic_prefix
    try:
        ends, fetched = await _read(settings, [prefix + topic.name for topic in TOPICS])
        records = [await _record(codec, record.topic.removeprefix(prefix), record) for record in fetched]
    finally:
        await registry.close()
    return {(topic.removeprefix(prefix), number): end for (topic, number), end in ends.items()}, records


async def _states(settings: Settings) -> tuple[StateRecord, ...]:
    shells = {changelog_of(settings.topic_prefix, table): shell for table, shell in TABLES_OF.items()}
    _, fetched = await _read(settings, list(shells))
    states = []
    for record in fetched:
        if is_marks(record.key or b""):
            continue
        stored = StoredRecord.decode(record.value) if record.value is not None else None
        states.append(
            StateRecord(
                shell=shells[record.topic],
                key=(record.key or b"").decode(),
                positions=stored.positions if stored is not None else None,
            )
        )
    return tuple(states)


async def _read(settings: Settings, topics: Sequence[str]) -> tuple[dict[Slot, int], list["_Fetched"]]:
    """Read topics from their beginnings to where they end now; each partition in order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        group_id=None,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        # Of all topics at once: after the first assignment the client asks for that topic's alone.
        await consumer._client.force_metadata_update()
        places = [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(consumer.partitions_for_topic(topic) or ())
        ]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: dict[TopicPartition, list[_Fetched]] = {place: [] for place in places}
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for place, fetched in (await consumer.getmany(timeout_ms=500)).items():
                found[place] += [record for record in fetched if record.offset < ends[place]]
    finally:
        await consumer.stop()
    slots = {(place.topic, place.partition): ends[place] for place in places}
    return slots, [record for place in places for record in found[place]]


async def _rebuilt(settings: Settings) -> tuple[TableComparison, ...]:
    registry = SchemaRegistry(settings.registry_url)
    told = RebuildSettings(
        bootstrap=settings.kafka_bootstrap, dsn=settings.postgres_dsn, topic_prefix=settings.topic_prefix
    )
    try:
        codec = await Codec.connect(TOPICS, registry, settings.topic_prefix)
        async with rebuilding(told, codec, lambda _: None) as rebuild:
            return (await rebuild.verify()).tables
    finally:
        await registry.close()


async def _record(codec: Codec, topic: str, record: "_Fetched") -> LogRecord:
    place = Place(
        topic=topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp
    )
    ours = FINGERPRINT_HEADER in dict(record.headers)
    try:
        # Without its headers: what an outsider reads.
        event = await codec.decode(record.value)
    except UnknownFactError:
        fault = "unknown_fact"
    except UndecodableError as error:
        fault = error.code
    else:
        return LogRecord(place=place, key=record.key, event=event, ours=ours)
    return LogRecord(place=place, key=record.key, event=None, fault=fault, ours=ours, value=record.value)


async def _committed(settings: Settings) -> dict[tuple[str, str, int], int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_bootstrap)
    await admin.start()
    try:
        found = {}
        for shell in SOURCES:
            group = f"{settings.topic_prefix}{settings.app_id}-{shell}"
            for place, offset in (await admin.list_consumer_group_offsets(group)).items():
                topic = place.topic.removeprefix(settings.topic_prefix)
                found[shell, topic, place.partition] = offset.offset
        return found
    finally:
        await admin.close()


class _Read(TypedDict):
    stored: dict[Slot, int]
    rows: dict[str, dict[str, dict[str, object]]]
    logged: tuple[LoggedRow, ...]
    entries: tuple[BudgetEntry, ...]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _postgres(dsn: str) -> _Read:
    with psycopg.connect(dsn, row_factory=dict_row) as connection:
        # One snapshot, so that rows and offsets fit together while a sink writes.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET TIME ZONE 'UTC'")
        stored = {
            (str(row["topic"]), int(row["partition"])): int(row["next_offset"])
            for row in connection.execute("SELECT topic, partition, next_offset FROM sink_offsets")
        }
        rows = {
            table.name: {
                str(row["id"]): {
                    column.name: canonical(row[column.name], column.type) for column in table.stored
                }
                for row in connection.execute(
                    f'SELECT id, {_listed([column.name for column in table.stored])} FROM "{table.name}"'
                )
            }
            for table in TABLES
        }
        logged = tuple(
            logged_of(row) for row in connection.execute(f"SELECT {_listed(COLUMNS)} FROM event_log")
        )
        entries = tuple(
            BudgetEntry(
                session_id=str(row["session_id"]),
                sequence=row["sequence"],
                event_id=str(row["event_id"]),
                account=row["account"],
                tokens=int(row["tokens"]),
                nanodollars=int(row["nanodollars"]),
            )
            for row in connection.execute("SELECT * FROM budget_entries ORDER BY session_id, sequence")
        )
    return {"stored": stored, "rows": rows, "logged": logged, "entries": entries}


async def is_at_rest(settings: Settings, sent: Mapping[str, str]) -> bool:
    """Tell whether every input that was sent has its end in Postgres and nobody has anything left to read."""
    if await asyncio.to_thread(_unended, settings.postgres_dsn, list(sent)):
        return False
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=None)
    await consumer.start()
    try:
        await consumer._client.force_metadata_update()
        places = {
            TopicPartition(settings.topic_prefix + topic.name, number): (topic, number)
            for topic in TOPICS
            for number in consumer.partitions_for_topic(settings.topic_prefix + topic.name) or ()
        }
        ends = {places[place]: end for place, end in (await consumer.end_offsets(list(places))).items()}
    finally:
        await consumer.stop()
    committed = await _committed(settings)
    stored = await asyncio.to_thread(_stored, settings.postgres_dsn)
    readers = {topic: shell for shell, topics in SOURCES.items() for topic in topics}
    return all(
        (topic not in readers or committed.get((readers[topic], topic.name, number), 0) >= end)
        and (not topic.is_truth or stored.get((topic.name, number), 0) >= end)
        for (topic, number), end in ends.items()
    )


def _unended(dsn: str, inputs: Sequence[str]) -> int:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(
            """
            SELECT count(*) FROM unnest(%s::text[]) AS sent(id)
            WHERE NOT EXISTS (
                SELECT FROM event_log e
                WHERE e.type IN ('AnswerGiven', 'ErrorReported', 'ClientCallAnswered', 'ClientCallFailed')
                AND e.body ->> 'input_id' = sent.id)
            AND NOT EXISTS (
                SELECT FROM event_log i JOIN event_log e USING (session_id)
                WHERE i.event_id::text = sent.id AND e.type = 'SessionEnded')
            """,
            [inputs],
        ).fetchone()
        assert row is not None
        return int(row[0])


def _stored(dsn: str) -> dict[Slot, int]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute("SELECT topic, partition, next_offset FROM sink_offsets").fetchall()
        return {(str(row[0]), int(row[1])): int(row[2]) for row in found}
