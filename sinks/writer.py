"""Writes batches of projected records to Postgres: rows and offsets in one transaction, each event once."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.event_log import COLUMNS, LogRow
from processors.projections.rows import Place, RowChange, fold
from sinks import projected
from sinks.copying import rows_text
from sinks.errors import DatabaseUnfit, OffsetsMoved, RowRefused, is_passing
from sinks.fitting import Fitted, fitted
from sinks.mapping import AS_THEY_ARE, VersionOne
from sinks.staging import statements
from topics.catalog import SESSION_IMPORTS

CONNECT_TIMEOUT_S: Final = 10

_LOG_COLUMNS: Final = ", ".join(f'"{name}"' for name in COLUMNS)
_LOG_TEXT: Final = rows_text(tuple(COLUMNS.values()))
_COPY_LOG: Final = f"COPY event_log ({_LOG_COLUMNS}) FROM STDIN".encode()
_CREATE_LOG_STAGE: Final = "CREATE TEMP TABLE stage_event_log (LIKE event_log)"
_COPY_LOG_STAGE: Final = f"COPY stage_event_log ({_LOG_COLUMNS}) FROM STDIN".encode()
_INSERT_LOG: Final = f"""
    WITH staged AS (DELETE FROM stage_event_log RETURNING *)
    INSERT INTO event_log ({_LOG_COLUMNS})
    SELECT {_LOG_COLUMNS} FROM staged ORDER BY topic, partition, "offset"
    ON CONFLICT DO NOTHING
    RETURNING topic, partition, "offset"
"""  # noqa: S608  # names of our own columns
_TRUNCATE_LOG_STAGE: Final = b"TRUNCATE stage_event_log"
_STAGED_ROWS_MAX: Final = 5_000
"""After so many rows a staging table is cut off: what is deleted still takes a moment to go past."""
_MOVE_OFFSETS: Final = """
    UPDATE sink_offsets o
    SET next_offset = m.next_offset
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[])
        AS m(topic, partition, expected, next_offset)
    WHERE o.sink = %s AND o.topic = m.topic AND o.partition = m.partition AND o.next_offset = m.expected
"""
_FIND_OFFSETS: Final = """
    INSERT INTO sink_offsets (sink, topic, partition, topic_id, next_offset)
    SELECT %s, topic, partition, topic_id, 0
    FROM unnest(%s::text[], %s::int[], %s::uuid[]) AS wanted(topic, partition, topic_id)
    ON CONFLICT DO NOTHING
"""
_READ_OFFSETS: Final = "SELECT topic, partition, topic_id, next_offset FROM sink_offsets WHERE sink = %s"
# The log's own rows, so that a conflict within one batch is seen as well as one with an earlier batch.
_SEQUENCE_CONFLICTS: Final = """
    SELECT e.session_id, e.sequence, count(*)
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS w(session_id, first, last)
    JOIN event_log e ON e.session_id = w.session_id AND e.sequence BETWEEN w.first AND w.last
    GROUP BY 1, 2
    HAVING count(DISTINCT e.event_id) > 1
"""
_LOOK_FIRST: Final = (
    "SELECT set_config('search_path', quote_ident(%s) || ', ' || current_setting('search_path'), false)"
)
_CHECK_NOW: Final = "SET CONSTRAINTS ALL IMMEDIATE"
_PLACE_OF: Final = attrgetter("topic", "partition", "offset")

Slot = tuple[str, int]
"""Topic name and partition."""


class Projected(NamedTuple):
    """A record on its way into Postgres."""

    place: Place
    log: LogRow | None
    """None for a record that is put aside: only its offset counts."""
    changes: tuple[RowChange, ...] = ()
    leaves_out: frozenset[str] = frozenset()
    """Tables of V1 that refused its rows; only of a record that is written by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceConflict:
    """A session in which two events have one number: two owners decided for it at once."""

    session_id: str
    sequence: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What one batch came to."""

    fresh: frozenset[tuple[str, int, int]]
    """Topic, partition and offset of what was not logged before, under whatever place."""
    rows: Mapping[str, int]
    """By table, rows inserted or updated."""
    conflicts: tuple[SequenceConflict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where a sink goes on reading."""

    topic_id: UUID
    next_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """A batch, as far as it can be made ready without Postgres."""

    records: Sequence[Projected]
    logged: Sequence[LogRow]
    log_text: bytes
    staged: Mapping[str, tuple[int, bytes]]
    """By table, parents first: how many rows are to be written, and their text."""
    leaves_out: frozenset[str]


