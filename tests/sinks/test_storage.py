"""What a real Kafka and Postgres tell of what they hold, and what of it goes."""

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints
from schemas.events.maintenance import Prunable, PruneEnded, PruneRequested
from sinks.roles import GATEWAY
from sinks.sink import SinkSettings
from sinks.storage import Origin, database_usage
from streams.client import pruning
from streams.client.client import Client
from streams.process.settings import Settings
from tests.sinks.conftest import rows
from tests.sinks.running import COUNT
from tests.sinks.test_rebuild import NO_SHADOW, SHADOW, filled, rebuild
from topics import admin
from topics.catalog import HOUR_MS, MAINTENANCE_EVENTS, PLANS, SESSION_DELTAS
from topics.clients import producer_of
from topics.usage import DAY_MS, Kept, LogUsage, log_usage

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]


@pytest.fixture
def given(endpoints: Endpoints, settings: SinkSettings) -> Settings:
    """The same deployment, as commands are told of it."""
    return Settings.from_environment(
        {
            "CARTRITA_KAFKA_BOOTSTRAP": settings.bootstrap,
            "CARTRITA_REGISTRY_URL": endpoints.registry_url,
            "CARTRITA_POSTGRES_DSN": settings.dsn,
            "CARTRITA_TOPIC_PREFIX": settings.topic_prefix,
            "CARTRITA_PARTITIONS": "2",
        }
    )


async def put(settings: SinkSettings, topic: str, partition: int, times_ms: Sequence[int]) -> None:
    """Write a record of 1,000 bytes for each time."""
    producer = producer_of(settings.bootstrap)
    await producer.start()
    try:
        for at_ms in times_ms:
            await producer.send_and_wait(
                settings.topic_prefix + topic, b"x" * 1_000, partition=partition, timestamp_ms=at_ms
            )
    finally:
        await producer.stop()


async def used(settings: SinkSettings, at_ms: int, days: float) -> LogUsage:
    over_ms = round(days * DAY_MS)
    return await log_usage(settings.bootstrap, settings.topic_prefix, over_ms=over_ms, at_ms=at_ms)


def segments(folder: str, prefix: str) -> Mapping[str, int]:
    """Return by partition's folder how many bytes of segments stand on the broker's disk."""
    folders = [one for one in Path(folder).iterdir() if one.name.startswith(prefix)]
    return {one.name: sum(file.stat().st_size for file in one.glob("*.log")) for one in folders}


