"""Brings a database to the newest schema: numbered SQL files, each applied once, all or none."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from psycopg import AsyncConnection

# Any number that nobody else takes for an advisory lock of the same database.
_LOCK: Final = 0x6361_7274
_SUFFIX: Final = ".sql"
POSTGRES_MAJOR_MIN: Final = 16
"""The oldest Postgres that the tables are tried on; constraints of theirs need 15."""
_COMMON_SINCE: Final = 2
"""The migration that makes a function under a common name …"""
_OWN_SINCE: Final = 17
"""… and the one since which nothing of ours uses it."""
_COMMON: Final = "update_updated_at_column"
_KEPT: Final = "cartrita_kept_update_updated_at_column"
_CREATE: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW()
    )
"""


class MigrationEdited(Exception):
    """A migration that the database has was changed afterwards; a change belongs into a new one."""


class PostgresTooOld(Exception):
    """The database's Postgres lacks what the tables need; nothing was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step of the schema."""

    version: int
    """1, 2, 3 …"""
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Return the digest by which an edit is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations() -> tuple[Migration, ...]:
    """Read the migrations that come with the program, in their order."""
    files = sorted(
        (file for file in resources.files("sinks").joinpath("migrations").iterdir()), key=lambda f: f.name
    )
    found = []
    for file in files:
        if file.name.endswith(_SUFFIX):
            number, _, name = file.name.removesuffix(_SUFFIX).partition("_")
            found.append(Migration(version=int(number), name=name, sql=file.read_text(encoding="utf-8")))
    assert [m.version for m in found] == list(range(1, len(found) + 1))
    return tuple(found)


async def migrate(
    connection: AsyncConnection[object], steps: tuple[Migration, ...] | None = None
) -> tuple[Migration, ...]:
    """Apply what the database lacks, in one transaction under a lock, and return what was applied.

    Safe to repeat and to run from several processes at once. A database that is newer than this program is
    left as it is: migrations only add.

    Raises:
        PostgresTooOld: the database's Postgres is older than POSTGRES_MAJOR_MIN.
        MigrationEdited: the database has a migration of other content than the program's.
        psycopg.Error: the database refused; nothing was applied.
    """
    steps = migrations() if steps is None else steps
    applied = []
    demand_version(connection.info.server_version)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(_CREATE)
        there = await _applied(connection)
        is_new = _COMMON_SINCE not in there and any(step.version == _OWN_SINCE for step in steps)
        keeps = is_new and await _set_aside(connection)
        for step in steps:
            if step.version not in there:
                await connection.execute(step.sql.encode())
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, sha256) VALUES (%s, %s, %s)",
                    [step.version, step.name, step.sha256],
                )
                applied.append(step)
            elif there[step.version] != step.sha256:
                raise MigrationEdited(
                    f"migration {step.version} ({step.name}) was edited after it had been applied here: "
                    f"the database has {there[step.version][:12]}…, the program {step.sha256[:12]}…; "
                    "restore the file and put the change into a new migration"
                )
        if is_new:
            await _put_back(connection, keeps=keeps)
    return tuple(applied)


def demand_version(server_version: int) -> None:
    """Demand a Postgres that the tables can live in.

    Args:
        server_version: as libpq tells it: 160004 is 16.4.

    Raises:
        PostgresTooOld: it is older.
    """
    major = server_version // 10_000
    if major < POSTGRES_MAJOR_MIN:
        raise PostgresTooOld(
            f"this Postgres is version {major}; version {POSTGRES_MAJOR_MIN} or newer is needed. Nothing was "
            "changed: upgrade it (pg_upgrade keeps the data), or name another one in CARTRITA_POSTGRES_DSN"
        )


async def _set_aside(connection: AsyncConnection[object]) -> bool:
    """Give a function that somebody else made under the common name another one for a while.

    What uses it goes on to: Postgres refers to it by its number. Tells whether there was one.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM pg_proc WHERE proname = %s AND pronargs = 0 "
        "AND pronamespace = current_schema()::regnamespace",
        [_COMMON],
    )
    if await cursor.fetchone() is None:
        return False
    await connection.execute(f"ALTER FUNCTION {_COMMON}() RENAME TO {_KEPT}")
    return True


async def _put_back(connection: AsyncConnection[object], *, keeps: bool) -> None:
    """Drop the function that the migrations made under the common name, and give somebody else's its back."""
    await connection.execute(f"DROP FUNCTION {_COMMON}()")
    if keeps:
        await connection.execute(f"ALTER FUNCTION {_KEPT}() RENAME TO {_COMMON}")


async def pending(connection: AsyncConnection[object]) -> tuple[Migration, ...]:
    """Return the migrations that the database lacks; changes nothing."""
    cursor = await connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
    row = await cursor.fetchone()
    there = await _applied(connection) if isinstance(row, tuple) and row[0] else {}
    return tuple(step for step in migrations() if step.version not in there)


async def _applied(connection: AsyncConnection[object]) -> dict[int, str]:
    cursor = await connection.execute("SELECT version, sha256 FROM schema_migrations")
    rows = await cursor.fetchall()
    return {int(row[0]): str(row[1]) for row in rows if isinstance(row, tuple)}
