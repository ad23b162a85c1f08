"""Which tables are written, in which form: V2's own, and those of V1 as they stand in this database.

A table of V1 that has V2's form is V2's table too. One of another form is written as its owner's mapping
says, or left alone; what V2 knows then stands in a table of its own, `sessions_v2`, say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from processors.projections.columns import Column, Table
from schemas.frozen import replace
from sinks.errors import DatabaseUnfit
from sinks.mapping import IdForm, TableMapping

_ADDED_BEFORE, _ADDED_LAST = "graph_node", "cost_tokens"
"""Of the columns that V2 adds to V1's messages, in their order."""
SEQUENCE: Final = "version_one_numbers"
"""Gives numbers to rows of tables that have no sequence: -1, -2, …"""
_COLUMNS_OF: Final = """
    SELECT a.attname, a.attnotnull, a.atthasdef OR a.attidentity <> '',
           format_type(a.atttypid, NULL), format_type(a.atttypid, a.atttypmod),
           a.attidentity = 'a', a.attgenerated <> '', a.attnum,
           COALESCE(pg_get_serial_sequence(%(table)s, a.attname), '')
    FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%(table)s) AND a.attnum > 0 AND NOT a.attisdropped
"""
_KINDS: Final = {"v": "a view", "m": "a materialized view", "f": "a foreign table"}
_KIND: Final = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"
_IS_UNIQUE: Final = """
    SELECT EXISTS (
        SELECT FROM pg_index i
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid AND i.indimmediate
          AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attname = %s
    )
"""
_LONG: Final = {
    "timestamptz": "timestamp with time zone",
    "varchar": "character varying",
    "decimal": "numeric",
}
_TEXTS: Final = ("text", "character varying", "character")
_NUMBERS: Final = ("smallint", "integer", "bigint", "numeric")
# For a column that demands a value where none is known yet: its default would be the time of writing, or
# say what no event did.
_LEAST: Final = {
    "text": "''",
    "varchar": "''",
    "timestamptz": "'epoch'::timestamptz",
    "integer": "0",
    "bigint": "0",
    "jsonb": "'{}'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """Why a table of V1 cannot be written, and what its owner may write into the mapping."""

    table: str
    column: str
    """'' where it is none of one column."""
    what: str
    section: str = ""
    """Of the mapping: `values`, `columns` …; '' for the table's own keys."""
    line: str = ""
    """What to write there; '' where nothing of the kind helps."""

    def __str__(self) -> str:
        """Say it in a line."""
        where = f"{self.table}.{self.column}" if self.column else self.table
        return f"{where} {self.what}"

    @property
    def remedy(self) -> str:
        """Say what to write."""
        section = f"[{self.table}.{self.section}]" if self.section else f"[{self.table}]"
        skip = f"[{self.table}] skip = true"
        return f"{section} {self.line}, or {skip}" if self.line else skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A column that is written."""

    column: Column
    name: str
    """In the table."""
    type: str
    """In the table, with its length."""
    is_alike: bool
    """True when the type is ours, so that nothing needs to be converted."""
    initial: str
    """SQL of what a new row has where no event has said a value."""
    words: Mapping[str, str] = field(default_factory=dict)
    refers_to: IdForm | None = None
    """Not None: it holds the id of a session, and sessions of V1 have ids of this form."""
    past: str = ""
    """Not '': the column of ours whose value, where it is said, counts past all others."""
    is_of_v1: bool = False
    """True: in a row of V1's own that V2 adopted it is V1's alone, and only a new row gets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A table that is written."""

    table: Table
    name: str
    key: str
    key_type: str
    form: IdForm
    columns: tuple[Filled, ...]
    constants: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By the column of a new row its type and its value, as text."""
    sequence: str = ""
    """Of the key, where it is numbers; it gives them."""
    demands_override: bool = False
    """True when the key is an identity that takes no value unless told to."""

    @property
    def written(self) -> tuple[str, ...]:
        """Return the columns that events fill, beside the key."""
        return tuple(one.name for one in self.columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    """A column as it stands."""

    required: bool
    has_default: bool
    type: str
    full_type: str
    is_identity_always: bool
    is_generated: bool
    number: int
    """Its place among the columns, in the order in which they were made."""
    sequence: str


def own_name(table: str) -> str:
    """Return where V2 keeps the rows of a V1 table that has another form."""
    return f"{table}_v2"


async def own_target(connection: AsyncConnection[TupleRow], table: Table, name: str) -> Target:
    """Return a table that V2 made.

    Raises:
        DatabaseUnfit: it is not there, or has another form.
    """
    found = await form_of(connection, table, name, TableMapping())
    if isinstance(found, Target):
        return found
    raise DatabaseUnfit(f"{'; '.join(str(one) for one in found)}: run `cartrita migrate`")


async def form_of(
    connection: AsyncConnection[TupleRow],
    table: Table,
    name: str,
    mapping: TableMapping,
    sessions: IdForm = IdForm.UUID,
) -> Target | tuple[Obstacle, ...]:
    """Return how a table is written, or what is in the way.

    Args:
        connection: with the table on its search path.
        table: whose rows they are.
        name: of the table in the database.
        mapping: what its owner says of it.
        sessions: form of the ids of sessions that it refers to.

    Raises:
        DatabaseUnfit: it is not there.
    """
    there = await _there(connection, name)
    key = there.get("id")
    if key is None:
        return (Obstacle(table=table.name, column="id", what="is missing"),)
    in_the_way = await _of_key(connection, table.name, name, key, mapping)
    columns = []
    for column in table.stored:
        called = mapping.name_of(column.name)
        found = there.get(called)
        if found is None or found.is_generated:
            if called != column.name and called:
                line = f'{column.name} = ""'
                in_the_way.append(_obstacle(table, called, "is not in the table", "columns", line))
            continue
        past = table.past_of(column)
        filled = replace(
            _filled(column, called, found, mapping, sessions, "" if past is None else past.name),
            is_of_v1=column.is_of_v1 or (column.name == _ADDED_LAST and _was_there(found, there)),
        )
        in_the_way += await _of_column(connection, table, filled, found)
        columns.append(filled)
    taken = {"id", *(one.name for one in columns)}
    constants = {}
    for called, value in mapping.values.items():
        if called not in there:
            in_the_way.append(_obstacle(table, called, "is not in the table; it stands under values"))
        elif called not in taken:
            constants[called] = (there[called].full_type, value)
    in_the_way += [
        _obstacle(table, called, _required(one), "values", f"{called} = {_example(one.type)}")
        for called, one in sorted(there.items())
        if one.required and not (one.has_default or called in taken or called in constants)
    ]
    if in_the_way:
        return tuple(in_the_way)
    return Target(
        table=table,
        name=name,
        key="id",
        key_type=key.type,
        form=mapping.id,
        columns=tuple(columns),
        constants=constants,
        sequence=key.sequence or SEQUENCE,
        demands_override=key.is_identity_always,
    )


async def _there(connection: AsyncConnection[TupleRow], name: str) -> dict[str, _There]:
    cursor = await connection.execute(_COLUMNS_OF, {"table": name})
    found = {
        row[0]: _There(**dict(zip(_There.__slots__, row[1:], strict=True))) for row in await cursor.fetchall()
    }
    if not found:
        raise DatabaseUnfit(f"the database has no table {name}: run the migrations first")
    return found


def _was_there(found: _There, there: Mapping[str, _There]) -> bool:
    """Tell whether V1 had a column before V2 added its own, of which this is one where V1 has none."""
    before = there.get(_ADDED_BEFORE)
    return before is None or found.number < before.number


async def _of_key(
    connection: AsyncConnection[TupleRow], table: str, name: str, key: _There, mapping: TableMapping
) -> list[Obstacle]:
    row = await (await connection.execute(_KIND, [name])).fetchone()
    if row is not None and row[0] in _KINDS:
        return [Obstacle(table=table, column="", what=f"is {_KINDS[row[0]]}, into which no rows are put")]
    fits = {
        IdForm.UUID: ("uuid",),
        IdForm.TEXT: _TEXTS,
        IdForm.NUMBER: (*_NUMBERS, *_TEXTS),
    }
    if key.type not in fits[mapping.id]:
        right = IdForm.NUMBER if key.type in _NUMBERS else IdForm.TEXT if key.type in _TEXTS else None
        what = f"is of type {key.full_type}, and ids here are written as {mapping.id}"
        return [Obstacle(table=table, column="id", what=what, line=f'id = "{right}"' if right else "")]
    if key.is_generated:
        return [Obstacle(table=table, column="id", what="is generated, so that no id can be put there")]
    row = await (await connection.execute(_IS_UNIQUE, [name, "id"])).fetchone()
    if row == (False,):
        what = "has no unique index of its own, so that a row that is there is not found"
        return [Obstacle(table=table, column="id", what=what)]
    return []


async def _of_column(
    connection: AsyncConnection[TupleRow], table: Table, filled: Filled, found: _There
) -> list[Obstacle]:
    """Return why a column of ours cannot go where it is to."""
    name = filled.column.name
    if table.version_one and filled.initial == "NULL" and found.required and not filled.column.belongs:
        what = f"{_required(found)} of every row, and is known of some only later"
        return [_obstacle(table, filled.name, what, "values", f"{filled.name} = {_example(found.type)}")]
    if filled.is_alike:
        return []
    ours = filled.column.type
    if filled.refers_to is IdForm.NUMBER:
        ours = "bigint"
    elif filled.refers_to is IdForm.TEXT:
        ours = "text"
    try:
        async with connection.transaction():
            await connection.execute(
                f"SELECT CAST(NULL::{ours} AS {filled.type})".encode()
            )  # types of the catalogue
    except psycopg.Error:
        what = f"is of type {found.full_type}, which {ours} does not become"
        return [_obstacle(table, filled.name, what, "columns", f'{name} = ""')]
    return []


def _filled(
    column: Column, called: str, found: _There, mapping: TableMapping, sessions: IdForm, past: str
) -> Filled:
    short = column.type.partition("(")[0]
    refers_to = sessions if column.belongs and sessions is not IdForm.UUID else None
    initial = column.initial
    if called in mapping.values:
        initial = f"{literal(mapping.values[called])}::{found.full_type}"
    elif initial == "NULL" and found.required and not column.belongs:
        initial = _LEAST.get(short, "NULL")
    is_alike = found.type == _LONG.get(short, short) and not (
        found.type in _TEXTS[1:] and found.full_type != found.type and found.full_type != _full(column.type)
    )
    return Filled(
        column=column,
        name=called,
        type=found.full_type,
        is_alike=is_alike and refers_to is None,
        initial=initial,
        words=mapping.words.get(column.name, {}),
        refers_to=refers_to,
        past=past,
    )


def literal(text: str) -> str:
    """Return a text as SQL."""
    return sql.Literal(text).as_string(None)


def _full(type_: str) -> str:
    short, bracket, rest = type_.partition("(")
    return f"{_LONG.get(short, short)}{bracket}{rest}"


def _required(found: _There) -> str:
    return f"({found.full_type}) is required, and no event says it"


def _obstacle(table: Table, column: str, what: str, section: str = "", line: str = "") -> Obstacle:
    return Obstacle(table=table.name, column=column, what=what, section=section, line=line)


def _example(type_: str) -> str:
    if type_ in (*_NUMBERS, "real", "double precision"):
        return "1"
    if type_ == "boolean":
        return "false"
    return '"…"'
