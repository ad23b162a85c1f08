"""The shadow: tables of the live ones' form in a schema of their own, which a rebuild fills from the log.

They are unlogged, so that filling them writes no WAL; after a crash of Postgres they are empty, their offsets
too, and the rebuild begins anew. They have the live tables' primary keys, unique constraints and checks, so
that they refuse what those refuse, and no other index: nobody searches them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.errors import DatabaseUnfit
from sinks.fitting import Fitted
from sinks.staging import statements
from sinks.writer import Position, Slot

SCHEMA: Final = "cartrita_rebuild"
LOCK: Final = 0x6361_7275
"""Advisory lock of whoever fills the shadow: any number that nobody else takes in the same database."""
_ALSO_COPIED: Final = ("event_log", "sink_offsets")

# What decides how an event becomes rows: rows of two programs must not meet in one shadow.
_SOURCES: Final = ("processors.projections", "schemas", "schemas.events", "schemas.wire")
_FORMS: Final = """
    SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
    FROM unnest(%s::text[]) AS wanted(name)
    JOIN pg_class c ON c.oid = to_regclass(wanted.name)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY c.relname, a.attnum
"""
_CONSTRAINTS: Final = """
    SELECT o.conrelid::regclass::text, pg_get_constraintdef(o.oid)
    FROM unnest(%s::text[]) AS wanted(name)
    JOIN pg_constraint o ON o.conrelid = to_regclass(wanted.name)
    ORDER BY 1, 2
"""
_PLAIN_INDEXES: Final = """
    SELECT format('DROP INDEX %%I.%%I', n.nspname, i.relname)
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_namespace n ON n.oid = i.relnamespace
    WHERE n.nspname = %s AND NOT x.indisunique AND NOT x.indisexclusion
"""


_IS_FILLED: Final = """
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %s
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""
_LEFT: Final = """
    SELECT obj_description(n.oid, 'pg_namespace'),
           COALESCE((SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
                     WHERE c.relnamespace = n.oid AND c.relkind = 'r'), 0)::bigint
    FROM pg_namespace n WHERE n.nspname = %(schema)s
"""


def copied(found: Fitted) -> tuple[str, ...]:
    """Return the tables that a shadow has: those that are written, the log and the offsets."""
    return (*found.names, *_ALSO_COPIED)


