"""Brings a database to the newest schema: numbered SQL files, each applied once, all or none."""

import hashlib
from dataclasses import dataclass
from importlib import resources
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks import roles, separation
from sinks.errors import MigrationRefused
from sinks.fitting import unfit
from sinks.mapping import AS_THEY_ARE, VersionOne

# Any number that nobody else takes for an advisory lock of the same database.
_LOCK: Final = 0x6361_7274
_SUFFIX: Final = ".sql"
POSTGRES_MAJOR_MIN: Final = 16
"""The oldest Postgres that the tables are tried on; constraints of theirs need 15."""
_COMMON_SINCE: Final = 2
"""The migration that makes a function under a common name …"""
_OWN_SINCE: Final = 17
"""… and the one since which nothing of ours uses it."""
_ROLE_SINCE: Final = 24
"""The migration that needs the gateway's role."""
_COMMON: Final = "update_updated_at_column"
_KEPT: Final = "cartrita_kept_update_updated_at_column"
_TABLE: Final = "cartrita_migrations"
_CREATE: Final = f"""
    CREATE TABLE IF NOT EXISTS {_TABLE} (
        version INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        applied_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW()
    )
"""

_EARLIER: Final = "schema_migrations"
"""What the table was called before; many other programs have one of that name."""
_IS_EARLIER: Final = """
    SELECT count(*) = 4 FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
      AND attname IN ('version', 'name', 'sha256', 'applied_at')
"""
_ELSEWHERE: Final = (
    "let V2 have a schema of its own: CREATE SCHEMA cartrita, and put "
    "?options=-csearch_path%3Dcartrita,public behind CARTRITA_POSTGRES_DSN"
)
_NAMES: Final = (
    "event_log",
    "sink_offsets",
    "session_summaries",
    "projections",
    "document_passages",
    "document_collections",
    "version_one_ids",
    "sessions_v2",
    "conversation_messages_v2",
    "tool_invocations_v2",
    "session_schedules",
    "schedule_firings",
)
_TAKEN: Final = """
    SELECT c.relname FROM pg_class c
    WHERE c.relname = ANY(%s) AND c.relnamespace = current_schema()::regnamespace
    ORDER BY 1
"""


class MigrationEdited(MigrationRefused):
    """A migration that the database has was changed afterwards; a change belongs into a new one."""


class NameTaken(MigrationRefused):
    """The database has a table of somebody else's under a name of V2's; nothing was changed."""


class NotTheOwner(MigrationRefused):
    """Tables of V1 cannot stand aside while V2's are made; nothing was changed."""


class PostgresTooOld(MigrationRefused):
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
    connection: AsyncConnection[TupleRow],
    steps: tuple[Migration, ...] | None = None,
    mapping: VersionOne = AS_THEY_ARE,
) -> tuple[Migration, ...]:
    """Apply what the database lacks, in one transaction under a lock, and return what was applied.

    Safe to repeat and to run from several processes at once. A database that is newer than this program is
    left as it is: migrations only add. Where a table of V1 has another form, V2 gets one of its own.

    Args:
        connection: autocommit.
        steps: the program's own if None.
        mapping: what the owner of V1's tables says of them.

    Raises:
        PostgresTooOld: the database's Postgres is older than POSTGRES_MAJOR_MIN.
        NameTaken: somebody else's table has the name of one of V2's.
        NotTheOwner: a table of V1 would have to stand aside, and belongs to another role.
        MigrationEdited: the database has a migration of other content than the program's.
        sinks.roles.RoleRefused: the gateway's role is not there, and whoever migrates may not make it.
        psycopg.Error: the database refused; nothing was applied.
    """
    steps = migrations() if steps is None else steps
    demand_version(connection.info.server_version)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        there = await _applied(connection)
        if not there:
            await _demand_names(connection)
        await connection.execute(_CREATE)
        _demand_unedited(steps, there)
        lacking = tuple(step for step in steps if step.version not in there)
        separate = await unfit(connection, mapping)
        if lacking or separate:
            await _apply(connection, lacking, separate, is_new=_COMMON_SINCE not in there)
    return lacking