class Writer:
    """One connection to Postgres, set up for one sink; `connect` makes it."""

    def __init__(
        self,
        connection: AsyncConnection[TupleRow],
        sink: str,
        found: Fitted,
        *,
        looks_for_conflicts: bool = True,
    ) -> None:
        """Take a connection whose staging tables exist."""
        self._connection = connection
        self._sink = sink
        self.fitted = found
        self._statements = {target.name: statements(target) for target in found.targets}
        self._own = {target.table.name for target in found.targets if target.name != target.table.name}
        """What V2 has of its own beside a table of V1."""
        self._looks_for_conflicts = looks_for_conflicts
        self._staged_rows: Counter[bytes] = Counter()
        """How many rows went through a staging table since it was cut off, by the statement that does it."""

    @classmethod
    async def connect(
        cls, dsn: str, sink: str, *, schema: str | None = None, mapping: VersionOne = AS_THEY_ARE
    ) -> "Writer":
        """Connect and set up the staging tables.

        Args:
            dsn: of Postgres.
            sink: under this name offsets are kept.
            schema: of a shadow, whose tables are written. It has no index to find conflicts by.
            mapping: what the owner of V1's tables says of them.

        Raises:
            DatabaseUnfit: tables are missing, or V1's sessions cannot take what events say.
            psycopg.OperationalError: the server is away.
        """
        connection = await AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S, application_name=f"cartrita-sink-{sink}"
        )
        try:
            # Keeps the updated_at trigger away, and makes times mean the same in any V1 column.
            await connection.execute("SELECT set_config('cartrita.sink', 'on', false)")
            await connection.execute("SET TIME ZONE 'UTC'")
            await connection.execute("SET client_min_messages = warning")
            found = await fitted(connection, mapping)
            await _demand_log(connection)
            if schema is None:
                await projected.note_writing(connection)
            else:
                await connection.execute(_LOOK_FIRST, [schema])
            writer = cls(connection, sink, found, looks_for_conflicts=schema is None)
            for made in writer._statements.values():
                await connection.execute(made.create)
            await connection.execute(_CREATE_LOG_STAGE)
        except BaseException:
            await connection.close()
            raise
        return writer

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def positions(self, topic_ids: Mapping[Slot, UUID]) -> dict[Slot, Position]:
        """Return where to go on reading these partitions; 0 for one that was never read."""
        slots = sorted(topic_ids)
        async with self._connection.transaction():
            await self._connection.execute(
                _FIND_OFFSETS,
                [self._sink, [s[0] for s in slots], [s[1] for s in slots], [topic_ids[s] for s in slots]],
            )
            cursor = await self._connection.execute(_READ_OFFSETS, [self._sink])
            rows = await cursor.fetchall()
        found = {(row[0], row[1]): Position(topic_id=row[2], next_offset=row[3]) for row in rows}
        return {slot: found[slot] for slot in slots}

    async def write(
        self,
        records: Sequence[Projected],
        expected: Mapping[Slot, int],
        *,
        before_commit: Callable[[], None] = lambda: None,
    ) -> Written:
        """Write records and move the offsets past them, or do nothing.

        Args:
            records: of each partition in the order of offsets.
            expected: by partition where the sink stands before them.
            before_commit: called when all is written and the transaction is still open.

        Raises:
            OffsetsMoved: another sink has moved them.
            RowRefused: a table of V1 refused a row.
            psycopg.Error: the database refused; sinks.errors tells what to do.
        """
        # All that takes time here comes before the transaction, which then only waits for Postgres, while
        # the next batch is decoded.
        prepared = self._prepared(records)
        is_whole = False
        try:
            async with self._connection.transaction():
                written = await self._write(prepared, expected)
                before_commit()
                is_whole = True
        except psycopg.Error as error:
            if not is_whole or is_passing(error):
                raise
            # What others defer to the end of the transaction refuses by any code and seldom says whose row.
            mirrors = await self._at_fault(prepared, expected) if len(records) == 1 else frozenset[str]()
            raise RowRefused(str(error).strip(), mirrors=mirrors, of_v1=True) from error
        return written

    async def _write(self, prepared: _Prepared, expected: Mapping[Slot, int]) -> Written:
        records, logged = prepared.records, prepared.logged
        await self._move(records, expected)
        fresh = await self._log(logged, prepared.log_text)
        staged = prepared.staged
        if len(fresh) < len(logged):
            new = [one for one in records if one.log is not None and _PLACE_OF(one.log) in fresh]
            staged = self._staged(new, prepared.leaves_out)
        rows = {table: await self._guarded(table, *folded) for table, folded in staged.items()}
        return Written(fresh=frozenset(fresh), rows=rows, conflicts=await self._conflicts(logged))

    async def _at_fault(self, prepared: _Prepared, expected: Mapping[Slot, int]) -> frozenset[str]:
        """Return the tables of V1 without whose rows one record can be written; none: it cannot."""
        mirrors = frozenset(filter(self._is_mirror, prepared.staged))
        for tables in (*(frozenset({name}) for name in sorted(mirrors)), mirrors):
            rest = prepared.records[0]._replace(leaves_out=prepared.leaves_out | tables)
            try:
                async with self._connection.transaction(force_rollback=True):
                    await self._write(self._prepared([rest]), expected)
                    await self._connection.execute(_CHECK_NOW)
            except RowRefused:
                continue
            except psycopg.Error as error:
                if is_passing(error):
                    raise
                continue
            return tables
        return frozenset()

    def _prepared(self, records: Sequence[Projected]) -> _Prepared:
        logged = sorted((record.log for record in records if record.log is not None), key=_PLACE_OF)
        leaves_out = frozenset[str]().union(*(record.leaves_out for record in records))
        assert not leaves_out or len(records) == 1
        staged = self._staged(records, leaves_out)
        return _Prepared(
            records=records, logged=logged, log_text=_LOG_TEXT(logged), staged=staged, leaves_out=leaves_out
        )

    async def _move(self, records: Sequence[Projected], expected: Mapping[Slot, int]) -> None:
        # First of all, so that a sink that was left behind waits here and then finds that it was.
        following: dict[Slot, int] = {}
        for record in records:
            following[record.place.topic, record.place.partition] = record.place.offset + 1
        slots = sorted(following)
        cursor = await self._connection.execute(
            _MOVE_OFFSETS,
            [
                [slot[0] for slot in slots],
                [slot[1] for slot in slots],
                [expected[slot] for slot in slots],
                [following[slot] for slot in slots],
                self._sink,
            ],
        )
        if cursor.rowcount != len(slots):
            raise OffsetsMoved(f"{len(slots) - cursor.rowcount} of {len(slots)} partitions")

    async def _log(self, rows: Sequence[LogRow], text: bytes) -> set[tuple[str, int, int]]:
        """Log what is not logged yet, and return where it stands.

        Args:
            rows: ordered by place, so that sinks that log the same event from two places wait for each other
                in turn.
            text: of the rows.
        """
        if not rows:
            return set()
        try:
            async with self._connection.transaction():
                await self._copy(_COPY_LOG, text)
        except (psycopg.errors.UniqueViolation, psycopg.errors.FeatureNotSupported):
            # Some are there already, as after a crash or a producer's retry: then each is looked at. Or the
            # table is another role's: where it has policies, only its owner may copy into it.
            await self._copy(_COPY_LOG_STAGE, text)
            cursor = await self._connection.execute(_INSERT_LOG)
            fresh = {(row[0], row[1], row[2]) for row in await cursor.fetchall()}
            await self._free(_TRUNCATE_LOG_STAGE, len(rows))
            return fresh
        return set(map(_PLACE_OF, rows))

    def _staged(
        self, records: Sequence[Projected], leaves_out: frozenset[str]
    ) -> dict[str, tuple[int, bytes]]:
        """Return by table, parents first, how many rows are to be written, and their text."""
        every = mirrored = fold(change for record in records for change in record.changes)
        if self._own and any(record.place.topic == SESSION_IMPORTS.name for record in records):
            # What came over from V1 stands in its own table already, under ids of its own.
            ours = [record for record in records if record.place.topic != SESSION_IMPORTS.name]
            mirrored = fold(change for record in ours for change in record.changes)
        staged = {}
        for name, made in self._statements.items():
            table = made.target.table.name
            rows = (mirrored if name == table and table in self._own else every).get(table)
            if rows and name not in leaves_out:
                staged[name] = (len(rows), made.text(rows))
        return staged

    async def _guarded(self, table: str, number: int, text: bytes) -> int:
        """Write the rows of one table; what a table of V1 refuses is a row, whatever Postgres calls it.

        Checks, triggers and row-level security of others refuse by any code.
        """
        try:
            return await self._apply(table, number, text)
        except psycopg.Error as error:
            if not self._is_of_v1(table) or is_passing(error):
                raise
            mirrors = frozenset({table} if self._is_mirror(table) else ())
            raise RowRefused(str(error).strip(), mirrors=mirrors, of_v1=True) from error

    def _is_of_v1(self, table: str) -> bool:
        made = self._statements[table].target
        return made.table.version_one and made.name == made.table.name

    def _is_mirror(self, table: str) -> bool:
        """Tell whether it is a table of V1's to which nothing of V2's refers."""
        return self._is_of_v1(table) and (table != "sessions" or table in self._own)

    async def _apply(self, table: str, number: int, text: bytes) -> int:
        """Write the rows of one table, and return how many were inserted or updated."""
        made = self._statements[table]
        await self._copy(made.copy, text)
        if made.number:
            await self._connection.execute(made.number)
        written = (await self._connection.execute(made.insert)).rowcount
        if written < number:
            written += (await self._connection.execute(made.update)).rowcount
        await self._free(made.truncate, number)
        return written

    async def _free(self, truncate: bytes, number: int) -> None:
        """Cut off a staging table, which is empty, when many rows have gone through it."""
        self._staged_rows[truncate] += number
        if self._staged_rows[truncate] >= _STAGED_ROWS_MAX:
            await self._connection.execute(truncate)
            del self._staged_rows[truncate]

    async def _copy(self, statement: bytes, text: bytes) -> None:
        async with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(text)

    async def _conflicts(self, rows: Sequence[LogRow]) -> tuple[SequenceConflict, ...]:
        written: dict[str, list[int]] = {}
        for row in rows:
            if row.sequence > 0 and row.session_id is not None:
                written.setdefault(row.session_id, []).append(row.sequence)
        if not written or not self._looks_for_conflicts:
            return ()
        cursor = await self._connection.execute(
            _SEQUENCE_CONFLICTS,
            [list(written), [min(found) for found in written.values()], [max(f) for f in written.values()]],
        )
        return tuple(
            SequenceConflict(session_id=str(row[0]), sequence=row[1], events=row[2])
            for row in await cursor.fetchall()
        )


async def _demand_log(connection: AsyncConnection[TupleRow]) -> None:
    for table in ("event_log", "sink_offsets", "projections"):
        cursor = await connection.execute("SELECT to_regclass(%s) IS NULL", [table])
        if await cursor.fetchone() == (True,):
            raise DatabaseUnfit(f"the database has no table {table}: run the migrations first")
