"""The rebuild: the whole log projected anew into shadow tables, to compare the live ones or put them right.

It may be interrupted at any moment, and goes on from the shadow's own offsets. A running sink is held up only
while the last few records are read and, for a swap, while what differs is written.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable
from psycopg.rows import TupleRow

from schemas.wire.codec import Codec
from sinks import projected, shadow, snapshot
from sinks.comparison import Comparison, TableComparison, compare, compared_tables, put_right
from sinks.errors import DatabaseUnfit, RecordsMissing, RowRefused, TopicRecreated, is_of_the_row
from sinks.fitting import Fitted, fitted
from sinks.intake import YIELD_RECORDS, Delivery, Taken, take
from sinks.log_reader import LogReader
from sinks.mapping import AS_THEY_ARE, VersionOne
from sinks.outcomes import calls_with_several
from sinks.reader import Located
from sinks.sink import TRUTH
from sinks.snapshot import Manifest
from sinks.storing import store
from sinks.writer import CONNECT_TIMEOUT_S, Slot, Writer
from topics.catalog import BY_NAME

_ALONE_WITHIN_S: Final = 3
_NEAR_RECORDS: Final = 5_000
"""So few may be left to read when the sink is held up."""


class RebuildBusy(Exception):
    """Another rebuild runs on this database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RebuildSettings:
    """What a rebuild is told."""

    bootstrap: str
    """Kafka's addresses, host:port, separated by commas."""
    dsn: str = field(repr=False)
    """Of Postgres; not shown, since it may hold a password."""
    topic_prefix: str = ""
    sink: str = "postgres"
    """The live sink, whose offsets tell up to where the tables are filled."""
    batch_records_max: int = 5_000
    mapping: VersionOne = AS_THEY_ARE
    """What the owner of V1's tables says of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """How far the shadow is."""

    records: int
    """That this run has read."""
    records_before: int
    """That an interrupted run had read before it."""
    records_left: int
    elapsed_s: float
    """Of this run's reading and writing."""
    refused: int
    """Records with a row that the database refuses, now as well."""

    @property
    def records_per_s(self) -> float:
        """Return this run's rate."""
        return self.records / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def left_s(self) -> float | None:
        """Return how long the rest may take; None when nothing was read yet."""
        return self.records_left / self.records_per_s if self.records else None


async def discard(dsn: str) -> None:
    """Drop the shadow tables that a rebuild left.

    Raises:
        RebuildBusy: a rebuild is filling them.
        psycopg.OperationalError: Postgres is away.
    """
    async with await _connected(dsn) as connection:
        await _demand_alone(connection)
        await shadow.drop(connection)


@asynccontextmanager
async def rebuilding(
    settings: RebuildSettings,
    codec: Codec,
    progress: Callable[[Loaded], None],
    seed: Path | None = None,
) -> "AsyncIterator[Rebuild]":
    """Connect, and begin a shadow or find the one that an earlier run left.

    Args:
        settings: where all is.
        codec: reads the log.
        progress: told after each batch.
        seed: a snapshot with which an empty shadow begins.

    Raises:
        SnapshotInvalid: the snapshot cannot be used.
        SinkStopped: the log or the database do not allow a rebuild; the message says why.
        RebuildBusy: another one runs.
        psycopg.OperationalError, aiokafka.errors.KafkaError: one of them is away.
    """
    async with await _connected(settings.dsn) as live:
        await _demand_alone(live)
        reader = LogReader(bootstrap=settings.bootstrap, topic_prefix=settings.topic_prefix, topics=TRUTH)
        try:
            await reader.start()
            rebuild = Rebuild(settings, codec, progress, live, reader)
            try:
                await rebuild.begin(seed)
                yield rebuild
            finally:
                await rebuild.close()
        finally:
            await reader.stop()


