"""Which database a connection leads to, and which of its tables a name stands for.

V1 and V2 may share a database or not; only what both connections say by the same words tells.
"""

from collections.abc import Iterable
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

_DATABASE: Final = """
    SELECT system_identifier::text || '/' ||
           (SELECT oid::text FROM pg_database WHERE datname = current_database())
    FROM pg_control_system()
"""
_RELATIONS: Final = """
    SELECT name, to_regclass(name)::oid::bigint FROM unnest(%s::text[]) AS wanted(name)
    WHERE to_regclass(name) IS NOT NULL
"""


async def database_of(connection: AsyncConnection[TupleRow]) -> str:
    """Return the number of the cluster, and that of the database in it.

    Raises:
        psycopg.errors.InsufficientPrivilege: the role may not ask.
    """
    row = await (await connection.execute(_DATABASE)).fetchone()
    return "" if row is None else str(row[0])


async def relations_of(connection: AsyncConnection[TupleRow], names: Iterable[str]) -> dict[str, int]:
    """Return by name the numbers of tables, as they are on the search path."""
    cursor = await connection.execute(_RELATIONS, [list(names)])
    return {str(row[0]): int(row[1]) for row in await cursor.fetchall()}
