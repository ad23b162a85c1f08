"""Compares the live tables with their shadow, row by row, and puts the live ones right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from processors.projections.columns import Resolve
from processors.projections.event_log import COLUMNS
from processors.projections.imports import ADOPTED
from sinks.errors import is_passing
from sinks.forms import Target, literal
from sinks.outcomes import Outcomes
from sinks.shadow import SCHEMA
from sinks.staging import quoted
from topics.catalog import TOPICS

SHOWN_MAX: Final = 5
"""Rows of a table that differ and are shown."""
_CHECK_NOW: Final = "SET CONSTRAINTS ALL IMMEDIATE"
_COMPACTED: Final = tuple(topic.name for topic in TOPICS if topic.is_truth and topic.cleanup == "compact")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What of one table is compared."""

    name: str
    keys: tuple[str, ...]
    columns: tuple[str, ...]
    """What projections write, beside the keys."""
    adoptable: frozenset[str] = frozenset()
    """Which of them are V1's alone in a row that V2 adopted, and are not compared there."""
    earlier: tuple[str, ...] = ()
    """Times that may be earlier in the live table: others may have written the row first."""
    stays: str = "false"
    """SQL: which live rows may be there without the log having them."""
    also: tuple[str, ...] = ()
    """What only a row that is put there gets: constants in a table of V1, which others may change."""
    override: str = ""
    """SQL that an insert needs where keys are identities."""
    is_of_v1: bool = False
    """True: others write it as well, and may have it refuse rows."""
    is_replaced: bool = False
    """True: rows that differ are deleted and inserted. False: updated, since others refer to them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnDifference:
    """One column of a row that differs."""

    name: str
    live: object
    rebuilt: object


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDifference:
    """A row that is not as the log says."""

    key: tuple[object, ...]
    kind: str
    """`missing` in the live table; `surplus` there; or `different`."""
    columns: tuple[ColumnDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableComparison:
    """How one table compares."""

    table: str
    rows_live: int
    """Without those that stay."""
    rows_rebuilt: int
    rows_kept: int
    """Live rows that the log does not have and that stay: of others, or compacted away."""
    checksum_live: str
    checksum_rebuilt: str
    """Sum of the rows' hashes, in whatever order they stand."""
    missing: int
    surplus: int
    different: int
    first: tuple[RowDifference, ...]
    """The first rows that differ, by their keys."""

    @property
    def is_equal(self) -> bool:
        """Tell whether every row is as the log says."""
        return not (self.missing or self.surplus or self.different)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How the live tables compare with what the log says."""

    tables: tuple[TableComparison, ...]
    left_alone: tuple[str, ...]
    """V1 tables in another form, which the sink does not fill either."""
    refused: Mapping[str, int]
    """By V1 table how many rows it refused when they were put right."""
    several_outcomes: tuple[Outcomes, ...] = ()
    """Calls that have more than one; rows cannot say which of them counts."""

    @property
    def is_equal(self) -> bool:
        """Tell whether every row is as the log says."""
        return all(table.is_equal for table in self.tables)


# What the design's own backfill script wrote past the log; it stays until `cartrita backfill` takes it over.
_ITS_ROOTS: Final = (
    "SELECT id FROM tasks_v2 WHERE parent_id IS NULL AND intent = 'root_conversation_objective' "
    "AND spec_json ->> 'inferred_from' = 'v1_backfill' AND NOT spec_json ? 'origin'"
)
_LEFT_BEHIND: Final = {
    "tasks_v2": f"(id IN ({_ITS_ROOTS}) OR parent_id IN ({_ITS_ROOTS}))",
    "graph_snapshots": "(node_name = 'migration_baseline' AND snapshot_json ? 'migration_info' "
    "AND NOT snapshot_json -> 'migration_info' ? 'origin')",
    "retrieval_metrics": '(model_feedback = \'{"source": "v1_backfill"}\'::jsonb)',
    # It gave random ids; all of the log's are made of names.
    "tool_capability_index": "(substr(id::text, 15, 1) = '4')",
}


def compared_tables(targets: Sequence[Target]) -> tuple[Compared, ...]:
    """Return what is compared, parents first, of the tables that are written."""
    log = Compared(
        name="event_log",
        keys=("topic", "partition", '"offset"'),
        columns=tuple(name for name in COLUMNS if name not in ("topic", "partition", "offset")),
        stays="topic IN ({})".format(", ".join(f"'{name}'" for name in _COMPACTED)),
        is_replaced=True,
    )
    return (log, *map(_compared, targets))


def _compared(target: Target) -> Compared:
    is_of_v1 = target.table.version_one and target.name == target.table.name
    earlier = {
        one.name
        for one in target.columns
        if is_of_v1
        and one.is_alike
        and one.column.type == "timestamptz"
        and one.column.resolve is Resolve.FIRST
    }
    return Compared(
        name=target.name,
        keys=(target.key,),
        adoptable=frozenset(
            one.name for one in target.columns if one.is_of_v1 and "graph_node" in target.written
        ),
        columns=tuple(name for name in target.written if name not in earlier),
        earlier=tuple(name for name in target.written if name in earlier),
        also=tuple(target.constants),
        override=" OVERRIDING SYSTEM VALUE" if target.demands_override else "",
        stays="true" if is_of_v1 else _LEFT_BEHIND.get(target.table.name, "false"),
        is_of_v1=is_of_v1,
    )


async def compare(connection: AsyncConnection[TupleRow], tables: Sequence[Compared]) -> list[TableComparison]:
    """Compare tables with their shadows; `connection` is in a transaction that sees them at one moment.

    Of each table that differs, a temporary table `differing_…` tells the rows until the transaction ends.
    """
    return [await _compare(connection, table) for table in tables]


async def put_right(
    connection: AsyncConnection[TupleRow], tables: Sequence[Compared], comparisons: Sequence[TableComparison]
) -> dict[str, int]:
    """Make the live tables what their shadows are, in the transaction in which they were compared.

    Returns:
        By table of V1 how many rows it refuses; they are left as they are.
    """
    wrong = [table for table, one in zip(tables, comparisons, strict=True) if not one.is_equal]
    for table in reversed(wrong):
        also = " OR (d.is_live AND d.is_rebuilt)" if table.is_replaced else ""
        same = " AND ".join(f"t.{key} = d.{key}" for key in table.keys)
        await _run(
            connection,
            f"DELETE FROM {table.name} t USING {_differing(table)} d "  # noqa: S608  # names of our own tables
            f"WHERE {same} AND (NOT d.is_rebuilt{also})",
        )
    try:
        async with connection.transaction():
            refused = await _put(connection, wrong)
            await _run(connection, _CHECK_NOW)
    except psycopg.Error as error:
        if is_passing(error):
            raise
        # What V1 defers to the end of the transaction would take back all of it: each row is asked at once.
        await _run(connection, _CHECK_NOW)
        refused = await _put(connection, wrong)
    return refused


async def _put(connection: AsyncConnection[TupleRow], wrong: Sequence[Compared]) -> dict[str, int]:
    refused = {}
    for table in wrong:
        if not table.is_of_v1:
            await _run(connection, _insert(table))
        elif number := await _insert_guarded(connection, table):
            refused[table.name] = number
    return refused


async def _insert_guarded(connection: AsyncConnection[TupleRow], table: Compared) -> int:
    """Put rows into a table of V1, all at once or else one by one; returns how many it refuses."""
    if await _takes(connection, _insert(table)):
        return 0
    refused = 0
    keys = await (await _run(connection, f"SELECT id::text FROM {_differing(table)} ORDER BY id")).fetchall()  # noqa: S608
    for (key,) in keys:
        refused += not await _takes(connection, _insert(table, key))
    return refused


async def _takes(connection: AsyncConnection[TupleRow], statement: str) -> bool:
    try:
        async with connection.transaction():
            await _run(connection, statement)
    except psycopg.Error as error:
        if is_passing(error):
            raise
        return False
    return True


def _insert(table: Compared, key: str | None = None) -> str:
    """Return what puts the rows that differ, or the one of that key, into the live table."""
    keys = ", ".join(table.keys)
    every = (*table.keys, *map(quoted, (*table.columns, *table.earlier, *table.also)))
    sets = [f"{quoted(name)} = {_put_value(table, name)}" for name in table.columns]
    sets += [f"{quoted(name)} = LEAST(t.{quoted(name)}, EXCLUDED.{quoted(name)})" for name in table.earlier]
    only = "" if key is None else f"WHERE d.id::text = {literal(key)} "
    return (
        f"INSERT INTO {table.name} AS t ({', '.join(every)}){table.override} "  # noqa: S608  # quoted names
        f"SELECT {', '.join(f's.{name}' for name in every)} "
        f"FROM {SCHEMA}.{table.name} s JOIN {_differing(table)} d USING ({keys}) {only}"
        f"ORDER BY {', '.join(f's.{key}' for key in table.keys)} "
        f"ON CONFLICT ({keys}) DO " + (f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING")
    )


def _put_value(table: Compared, name: str) -> str:
    if name not in table.adoptable:
        return f"EXCLUDED.{quoted(name)}"
    return (
        f"CASE WHEN EXCLUDED.graph_node = '{ADOPTED}' THEN t.{quoted(name)} ELSE EXCLUDED.{quoted(name)} END"
    )


async def _compare(connection: AsyncConnection[TupleRow], table: Compared) -> TableComparison:
    cursor = await _run(connection, f"{_paired(table)} SELECT {_COUNTS} FROM paired")  # noqa: S608  # as above
    counted = await cursor.fetchone()
    assert counted is not None
    live, rebuilt, kept, sum_live, sum_rebuilt, missing, surplus, different = counted
    first: tuple[RowDifference, ...] = ()
    if missing or surplus or different:
        await _run(connection, _collect(table))
        first = await _first(connection, table)
    return TableComparison(
        table=table.name,
        rows_live=live,
        rows_rebuilt=rebuilt,
        rows_kept=kept,
        checksum_live=_checksum(sum_live),
        checksum_rebuilt=_checksum(sum_rebuilt),
        missing=missing,
        surplus=surplus,
        different=different,
        first=first,
    )


# Of each pair: the hashes of the live and of the rebuilt row, NULL where there is none.
_COUNTS: Final = """
    count(live) FILTER (WHERE NOT is_kept), count(rebuilt), count(*) FILTER (WHERE is_kept),
    COALESCE(sum(live) FILTER (WHERE NOT is_kept), 0), COALESCE(sum(rebuilt), 0),
    count(*) FILTER (WHERE live IS NULL), count(*) FILTER (WHERE rebuilt IS NULL AND NOT is_kept),
    count(*) FILTER (WHERE live <> rebuilt)