async def _apply(
    connection: AsyncConnection[TupleRow],
    lacking: tuple[Migration, ...],
    separate: tuple[str, ...],
    *,
    is_new: bool,
) -> None:
    try:
        own, new = await separation.stand_aside(connection, separate)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotTheOwner(
            f"{', '.join(separate)} of V1 cannot be written as V2's own, and V2 may not make room for tables "
            f"in their place: {str(error).strip()}. Nothing was changed: migrate as their owner, or "
            f"{_ELSEWHERE}"
        ) from error
    is_common = is_new and any(step.version == _OWN_SINCE for step in lacking)
    keeps = is_common and await _set_aside(connection)
    for step in lacking:
        if step.version == _ROLE_SINCE:
            await roles.make_gateway(connection)
        await connection.execute(step.sql.encode())
        await connection.execute(
            f"INSERT INTO {_TABLE} (version, name, sha256) VALUES (%s, %s, %s)".encode(),  # noqa: S608  # ours
            [step.version, step.name, step.sha256],
        )
    if is_common:
        await _put_back(connection, keeps=keeps)
    await separation.make_lacking(connection, new)
    await separation.stand_back(connection, own)


def _demand_unedited(steps: tuple[Migration, ...], there: dict[int, str]) -> None:
    for step in steps:
        if there.get(step.version, step.sha256) != step.sha256:
            raise MigrationEdited(
                f"migration {step.version} ({step.name}) was edited after it had been applied here: "
                f"the database has {there[step.version][:12]}…, the program {step.sha256[:12]}…; "
                "restore the file and put the change into a new migration"
            )


async def _demand_names(connection: AsyncConnection[TupleRow]) -> None:
    """Demand of a database without migrations of ours that no table has a name that they give.

    Those of the design, `tasks_v2` and so on, may stand: who followed it has them.
    """
    cursor = await connection.execute(_TAKEN, [list(_NAMES)])
    taken = [str(row[0]) for row in await cursor.fetchall()]
    if taken:
        raise NameTaken(
            f"the database has {', '.join(taken)} of somebody else's, and V2 makes tables of that name. "
            f"Nothing was changed: {_ELSEWHERE}"
        )


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


async def _set_aside(connection: AsyncConnection[TupleRow]) -> bool:
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


async def _put_back(connection: AsyncConnection[TupleRow], *, keeps: bool) -> None:
    """Drop the function that the migrations made under the common name, and give somebody else's its back."""
    await connection.execute(f"DROP FUNCTION {_COMMON}()")
    if keeps:
        await connection.execute(f"ALTER FUNCTION {_KEPT}() RENAME TO {_COMMON}")


async def pending(connection: AsyncConnection[TupleRow]) -> tuple[Migration, ...]:
    """Return the migrations that the database lacks; changes nothing."""
    there = await _applied(connection, renames=False)
    return tuple(step for step in migrations() if step.version not in there)


async def _applied(connection: AsyncConnection[TupleRow], *, renames: bool = True) -> dict[int, str]:
    table = _TABLE
    if not await _is_ours(connection, _TABLE):
        if not await _is_ours(connection, _EARLIER):
            return {}
        table = _EARLIER
        if renames:
            await connection.execute(f"ALTER TABLE {_EARLIER} RENAME TO {_TABLE}".encode())
            table = _TABLE
    cursor = await connection.execute(f"SELECT version, sha256 FROM {table}".encode())  # noqa: S608  # our own names
    return {int(row[0]): str(row[1]) for row in await cursor.fetchall()}


async def _is_ours(connection: AsyncConnection[TupleRow], table: str) -> bool:
    cursor = await connection.execute(_IS_EARLIER, [table])
    return await cursor.fetchone() == (True,)