class Rebuild:
    """One rebuild; `rebuilding` makes it."""

    def __init__(
        self,
        settings: RebuildSettings,
        codec: Codec,
        progress: Callable[[Loaded], None],
        live: AsyncConnection[TupleRow],
        reader: LogReader,
    ) -> None:
        """Take a connection that holds the lock, and a reader that is connected."""
        self._settings = settings
        self._codec = codec
        self._progress = progress
        self._live = live
        self._reader = reader
        self._writer: Writer | None = None
        self._fitted = Fitted(targets=(), left_alone={})
        """The live tables."""
        self._positions: dict[Slot, int] = {}
        """Where the shadow stands."""
        self._records = self._before = self._refused = 0
        self._elapsed_s = 0.0
        self.seed: Manifest | None = None
        """Of the snapshot with which the shadow began in this run."""

    async def begin(self, seed: Path | None) -> None:
        """Find the shadow that an earlier run left, if it can go on, or begin anew."""
        self._fitted = await fitted(self._live, self._settings.mapping)
        goes_on = await shadow.begin(self._live, self._settings.sink, self._fitted)
        await self._seed(seed)
        try:
            targets = await self._targets()
            is_past = any(position > targets[slot] for slot, position in self._positions.items())
        except TopicRecreated:
            is_past = True
        if goes_on and is_past:
            # Rows cannot be unread: a live sink that was set back needs a shadow from the start.
            await self.close()
            await shadow.drop(self._live)
            await shadow.begin(self._live, self._settings.sink, self._fitted)
            self._positions.clear()
            await self._seed(seed)
            targets = await self._targets()
            is_past = any(position > targets[slot] for slot, position in self._positions.items())
        if is_past and self.seed is not None:
            raise DatabaseUnfit(
                "the snapshot is of a later moment than the live tables, or a topic was made anew since; "
                "take another one"
            )
        self._before = sum(self._positions.values())

    async def _seed(self, seed: Path | None) -> None:
        if seed is not None and await shadow.is_empty(self._live):
            self.seed = await snapshot.seed(self._live, seed, shadow.copied(self._fitted))

    async def snapshot(self, path: Path) -> Manifest:
        """Fill the shadow, write it to a file, and drop it.

        Raises:
            OSError: the file cannot be written; the shadow stays.
        """
        await self.load()
        made_by = await shadow.digest_of_program(self._live, self._fitted)
        manifest = await snapshot.write(self._live, path, made_by, shadow.copied(self._fitted))
        await self.discard()
        return manifest

    async def close(self) -> None:
        """Disconnect from the shadow, which stays."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    @property
    def loaded(self) -> Loaded:
        """Return what was read so far."""
        return self._loaded(left=0)

    async def load(self) -> None:
        """Fill the shadow up to where the live sink stands; `verify` and `swap` begin with it."""
        while (left := self._left(targets := await self._targets())) > 0:
            await self._fill(targets)
            if left < _NEAR_RECORDS:
                break
        await shadow.analyze(self._live, self._fitted)

    async def verify(self) -> Comparison:
        """Compare the live tables with the shadow, both as of the same records; changes nothing in them.

        The shadow stays for a later swap, unless all is equal.

        Raises:
            ProjectionsDiffer: another program's projections made the rows; nothing was read.
        """
        if (differs := await projected.difference(self._live)) is not None:
            raise projected.ProjectionsDiffer(differs)
        await self.load()
        async with await _connected(self._settings.dsn) as snapshot, snapshot.transaction():
            await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            async with self._sink_held_up():
                await self._fill(await self._targets())
                # The first query fixes what the transaction sees; the sink may then go on.
                await snapshot.execute("SELECT 1 FROM sink_offsets")
            compared = replace(
                self._compared(await compare(snapshot, compared_tables(self._fitted.targets))),
                several_outcomes=tuple(await calls_with_several(snapshot)),
            )
        if compared.is_equal:
            await self.discard()
        return compared

    async def swap(self) -> Comparison:
        """Make the live tables what the log says, offsets included, in one transaction, and drop the shadow.

        Rows that are right are not touched, and neither are those that others wrote into V1 tables. A running
        sink waits, and goes on behind it.

        Returns:
            What was wrong before.

        Raises:
            DatabaseUnfit: the live tables refuse what the shadow took; nothing was changed.
        """
        await self.load()
        tables = compared_tables(self._fitted.targets)
        try:
            async with self._sink_held_up():
                await self._fill(await self._targets())
                found = await compare(self._live, tables)
                await self._live.execute("SET LOCAL cartrita.rebuild = 'on'")
                refused = await put_right(self._live, tables, found)
                await shadow.hand_over_offsets(self._live, self._settings.sink)
                await projected.note_rebuilt(self._live)
        except psycopg.Error as error:
            if not is_of_the_row(error):
                raise
            raise DatabaseUnfit(
                f"the live tables refuse what the shadow took, and nothing was changed: {str(error).strip()}"
            ) from error
        await self.discard()
        return self._compared(found, refused)

    async def discard(self) -> None:
        """Drop the shadow."""
        await self.close()
        await shadow.drop(self._live)

    @asynccontextmanager
    async def _sink_held_up(self) -> AsyncIterator[None]:
        async with self._live.transaction():
            await self._live.execute("SET LOCAL lock_timeout = '60s'")
            # Waits for the batch that the sink is writing, and lets it begin no other.
            await self._live.execute("LOCK TABLE sink_offsets IN SHARE ROW EXCLUSIVE MODE")
            yield

    async def _targets(self) -> dict[Slot, int]:
        """Return up to where to read now, and take the positions of partitions that are new."""
        located = await self._reader.locate()
        if self._writer is None:
            self._writer = await Writer.connect(
                self._settings.dsn, self._settings.sink, schema=shadow.SCHEMA, mapping=self._settings.mapping
            )
        for slot, position in (await self._writer.positions(located.topic_ids)).items():
            if position.topic_id != located.topic_ids[slot]:
                raise TopicRecreated(f"topic {slot[0]} was deleted and made anew: run the rebuild again")
            self._positions[slot] = position.next_offset
        _demand_whole_log(located, self._positions)
        live = await shadow.live_positions(self._live, self._settings.sink)
        return shadow.targets(live, located.topic_ids, located.bounds)

    async def _fill(self, targets: Mapping[Slot, int]) -> None:
        """Read and write up to `targets`; what comes next is decoded while the batch before it is written."""
        began_s, before_s = time.monotonic(), self._elapsed_s
        self._reader.seek(self._positions, targets)
        writing: asyncio.Task[None] | None = None
        try:
            while found := await self._reader.fetch(self._settings.batch_records_max):
                batch = await self._taken(found)
                if writing is not None:
                    await writing
                writing = asyncio.create_task(store(batch, self._write, self._put_aside))
                self._records += len(batch)
                self._elapsed_s = before_s + time.monotonic() - began_s
                self._progress(self._loaded(self._left(targets)))
            if writing is not None:
                await writing
        finally:
            if writing is not None:
                writing.cancel()
        await shadow.settle(self._live, self._settings.sink, targets)
        self._positions.update(targets)
        self._elapsed_s = before_s + time.monotonic() - began_s

    async def _taken(self, found: Sequence[Delivery]) -> list[Taken]:
        batch = []
        for number, delivery in enumerate(found):
            batch.append(await take(delivery, self._codec))
            if number % YIELD_RECORDS == 0:
                await asyncio.sleep(0)
        return batch

    async def _write(self, part: Sequence[Taken]) -> None:
        assert self._writer is not None
        try:
            await self._writer.write([taken.projected for taken in part], self._positions)
        except psycopg.Error as error:
            if not is_of_the_row(error):
                raise
            raise RowRefused(str(error).strip()) from error
        for taken in part:
            place = taken.delivery.place
            self._positions[place.topic, place.partition] = place.offset + 1

    async def _put_aside(self, taken: Taken) -> None:
        # Its dead letter is on the log already, if the live sink was refused it too.
        self._refused += 1

    def _left(self, targets: Mapping[Slot, int]) -> int:
        return sum(max(0, end - self._positions[slot]) for slot, end in targets.items())

    def _loaded(self, left: int) -> Loaded:
        return Loaded(
            records=self._records,
            records_before=self._before,
            records_left=left,
            elapsed_s=self._elapsed_s,
            refused=self._refused,
        )

    def _compared(self, found: list[TableComparison], refused: Mapping[str, int] | None = None) -> Comparison:
        left_alone = tuple(self._fitted.left_alone)
        return Comparison(tables=tuple(found), left_alone=left_alone, refused=refused or {})


async def _connected(dsn: str) -> AsyncConnection[TupleRow]:
    connection = await AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name="cartrita-rebuild"
    )
    # As the writer has it: no trigger stamps what is put right, and times read the same.
    await connection.execute("SELECT set_config('cartrita.sink', 'on', false)")
    await connection.execute("SET TIME ZONE 'UTC'")
    return connection


async def _demand_alone(connection: AsyncConnection[TupleRow]) -> None:
    # One that ended just now has the lock until Postgres notices. The lock outlives the transaction.
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL lock_timeout = '{_ALONE_WITHIN_S}s'".encode())
            await connection.execute("SELECT pg_advisory_lock(%s)", [shadow.LOCK])
    except LockNotAvailable as error:
        raise RebuildBusy("another rebuild runs on this database") from error


def _demand_whole_log(located: Located, positions: Mapping[Slot, int]) -> None:
    for (topic, partition), (first, _) in sorted(located.bounds.items()):
        if first > positions.get((topic, partition), 0) and BY_NAME[topic].cleanup != "compact":
            raise RecordsMissing(
                f"{topic}/{partition} begins at offset {first}: what stood before is no longer on the log, "
                "so that no table can be rebuilt from it alone; restore the topic from its archive, or begin "
                "with a snapshot that reaches as far"
            )