async def begin(connection: AsyncConnection[TupleRow], sink: str, found: Fitted) -> bool:
    """Make the shadow, unless one that this program began is there; tell whether that one goes on.

    Args:
        connection: autocommit, with the live tables on its search path.
        sink: whose offsets the shadow keeps.
        found: the live tables.

    Raises:
        DatabaseUnfit: live tables are missing, or no schema may be made.
    """
    mark = _mark(await digest_of_program(connection, found), sink)
    cursor = await connection.execute(
        "SELECT obj_description(to_regnamespace(%s)::oid, 'pg_namespace')", [SCHEMA]
    )
    if await cursor.fetchone() == (mark,):
        return True
    try:
        async with connection.transaction():
            await drop(connection)
            await connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
            for name in copied(found):
                await connection.execute(
                    f"CREATE UNLOGGED TABLE {SCHEMA}.{name} (LIKE {name} INCLUDING ALL)".encode()
                )
            indexes = await connection.execute(_PLAIN_INDEXES, [SCHEMA])
            for (statement,) in await indexes.fetchall():
                await connection.execute(statement.encode())
            await connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{mark}'".encode())
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseUnfit(
            f"the shadow tables cannot be made: {str(error).strip()}; grant the role CREATE on the database"
        ) from error
    except psycopg.errors.UndefinedTable as error:
        raise DatabaseUnfit(f"{str(error).strip()}: run `cartrita migrate` first") from error
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A shadow that stands, and that no rebuild is filling."""

    bytes: int
    records: int
    """That were read into it."""
    goes_on: bool
    """True: a rebuild of this program goes on with it; False: whatever rebuild comes begins anew."""


async def left(connection: AsyncConnection[TupleRow], sink: str, found: Fitted) -> Left | None:
    """Return the shadow that an earlier rebuild left; None where there is none."""
    cursor = await connection.execute(_LEFT, {"schema": SCHEMA})
    row = await cursor.fetchone()
    if row is None:
        return None
    mark, size = row
    records = 0
    if await _has_offsets(connection):
        cursor = await connection.execute(
            f"SELECT COALESCE(sum(next_offset), 0)::bigint FROM {SCHEMA}.sink_offsets".encode()  # noqa: S608  # our own schema
        )
        [(records,)] = await cursor.fetchall()
    goes_on = mark == _mark(await digest_of_program(connection, found), sink) and records > 0
    return Left(bytes=size, records=records, goes_on=goes_on)


async def _has_offsets(connection: AsyncConnection[TupleRow]) -> bool:
    """Tell whether the shadow has its offsets."""
    cursor = await connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.sink_offsets"])
    return await cursor.fetchone() == (True,)


async def is_being_filled(connection: AsyncConnection[TupleRow]) -> bool:
    """Tell whether a rebuild, or a snapshot, is at work."""
    cursor = await connection.execute(_IS_FILLED, [LOCK])
    return await cursor.fetchone() == (True,)


async def drop(connection: AsyncConnection[TupleRow]) -> None:
    """Drop the shadow, if there is one."""
    await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())


async def analyze(connection: AsyncConnection[TupleRow], found: Fitted) -> None:
    """Tell Postgres how many rows there are, before they are joined."""
    for name in copied(found):
        await connection.execute(f"ANALYZE {SCHEMA}.{name}".encode())


async def is_empty(connection: AsyncConnection[TupleRow]) -> bool:
    """Tell whether nothing was read into the shadow yet."""
    cursor = await connection.execute(
        f"SELECT 1 FROM {SCHEMA}.sink_offsets WHERE next_offset > 0 LIMIT 1".encode()  # noqa: S608  # our own schema
    )
    return await cursor.fetchone() is None


async def live_positions(connection: AsyncConnection[TupleRow], sink: str) -> dict[Slot, Position]:
    """Return where the live sink stands."""
    cursor = await connection.execute(
        "SELECT topic, partition, topic_id, next_offset FROM sink_offsets WHERE sink = %s", [sink]
    )
    return {
        (row[0], row[1]): Position(topic_id=row[2], next_offset=row[3]) for row in await cursor.fetchall()
    }


async def settle(connection: AsyncConnection[TupleRow], sink: str, reached: Mapping[Slot, int]) -> None:
    """Say of the shadow that it has read up to these offsets, past what compaction left out at the end."""
    slots = sorted(reached)
    await connection.execute(
        f"UPDATE {SCHEMA}.sink_offsets o SET next_offset = m.next_offset "  # noqa: S608  # our own schema
        "FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS m(topic, partition, next_offset) "
        "WHERE o.sink = %s AND o.topic = m.topic AND o.partition = m.partition".encode(),
        [[s[0] for s in slots], [s[1] for s in slots], [reached[s] for s in slots], sink],
    )


async def hand_over_offsets(connection: AsyncConnection[TupleRow], sink: str) -> None:
    """Let the live sink stand where the shadow stands."""
    await connection.execute(
        "INSERT INTO sink_offsets (sink, topic, partition, topic_id, next_offset) "  # noqa: S608  # our own schema
        f"SELECT sink, topic, partition, topic_id, next_offset FROM {SCHEMA}.sink_offsets WHERE sink = %s "
        "ON CONFLICT (sink, topic, partition) "
        "DO UPDATE SET topic_id = EXCLUDED.topic_id, next_offset = EXCLUDED.next_offset".encode(),
        [sink],
    )


def targets(
    live: Mapping[Slot, Position], topic_ids: Mapping[Slot, UUID], bounds: Mapping[Slot, tuple[int, int]]
) -> dict[Slot, int]:
    """Return by partition up to where the log is read, so that shadow and live tables can be compared.

    That is where the live sink stands. Where that makes no sense (the topic was made anew, the log ends
    before, the sink has no offset) it is the log's end.
    """
    found = {}
    for slot, (first, following) in bounds.items():
        position = live.get(slot)
        fits = (
            position is not None
            and position.topic_id == topic_ids[slot]
            and first <= position.next_offset <= following
        )
        found[slot] = position.next_offset if position is not None and fits else following
    return found


async def digest_of_program(connection: AsyncConnection[TupleRow], found: Fitted) -> str:
    """Return what tells programs and tables apart that make different rows of the same events."""
    digest = hashlib.sha256()
    for package in _SOURCES:
        for file in sorted(resources.files(package).iterdir(), key=lambda one: one.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    for query in (_FORMS, _CONSTRAINTS):
        cursor = await connection.execute(query, [list(copied(found))])
        digest.update(repr(await cursor.fetchall()).encode())
    # What V1's owner says of a table makes other rows of it as well.
    digest.update(repr([statements(target).insert for target in found.targets]).encode())
    return digest.hexdigest()[:16]


def _mark(digest: str, sink: str) -> str:
    """Say in the database whose the shadow is."""
    return f"begun by {digest} for {sink}"
