"""The SQL by which folded rows get into their tables: COPY to a staging table, then insert, then update.

Not one `ON CONFLICT DO UPDATE`: a change names only some columns, and what a new row has in the others must
not overwrite what a row that exists has. The insert comes first and waits for whoever inserts the same row;
what it did not insert is then there to update.

Both take their rows out of the staging table, which so is empty again. `ON COMMIT DELETE ROWS` would cut all
staging tables off at the end of each transaction, which takes longer than a small batch does for all else.
"""

import re
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from processors.projections.columns import Column, Resolve
from processors.projections.imports import ADOPTED
from sinks.copying import FoldedText, folded_text
from sinks.forms import Filled, Target, literal
from sinks.mapping import IdForm

IDS: Final = "version_one_ids"
"""Keeps which number stands for which id in a table of V1."""
_SAYS_ADOPTED: Final = "graph_node"
_SUM_MAX = {"bigint": 2**63 - 1, "integer": 2**31 - 1}
_LENGTH = re.compile(r"character(?: varying)?\((\d+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """All that writing one table takes."""

    target: Target
    text: FoldedText
    """Makes what `copy` takes."""
    create: bytes
    copy: bytes
    number: bytes
    """Gives numbers to ids that have none yet; nothing where ids are no numbers."""
    insert: bytes
    """Inserts what is not there, and drops it from the staging table."""
    update: bytes
    """Updates what was there, and empties the staging table."""
    truncate: bytes
    """Frees what deleted rows have left in the staging table."""


def statements(target: Target) -> Statements:
    """Make the SQL for a table as the database has it."""
    stage = f"stage_{target.name}"
    said_of = staged_columns(target)
    names = tuple(column.name for column in said_of)
    types = ", ".join(("id uuid", *(f"{column.name} {_staging_type(column)}" for column in said_of)))
    listed = ", ".join(map(quoted, (target.key, *target.written, *target.constants)))
    constants = [f"{literal(value)}::{type_}" for type_, value in target.constants.values()]
    fresh = ", ".join((_key(target), *map(_staged, target.columns), *constants))
    override = " OVERRIDING SYSTEM VALUE" if target.demands_override else ""
    adopts = any(column.name == _SAYS_ADOPTED for column in said_of)
    resolved = {quoted(one.name): _settled(one, adopts=adopts) for one in target.columns}
    sets = ", ".join(f"{name} = {value}" for name, value in resolved.items())
    said = " OR ".join(f"s.{name} IS NOT NULL" for name in names)
    key = quoted(target.key)
    # V1's own rows have triggers that tell of each update: one that changes nothing is none.
    changes = " OR ".join(f"t.{name} IS DISTINCT FROM {value}" for name, value in resolved.items())
    only = f" AND ({changes})" if target.table.name == "sessions" else ""
    update = (
        f"WITH s AS (DELETE FROM {stage} RETURNING *) "  # noqa: S608  # names from the catalogue, quoted
        f"UPDATE {target.name} t SET {sets} FROM s WHERE t.{key} = {_key(target)} AND ({said}){only}"
    )
    return Statements(
        target=target,
        text=folded_text({column.name: column.type for column in said_of}),
        create=f"CREATE TEMP TABLE {stage} ({types})".encode(),
        copy=f"COPY {stage} ({', '.join(('id', *names))}) FROM STDIN".encode(),
        number=_numbering(target, stage).encode() if target.form is IdForm.NUMBER else b"",
        insert=(
            f"WITH fresh AS (INSERT INTO {target.name} ({listed}){override} "  # noqa: S608  # as above
            f"SELECT {fresh} FROM {stage} s ORDER BY s.id "
            f"ON CONFLICT ({key}) DO NOTHING RETURNING {key} AS id) "
            f"DELETE FROM {stage} s USING fresh WHERE {_key(target)} = fresh.id".encode()
        ),
        update=update.encode() if names else f"DELETE FROM {stage}".encode(),  # noqa: S608  # as above
        truncate=f"TRUNCATE {stage}".encode(),
    )


def staged_columns(target: Target) -> tuple[Column, ...]:
    """Return what is said of a row, by our columns: those of the table, and what decides about them."""
    written = [one.column for one in target.columns]
    deciding = {_SAYS_ADOPTED, *(one.past for one in target.columns)}
    return (
        *written,
        *(column for column in target.table.columns if column.name in deciding and column not in written),
    )


def _numbering(target: Target, stage: str) -> str:
    # A number that V1 has used already is not given: the row would be somebody else's.
    key = quoted(target.key)
    return (
        "WITH numbered AS ("  # noqa: S608  # as above
        f"SELECT s.id, nextval({literal(target.sequence)}) AS number FROM {stage} s WHERE NOT EXISTS "
        f"(SELECT FROM {IDS} i WHERE i.table_name = {literal(target.name)} AND i.id = s.id)) "
        f"INSERT INTO {IDS} (table_name, id, number) SELECT {literal(target.name)}, n.id, n.number "
        f"FROM numbered n WHERE NOT EXISTS "
        f"(SELECT FROM {target.name} t WHERE t.{key} = CAST(n.number AS {target.key_type})) "
        "ON CONFLICT DO NOTHING"
    )


def _key(target: Target) -> str:
    match target.form:
        case IdForm.UUID:
            return "s.id"
        case IdForm.TEXT:
            return "s.id::text"
        case IdForm.NUMBER:
            return f"CAST({_number_of(target.name, 's.id')} AS {target.key_type})"


def _number_of(table: str, id_: str) -> str:
    return f"(SELECT i.number FROM {IDS} i WHERE i.table_name = {literal(table)} AND i.id = {id_})"  # noqa: S608  # as above


def quoted(name: str) -> str:
    """Return a name as SQL."""
    return sql.Identifier(name).as_string(None)


def _staging_type(column: Column) -> str:
    # Sums of one batch may be more than the column holds.
    return "numeric" if column.resolve is Resolve.ADD else column.type


def _staged(one: Filled) -> str:
    """Return what a new row gets."""
    if one.column.resolve is Resolve.ADD:
        return _converted(one, _sum(one.column, f"COALESCE(s.{one.column.name}, {one.column.initial})"))
    said = _said(one)
    if one.past:
        said = f"COALESCE({_converted(one, f's.{one.past}')}, {said})"
    return said if one.initial == "NULL" else f"COALESCE({said}, {one.initial})"


def _settled(one: Filled, *, adopts: bool) -> str:
    """Return what a row that is there gets: as `_resolved`, but for what came over from V1."""
    resolved = _resolved(one)
    if one.past:
        return f"COALESCE({_converted(one, f's.{one.past}')}, {resolved})"
    if one.is_of_v1 and adopts:
        # V1 may have changed its row since it was read.
        return f"CASE WHEN s.graph_node = '{ADOPTED}' THEN t.{quoted(one.name)} ELSE {resolved} END"
    return resolved


def _resolved(one: Filled) -> str:
    """Return what a row that is there gets."""
    there, said = f"t.{quoted(one.name)}", _said(one)
    match one.column.resolve:
        case Resolve.LAST:
            return f"COALESCE({said}, {there})"
        case Resolve.FIRST:
            known = there if one.initial == "NULL" else f"NULLIF({there}, {one.initial})"
            return f"COALESCE({known}, {said}, {there})"
        case Resolve.GREATEST:
            return f"GREATEST({there}, {said})"
        case Resolve.ADD:
            total = f"COALESCE({there}::numeric, {one.column.initial}) + COALESCE(s.{one.column.name}, 0)"
            return _converted(one, _sum(one.column, total))


def _said(one: Filled) -> str:
    """Return what was said, in the table's own words and type."""
    said = f"s.{one.column.name}"
    if one.words:
        cases = " ".join(f"WHEN {literal(ours)} THEN {literal(theirs)}" for ours, theirs in one.words.items())
        said = f"CASE {said} {cases} ELSE {said} END"
    return _converted(one, said)


def _converted(one: Filled, said: str) -> str:
    if one.refers_to is IdForm.NUMBER:
        said = _number_of("sessions", said)
    if one.is_alike:
        return said
    length = _LENGTH.fullmatch(one.type)
    if length is not None:
        said = f"({said})::text"
        most = int(length[1])
        said = f"CASE WHEN length({said}) > {most} THEN left({said}, {most - 1}) || '…' ELSE {said} END"
    return f"CAST({said} AS {one.type})"


def _sum(column: Column, total: str) -> str:
    most = _SUM_MAX[column.type]
    return f"LEAST(GREATEST({total}, -{most}), {most})::{column.type}"
