"""Who the gateway reads as: the role and the logins that migrations make, on servers of all kinds."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from psycopg import AsyncConnection
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from sinks import roles
from sinks.migrator import migrate, migrations
from streams.gateway.problems import Problem
from streams.process.ending import ShellStopped
from tests.sinks.conftest import rows
from tests.sinks.test_walls import OWNERS, gateway, relations, texts, write_everything

pytestmark = pytest.mark.stack

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "postgres.md"


async def refusal(dsn: str) -> str:
    """Return why a gateway does not serve with that connection string."""
    async with gateway(dsn) as database:
        with pytest.raises(ShellStopped) as stopped:
            await asyncio.wait_for(database.watch(), 10)
        with pytest.raises(Problem):
            async with database.lent(OWNERS[0]):
                pass
        return stopped.value.reason


async def test_a_gateway_that_no_wall_would_hold_does_not_serve(dsn: str, empty_dsn: str) -> None:
    assert "run `cartrita migrate`" in await refusal(empty_dsn)
    role = f"outsider_{uuid.uuid4().hex}"
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'".encode())
        try:
            told = await refusal(make_conninfo(dsn, user=role, password="x"))
            assert f'GRANT {roles.GATEWAY} TO "{role}" WITH INHERIT FALSE, SET TRUE' in told
            await connection.execute("ALTER TABLE event_log DISABLE ROW LEVEL SECURITY")
            assert "policies do not count" in await refusal(dsn)
        finally:
            await connection.execute(f"DROP ROLE {role}".encode())


async def make_owner(admin: AsyncConnection[TupleRow], role: str, may: str = "") -> None:
    """Make a role, of the password 'x', that may migrate the database of the connection."""
    await admin.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x' {may}; CREATE EXTENSION vector; "
        f"GRANT ALL ON SCHEMA public TO {role}; "
        f"GRANT ALL ON DATABASE {admin.info.dbname} TO {role}".encode()
    )


@asynccontextmanager
async def without_the_role(admin: AsyncConnection[TupleRow]) -> AsyncIterator[None]:
    """Let the server have no role of the gateway until the block ends, as one that was never migrated."""
    kept = f"kept_{uuid.uuid4().hex}"
    is_there = await rows(admin, f"SELECT 1 FROM pg_roles WHERE rolname = '{roles.GATEWAY}'")
    if is_there:
        await admin.execute(f"ALTER ROLE {roles.GATEWAY} RENAME TO {kept}".encode())
    try:
        yield
    finally:
        if await rows(admin, f"SELECT 1 FROM pg_roles WHERE rolname = '{roles.GATEWAY}'"):
            await admin.execute(f"DROP OWNED BY {roles.GATEWAY}; DROP ROLE {roles.GATEWAY}".encode())
        if is_there:
            await admin.execute(f"ALTER ROLE {kept} RENAME TO {roles.GATEWAY}".encode())


async def test_whoever_may_make_no_roles_is_told_what_an_administrator_has_to_run(empty_dsn: str) -> None:
    role = f"owner_{uuid.uuid4().hex}"
    as_owner = make_conninfo(empty_dsn, user=role, password="x")
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as admin:
        await make_owner(admin, role)
        try:
            async with without_the_role(admin):
                async with await AsyncConnection.connect(as_owner, autocommit=True) as connection:
                    with pytest.raises(roles.RoleRefused) as refused:
                        await migrate(connection)
                    assert await relations(connection) == {}
                    statements = re.search(r"run (CREATE ROLE .+;) and then migrate", str(refused.value))
                    assert statements is not None
                    await admin.execute(statements[1].encode())
                    assert len(await migrate(connection)) == len(migrations())
                    with pytest.raises(roles.RoleRefused, match="may not let gateway_x in"):
                        await roles.let_in(connection, make_conninfo(empty_dsn, user="gateway_x"))
                    with pytest.raises(roles.RoleRefused, match="names no user"):
                        await roles.let_in(connection, "host=127.0.0.1")
                async with gateway(as_owner) as served, served.lent(OWNERS[0]) as one:
                    assert not await texts(one, "event_log")
        finally:
            await admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())


async def test_who_may_make_roles_needs_to_be_nothing_more_to_migrate(empty_dsn: str) -> None:
    role, login = f"maker_{uuid.uuid4().hex}", f"gateway_{uuid.uuid4().hex}"
    as_maker = make_conninfo(empty_dsn, user=role, password="x")
    as_gateway = make_conninfo(empty_dsn, user=login, password="y")
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as admin:
        await make_owner(admin, role, "CREATEROLE")
        try:
            async with without_the_role(admin):
                async with await AsyncConnection.connect(as_maker, autocommit=True) as connection:
                    assert len(await migrate(connection)) == len(migrations())
                    await roles.let_in(connection, as_gateway)
                    assert await roles.unwalled(connection) == ()
                for dsn in (as_maker, as_gateway):
                    async with gateway(dsn) as served, served.lent(OWNERS[0]) as one:
                        assert await rows(one, "SELECT current_user") == [(roles.GATEWAY,)]
                        assert not await texts(one, "event_log")
        finally:
            await admin.execute(f"DROP OWNED BY {role} CASCADE; DROP ROLE {role}".encode())
            await admin.execute(f"DROP ROLE IF EXISTS {login}".encode())


async def test_an_existing_database_is_walled_by_the_migration_and_opened_again_by_the_way_back(
    empty_dsn: str,
) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        before = tuple(step for step in migrations() if step.version < 24)
        await migrate(connection, before)
        # Today's sink writes schedules, too, whose tables came with their walls.
        schedules = next(step.sql for step in migrations() if step.version == 27)
        await connection.execute(schedules.partition("ALTER TABLE")[0].encode())
        await write_everything(empty_dsn)
        assert 24 in [step.version for step in await migrate(connection)]
        assert await roles.unwalled(connection) == ()
        async with gateway(empty_dsn) as database, database.lent(OWNERS[0]) as one:
            assert await texts(one, "event_log")

        way_back = re.search(
            r"<!-- way back -->\n```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL
        )
        assert way_back is not None
        await connection.execute(way_back[1].encode())
        walls = await rows(
            connection,
            "SELECT relname FROM pg_class WHERE relrowsecurity UNION ALL SELECT polname FROM pg_policy",
        )
        assert walls == []
        privileges = await rows(
            connection,
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
            f"AND has_any_column_privilege('{roles.GATEWAY}', oid, 'SELECT') AND relkind IN ('r', 'v')",
        )
        assert privileges == []