async def test_topics_are_told_as_they_are_on_the_disk_and_grow_as_their_records_say(
    settings: SinkSettings,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    await put(settings, PLANS.name, 0, [now_ms - 4 * DAY_MS] * 20)
    await put(settings, PLANS.name, 1, [now_ms - DAY_MS] * 10)

    lately, ever = await used(settings, now_ms, 2), await used(settings, now_ms, 30)

    (disk,) = lately.directories
    on_disk = segments(disk.path, settings.topic_prefix)
    plans = next(one for one in lately.topics if one.name == PLANS.name)
    assert plans.bytes == sum(size for name, size in on_disk.items() if name[9:-2] == PLANS.name) > 30_000
    assert lately.bytes == lately.bytes_of_replicas == sum(on_disk.values())
    assert (plans.records, plans.records_lately, plans.kept) == (30, 10, Kept.FOR_EVER)
    assert (plans.oldest_ms, plans.newest_ms) == (now_ms - 4 * DAY_MS, now_ms - DAY_MS)
    assert lately.events_per_day == 5
    assert lately.growth == pytest.approx(plans.bytes / 30 * 5)
    assert (ever.since_ms, ever.events_per_day) == (now_ms - 4 * DAY_MS, 7.5)
    assert lately.own_bytes_in(disk, settings.topic_prefix) == lately.bytes
    assert lately.growth_in(disk, settings.topic_prefix) == pytest.approx(lately.growth)
    assert disk.volume_bytes is not None
    assert disk.free_bytes is not None
    assert 0 < disk.free_bytes <= disk.volume_bytes


def left_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_tables_are_told_to_whoever_may_not_read_them(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    events = await filled(settings, connection)
    await connection.execute("ANALYZE")
    await connection.execute(f"SET ROLE {GATEWAY}".encode())

    usage = await database_usage(connection)

    tables = {one.name: one for one in usage.tables}
    log = tables["event_log"]
    assert (log.rows, log.origin) == (events, Origin.LOG)
    assert tables["document_passages"].origin is Origin.DOCUMENTS
    assert tables["cartrita_migrations"].origin is Origin.OTHER
    assert all(one.bytes >= one.heap_bytes + one.index_bytes + one.toast_bytes for one in usage.tables)
    assert usage.bytes > sum(one.bytes for one in usage.tables)
    assert usage.growth(1_000.0) is None, "so few events say nothing of the next one"
    many = [replace(one, rows=20_000) if one is log else one for one in usage.tables]
    of_log = sum(one.bytes for one in usage.tables if one.origin is Origin.LOG)
    grown = replace(usage, tables=tuple(many))
    assert grown.growth(1_000.0) == pytest.approx(of_log / 20)
    assert grown.growth(None) is None


async def test_pieces_of_answers_past_their_retention_go_and_nothing_else(
    settings: SinkSettings, given: Settings, connection: AsyncConnection[TupleRow]
) -> None:
    now_ms = time.time_ns() // 1_000_000
    settings = replace(settings, topic_prefix=f"{settings.topic_prefix}real.")
    given = replace(given, topic_prefix=settings.topic_prefix)
    await admin.apply(settings.bootstrap, settings.topic_prefix, 2, 1, given.session_timeout_ms)
    # Kafka itself deletes none of it: fresh records stand in the same segment.
    past_ms, fresh_ms = now_ms - 6 * HOUR_MS - 600_000, now_ms - 6 * HOUR_MS + 1_800_000
    await put(settings, SESSION_DELTAS.name, 0, [*[past_ms] * 5, *[fresh_ms] * 3])
    await put(settings, SESSION_DELTAS.name, 1, [fresh_ms] * 2)
    await put(settings, PLANS.name, 0, [now_ms - DAY_MS] * 4)

    found = await pruning.plan(given, connection, wanted=(), folders=(), at_ms=now_ms)
    before = await used(settings, now_ms, 2)
    ended = await pruning.carry_out(given, found, user="ann", reason="a test", at_ms=now_ms)
    again = await pruning.plan(given, connection, wanted=(), folders=(), at_ms=now_ms)

    (thing,) = found.things
    assert (thing.kind, thing.name, thing.records) == (Prunable.DELTAS, SESSION_DELTAS.name, 5)
    records = {one.name: one.records for one in before.topics}
    assert (records[SESSION_DELTAS.name], records[PLANS.name]) == (10, 4), "looking deletes nothing"
    assert (ended.deleted, ended.faults, again.things) == (1, (), ())
    records = {one.name: one.records for one in (await used(settings, now_ms, 2)).topics}
    assert (records[SESSION_DELTAS.name], records[PLANS.name]) == (5, 4)
    async with Client(given) as client:
        wanted, done = await client.whole(MAINTENANCE_EVENTS)
    assert wanted.body == PruneRequested(things=found.things, reason="a test")
    assert (wanted.user_id, wanted.tenant_id) == ("ann", "*")
    assert done.body == PruneEnded(request_id=wanted.event_id, deleted=1)
    assert done.causation_id == wanted.event_id


async def test_nothing_goes_that_the_log_does_not_know_of(
    settings: SinkSettings, given: Settings, connection: AsyncConnection[TupleRow]
) -> None:
    await filled(settings, connection)
    async with rebuild(settings) as one:
        await one.load()
    found = await pruning.plan(given, connection, wanted=[Prunable.SHADOW], folders=(), at_ms=1)
    nowhere = Settings.from_environment(
        {"CARTRITA_KAFKA_BOOTSTRAP": "127.0.0.1:1", "CARTRITA_REGISTRY_URL": given.registry_url}
    )

    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        await pruning.carry_out(nowhere, found, user="ann", reason=None, at_ms=1)

    assert await rows(connection, SHADOW) != NO_SHADOW


async def test_a_shadow_goes_when_nobody_can_want_it_and_else_when_it_is_named(
    settings: SinkSettings, given: Settings, connection: AsyncConnection[TupleRow]
) -> None:
    events = await filled(settings, connection)
    async with rebuild(settings) as one:
        await one.load()
        during = await pruning.plan(given, connection, wanted=[Prunable.SHADOW], folders=(), at_ms=1)

    unasked = await pruning.plan(given, connection, wanted=(), folders=(), at_ms=1)
    named = await pruning.plan(given, connection, wanted=[Prunable.SHADOW], folders=(), at_ms=1)
    await connection.execute("COMMENT ON SCHEMA cartrita_rebuild IS 'begun by another program'")
    stale = await pruning.plan(given, connection, wanted=(), folders=(), at_ms=1)
    usage = await database_usage(connection)
    ended = await pruning.carry_out(given, stale, user="ann", reason=None, at_ms=1)

    assert (during.things, during.kept, bool(during.busy)) == ((), (), True)
    assert (unasked.things, [one.thing for one in unasked.kept]) == ((), list(named.things))
    assert named.things[0].records == events
    assert {one.origin for one in usage.tables if one.schema} == {Origin.SHADOW}
    assert stale.things[0].bytes == sum(one.bytes for one in usage.tables if one.origin is Origin.SHADOW)
    assert (ended.deleted, ended.faults) == (1, ())
    assert await rows(connection, SHADOW) == NO_SHADOW
    assert await rows(connection, COUNT) == [(events,)]


async def test_of_real_snapshots_the_earlier_goes_and_the_later_still_seeds_a_rebuild(
    settings: SinkSettings, given: Settings, connection: AsyncConnection[TupleRow], tmp_path: Path
) -> None:
    await filled(settings, connection)
    for name in ("earlier.zip", "later.zip"):
        async with rebuild(settings) as one:
            await one.snapshot(tmp_path / name)

    found = await pruning.plan(given, connection, wanted=(), folders=[tmp_path], at_ms=1)
    ended = await pruning.carry_out(given, found, user=str(uuid.uuid4()), reason=None, at_ms=1)

    assert [Path(one.name).name for one in found.things] == ["earlier.zip"]
    assert (ended.deleted, ended.faults) == (1, ())
    assert left_in(tmp_path) == ["later.zip"]
