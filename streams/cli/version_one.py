"""What commands tell of V1's tables: how they are written, and what is in the way."""

from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.fitting import Fitted, fitted
from sinks.forms import own_name
from sinks.mapping import V1_TABLES, VersionOne


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is to be told of V1's tables."""

    detail: str
    """How each is written."""
    faults: tuple[str, ...]
    """What is in the way."""
    remedies: tuple[str, ...]
    """What to write into the mapping, for each of them."""


async def told_of_v1(connection: AsyncConnection[TupleRow], mapping: VersionOne) -> Told:
    """Look at V1's tables, and try whether they take rows; nothing that was tried stays.

    Raises:
        sinks.errors.DatabaseUnfit: the database has to be migrated first.
    """
    found = await fitted(connection, mapping)
    obstacles = [one for table in found.left_alone.values() for one in table]
    remedies = dict.fromkeys(f"write into {mapping.file}: {one.remedy}" for one in obstacles)
    return Told(
        detail="; ".join(_written(found, table) for table in V1_TABLES),
        faults=tuple(str(one) for one in obstacles),
        remedies=tuple(remedies),
    )


def _written(found: Fitted, table: str) -> str:
    if table not in found.left_alone:
        also = f", and {own_name(table)}" if own_name(table) in found.names else ""
        return f"{table} is written{also}" if table in found.names else f"{own_name(table)} is written"
    why = "cannot be written" if found.left_alone[table] else "is left alone, as its mapping says"
    instead = own_name(table) if own_name(table) in found.names else "the event log"
    return f"{table} {why}: what belongs there is in {instead}"
