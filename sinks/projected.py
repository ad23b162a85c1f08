"""By which numbers of the projections the rows in Postgres were made, and whether a rebuild is due.

Sinks of several programs may have written one after the other, so the oldest number and the newest are kept.
Only a rebuild, which puts all rows right, makes them one again.
"""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from processors.projections.version import PROJECTIONS
from sinks.errors import DatabaseUnfit

_BEGIN: Final = """
    INSERT INTO projections (oldest, newest) VALUES (%(number)s, %(number)s)
    ON CONFLICT (is_the_only_row) DO UPDATE
    SET oldest = LEAST(projections.oldest, EXCLUDED.oldest),
        newest = GREATEST(projections.newest, EXCLUDED.newest),
        since = NOW()
    WHERE EXCLUDED.oldest NOT BETWEEN projections.oldest AND projections.newest
"""
_REBUILT: Final = """
    INSERT INTO projections (oldest, newest) VALUES (%(number)s, %(number)s)
    ON CONFLICT (is_the_only_row) DO UPDATE
    SET oldest = EXCLUDED.oldest, newest = EXCLUDED.newest, since = NOW()
    WHERE (projections.oldest, projections.newest) <> (EXCLUDED.oldest, EXCLUDED.newest)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The rows were made by other projections than the program's."""

    detail: str
    remedy: str


class ProjectionsDiffer(Exception):
    """Comparing rows would tell nothing but that other projections made them."""

    def __init__(self, difference: Difference) -> None:
        """Say by which, and what to do."""
        super().__init__(difference.detail)
        self.remedy = difference.remedy


async def note_writing(connection: AsyncConnection[Any]) -> None:
    """Note that this program's projections make rows from now on."""
    await connection.execute(_BEGIN, {"number": PROJECTIONS})


async def note_rebuilt(connection: AsyncConnection[Any]) -> None:
    """Note that this program's projections made all rows."""
    await connection.execute(_REBUILT, {"number": PROJECTIONS})


async def difference(connection: AsyncConnection[Any]) -> Difference | None:
    """Tell how the rows differ from what this program makes; None where they do not, or where there are none.

    Raises:
        DatabaseUnfit: the table of the number is missing.
    """
    cursor = await connection.execute("SELECT to_regclass('projections') IS NULL")
    if await cursor.fetchone() == (True,):
        raise DatabaseUnfit("the database has no table projections: run `cartrita migrate` first")
    cursor = await connection.execute("SELECT oldest, newest FROM projections")
    row = await cursor.fetchone()
    if row is None or row == (PROJECTIONS, PROJECTIONS):
        return None
    oldest, newest = row
    by = str(oldest) if oldest == newest else f"{oldest} to {newest}"
    made = f"the rows were made by projections {by}, and this program has {PROJECTIONS}"
    if newest > PROJECTIONS:
        return Difference(detail=f"{made}: it is older than they are", remedy="Use the newer program.")
    return Difference(
        detail=f"{made}: a rebuild is due",
        remedy="`cartrita rebuild --swap` makes the rows again; the sink may run meanwhile.",
    )