"""


def _paired(table: Compared) -> str:
    keys = ", ".join(table.keys)
    earlier = [quoted(name) for name in table.earlier]
    carried = "".join(f", {name}" for name in earlier)
    # Hashed before they are joined: a join that carries whole rows would spill to disk.
    hashed = f"{_hash([_compared_value(table, name) for name in table.columns])} AS hash"
    live, rebuilt = "l.hash", "s.hash"
    if earlier:
        times = [f"CASE WHEN l.{name} < s.{name} THEN s.{name} ELSE l.{name} END" for name in earlier]
        live = f"CASE WHEN l.hash IS NOT NULL THEN {_hash(['l.hash', *times])} END"
        own = _hash(["s.hash", *(f"s.{name}" for name in earlier)])
        rebuilt = f"CASE WHEN s.hash IS NOT NULL THEN {own} END"
    return (
        f"WITH paired AS (SELECT {keys}, {live} AS live, {rebuilt} AS rebuilt, "  # noqa: S608  # our own names
        f"s.hash IS NULL AND l.stays AS is_kept "
        f"FROM (SELECT {keys}, {hashed}{carried}, {table.stays} AS stays FROM {table.name}) l "
        f"FULL JOIN (SELECT {keys}, {hashed}{carried} FROM {SCHEMA}.{table.name}) s USING ({keys}))"
    )


def _compared_value(table: Compared, name: str) -> str:
    if name not in table.adoptable:
        return quoted(name)
    return f"CASE WHEN graph_node IS DISTINCT FROM '{ADOPTED}' THEN {quoted(name)} END"


def _hash(expressions: Sequence[str]) -> str:
    return f"hashtextextended(ROW({', '.join(expressions)})::text, 0)"


def _collect(table: Compared) -> str:
    return (
        f"CREATE TEMP TABLE {_differing(table)} ON COMMIT DROP AS {_paired(table)} "  # noqa: S608  # as above
        f"SELECT {', '.join(table.keys)}, live IS NOT NULL AS is_live, rebuilt IS NOT NULL AS is_rebuilt "
        f"FROM paired WHERE live IS DISTINCT FROM rebuilt AND NOT is_kept"
    )


async def _first(connection: AsyncConnection[TupleRow], table: Compared) -> tuple[RowDifference, ...]:
    keys = ", ".join(table.keys)
    cursor = await _run(
        connection,
        f"SELECT {keys}, to_jsonb(l), to_jsonb(s) FROM {_differing(table)} d "  # noqa: S608  # as above
        f"LEFT JOIN {table.name} l USING ({keys}) LEFT JOIN {SCHEMA}.{table.name} s USING ({keys}) "
        f"ORDER BY {keys} LIMIT {SHOWN_MAX}",
    )
    return tuple(_difference(table, row) for row in await cursor.fetchall())


def _difference(table: Compared, row: TupleRow) -> RowDifference:
    live, rebuilt = row[-2], row[-1]
    kind = "missing" if live is None else "surplus" if rebuilt is None else "different"
    columns: tuple[ColumnDifference, ...] = ()
    if kind == "different":
        columns = tuple(
            ColumnDifference(name=name, live=live[name], rebuilt=rebuilt[name])
            for name in (*table.columns, *table.earlier)
            if live[name] != rebuilt[name]
        )
    return RowDifference(key=tuple(row[:-2]), kind=kind, columns=columns)


def _differing(table: Compared) -> str:
    return f"differing_{table.name}"


def _checksum(total: object) -> str:
    return f"{int(str(total)) % 2**64:016x}"


async def _run(connection: AsyncConnection[TupleRow], statement: str) -> AsyncCursor[TupleRow]:
    return await connection.execute(statement.encode())
