"""Brings a database to the newest schema: numbered SQL files, each applied once, all or none."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

from psycopg import AsyncConnection

# Any number that nobody else takes for an advisory lock of the same database.
_LOCK: Final = 0x6361_7274
_SUFFIX: Final = ".sql"
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
        MigrationEdited: the database has a migration of other content than the program's.
        psycopg.Error: the database refused; nothing was applied.
    """
    steps = migrations() if steps is None else steps
    applied = []
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(_CREATE)
        there = await _applied(connection)
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
    return tuple(applied)


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
