"""Snapshots: a rebuild that begins with one needs the log only from there on."""

import zipfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # no types
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from sinks.comparison import Comparison
from sinks.errors import DatabaseUnfit, RecordsMissing
from sinks.rebuild import Rebuild, RebuildSettings, rebuilding
from sinks.sink import SinkSettings
from sinks.snapshot import Manifest, SnapshotInvalid
from tests.sinks.conftest import rows
from tests.sinks.kafka import producing
from tests.sinks.records import CODEC
from tests.sinks.running import logged, running, until, workload
from tests.sinks.whole_session import whole_session
from topics.catalog import BUDGET_EVENTS, SESSION_INPUTS


@asynccontextmanager
async def rebuild(settings: SinkSettings, seed: Path | None = None) -> AsyncIterator[Rebuild]:
    of_rebuild = RebuildSettings(
        bootstrap=settings.bootstrap, dsn=settings.dsn, topic_prefix=settings.topic_prefix
    )
    async with rebuilding(of_rebuild, CODEC, lambda _: None, seed) as one:
        yield one


async def verified(settings: SinkSettings, seed: Path | None = None) -> Comparison:
    async with rebuild(settings, seed) as one:
        return await one.verify()


async def snapshot(settings: SinkSettings, path: Path, seed: Path | None = None) -> Manifest:
    async with rebuild(settings, seed) as one:
        return await one.snapshot(path)


async def take_in(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], events: Sequence[Envelope]
) -> int:
    """Write events behind what is there, let the sink take them in, and return how many there are now."""
    ((before,),) = await rows(connection, "SELECT count(*) FROM event_log")
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(events)
    async with running(settings) as sink:
        await until(logged(connection, before + len(events)), sink)
    return int(before) + len(events)


async def cut(settings: SinkSettings, manifest: Manifest, topic: str) -> None:
    """Delete the records of a topic's first partition that are in a snapshot."""
    client = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await client.start()
    try:
        place = TopicPartition(settings.topic_prefix + topic, 0)
        await client.delete_records({place: RecordsToDelete(before_offset=manifest.offsets[f"{topic}/0"])})
    finally:
        await client.close()


async def test_a_rebuild_begins_with_a_snapshot_where_the_log_was_cut(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], tmp_path: Path
) -> None:
    file = tmp_path / "snapshot.zip"
    count = await take_in(settings, connection, [*whole_session(), *workload(6, 4)])
    manifest = await snapshot(settings, file)
    await take_in(settings, connection, workload(8, 4))
    await cut(settings, manifest, SESSION_INPUTS.name)
    await cut(settings, manifest, BUDGET_EVENTS.name)

    with pytest.raises(RecordsMissing, match="snapshot"):
        await verified(settings)
    compared = await verified(settings, file)

    assert compared.is_equal
    assert manifest.records == sum(manifest.offsets.values()) >= count
    assert {member.table: member.rows for member in manifest.members}["event_log"] == count


async def test_a_rebuild_from_a_snapshot_puts_right_what_differs(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], tmp_path: Path
) -> None:
    file, second = tmp_path / "snapshot.zip", tmp_path / "second.zip"
    await take_in(settings, connection, [*whole_session(), *workload(4, 4)])
    first = await snapshot(settings, file)
    await connection.execute("UPDATE tasks_v2 SET intent = 'something else'")

    async with rebuild(settings, file) as one:
        found = await one.swap()
    again = await snapshot(settings, second, file)

    assert not found.is_equal
    assert (await verified(settings, second)).is_equal
    assert await rows(connection, "SELECT count(*) FROM tasks_v2 WHERE intent = 'something else'") == [(0,)]
    assert [(one.table, one.rows) for one in again.members] == [
        (one.table, one.rows) for one in first.members
    ]
    assert again.offsets == first.offsets


async def test_a_snapshot_that_is_damaged_or_ahead_is_refused(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], tmp_path: Path
) -> None:
    file, damaged, nothing = (tmp_path / name for name in ("snapshot.zip", "damaged.zip", "nothing.zip"))
    await take_in(settings, connection, workload(2, 4))
    await snapshot(settings, file)
    nothing.write_bytes(b"no archive")
    with zipfile.ZipFile(file) as whole, zipfile.ZipFile(damaged, "w") as other:
        for name in whole.namelist():
            data = whole.read(name)
            other.writestr(name, data[: data.index(b"\n") + 1] if name == "event_log" else data)

    for path in (damaged, nothing, tmp_path / "absent.zip"):
        with pytest.raises(SnapshotInvalid):
            await verified(settings, path)
    await connection.execute("UPDATE sink_offsets SET next_offset = 0")
    with pytest.raises(DatabaseUnfit, match="later moment"):
        await verified(settings, file)
