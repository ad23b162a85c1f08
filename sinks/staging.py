"""The SQL by which folded rows get into their tables: COPY to a staging table, then insert, then update.

Not one `ON CONFLICT DO UPDATE`: a change names only some columns, and what a new row has in the others must
not overwrite what a row that exists has. The insert comes first and waits for whoever inserts the same row;
what it did not insert is then there to update.

Both take their rows out of the staging table, which so is empty again. `ON COMMIT DELETE ROWS` would cut all
staging tables off at the end of each transaction, which takes longer than a small batch does for all else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from processors.projections.tables import Column, Resolve, Table
from sinks.copying import FoldedText, folded_text

_SUM_MAX = {"bigint": 2**63 - 1, "integer": 2**31 - 1}
_NO_TIME = "'epoch'::timestamptz"
"""For a V1 table that demands a time where none is known yet: its default would be the time of writing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """All that writing one table takes."""

    columns: tuple[str, ...]
    """What is copied, beside the id that comes first."""
    text: FoldedText
    """Makes what `copy` takes."""
    create: bytes
    copy: bytes
    insert: bytes
    """Inserts what is not there, and drops it from the staging table."""
    update: bytes
    """Updates what was there, and empties the staging table."""
    truncate: bytes
    """Frees what deleted rows have left in the staging table."""


def statements(table: Table, nullable: Mapping[str, bool]) -> Statements:
    """Make the SQL for those columns of `table` that the database has; by column, whether it may be null."""
    columns = tuple(column for column in table.columns if column.name in nullable)
    stage = f"stage_{table.name}"
    names = tuple(column.name for column in columns)
    listed = ", ".join(("id", *names))
    initial = {c.name: _initial(c, may_be_null=nullable[c.name]) for c in columns}
    fresh = ", ".join(("s.id", *(f"{_staged(c, initial[c.name])}" for c in columns)))
    sets = ", ".join(f"{c.name} = {_resolved(c, initial[c.name])}" for c in columns)
    said = " OR ".join(f"s.{name} IS NOT NULL" for name in names)
    types = ", ".join(("id uuid", *(f"{c.name} {_staging_type(c)}" for c in columns)))
    return Statements(
        columns=names,
        text=folded_text({column.name: column.type for column in columns}),
        create=f"CREATE TEMP TABLE {stage} ({types})".encode(),
        copy=f"COPY {stage} ({listed}) FROM STDIN".encode(),
        insert=(
            f"WITH fresh AS (INSERT INTO {table.name} ({listed}) SELECT {fresh} FROM {stage} s ORDER BY s.id "  # noqa: S608  # names of our own tables
            f"ON CONFLICT (id) DO NOTHING RETURNING id) "
            f"DELETE FROM {stage} s USING fresh WHERE s.id = fresh.id".encode()
        ),
        update=(
            f"WITH s AS (DELETE FROM {stage} RETURNING *) "  # noqa: S608  # as above
            f"UPDATE {table.name} t SET {sets} FROM s WHERE t.id = s.id AND ({said})".encode()
        ),
        truncate=f"TRUNCATE {stage}".encode(),
    )


def _initial(column: Column, *, may_be_null: bool) -> str:
    if column.initial == "NULL" and column.type == "timestamptz" and not may_be_null:
        return _NO_TIME
    return column.initial


def _staging_type(column: Column) -> str:
    # Sums of one batch may be more than the column holds.
    return "numeric" if column.resolve is Resolve.ADD else column.type


def _staged(column: Column, initial: str) -> str:
    if column.resolve is Resolve.ADD:
        return _sum(column, f"COALESCE(s.{column.name}, {initial})")
    return f"s.{column.name}" if initial == "NULL" else f"COALESCE(s.{column.name}, {initial})"


def _resolved(column: Column, initial: str) -> str:
    there, said = f"t.{column.name}", f"s.{column.name}"
    match column.resolve:
        case Resolve.LAST:
            return f"COALESCE({said}, {there})"
        case Resolve.FIRST:
            known = there if initial == "NULL" else f"NULLIF({there}, {initial})"
            return f"COALESCE({known}, {said}, {there})"
        case Resolve.GREATEST:
            return f"GREATEST({there}, {said})"
        case Resolve.ADD:
            return _sum(column, f"COALESCE({there}, {initial})::numeric + COALESCE({said}, 0)")


def _sum(column: Column, total: str) -> str:
    most = _SUM_MAX[column.type]
    return f"LEAST(GREATEST({total}, -{most}), {most})::{column.type}"
