"""The role as which the gateway reads, and the logins that may take it.

Roles belong to all databases of a server, so they are made beside the migrations: the migrations need
`cartrita_gateway`, and whoever migrates need not be allowed to make roles where it is there already.
"""

import contextlib
from typing import Final

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from sinks.errors import MigrationRefused

GATEWAY: Final = "cartrita_gateway"
"""Reads what the transaction's tenant and user may see (migration 0024), and can do nothing else."""
_IS_THERE: Final = "SELECT count(*) = 1 FROM pg_roles WHERE rolname = %s"
_MAY_TAKE: Final = "SELECT pg_has_role(%s, %s, 'SET')"

# A table that it may read needs a policy of its own, and a view has to ask its tables as whoever asks it. No
# other kind can have either, and a function that acts as its owner passes by all of them.
_UNWALLED: Final = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND has_any_column_privilege(%(role)s, c.oid, 'SELECT')
      AND NOT (c.relkind IN ('r', 'p') AND c.relrowsecurity AND EXISTS (
          SELECT FROM pg_policy p
          WHERE p.polrelid = c.oid AND NOT p.polpermissive AND %(role)s::regrole = ANY(p.polroles)))
      AND NOT (c.relkind = 'v' AND 'security_invoker=true' = ANY(COALESCE(c.reloptions, '{}')))
    UNION ALL
    SELECT p.proname || '()' FROM pg_proc p
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prosecdef
      AND has_function_privilege(%(role)s, p.oid, 'EXECUTE')
    ORDER BY 1
"""


class RoleRefused(MigrationRefused):
    """A role cannot be made; the text has the statements for somebody who may."""


async def make_gateway(connection: AsyncConnection[TupleRow]) -> None:
    """Make the gateway's role, and let whoever is connected take it, unless that is so already.

    Raises:
        RoleRefused: whoever is connected may not; nothing was changed.
    """
    user = await _user(connection)
    try:
        await _make(connection, sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(GATEWAY)), GATEWAY)
    except psycopg.errors.InsufficientPrivilege as error:
        raise RoleRefused(
            f"{user} may make no roles, and the gateway needs one: let an administrator run "
            f"CREATE ROLE {GATEWAY} NOLOGIN; {_taking(user).as_string(connection)}; and then migrate again"
        ) from error
    # Where another administrator has made it, only a gateway that connects as this user has to take it.
    with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
        await _grant(connection, user)


async def let_in(connection: AsyncConnection[TupleRow], dsn: str) -> None:
    """Make the login of a connection string, with its password, and let it take the gateway's role.

    A login that is there keeps its password.

    Args:
        connection: as somebody who may make roles.
        dsn: as the gateway connects; it names a user.

    Raises:
        RoleRefused: whoever is connected may not, or the string names no user.
    """
    said = conninfo_to_dict(dsn)
    login, password = str(said.get("user") or ""), str(said.get("password") or "")
    if not login:
        raise RoleRefused("CARTRITA_GATEWAY_POSTGRES_DSN names no user as whom the gateway connects")
    # It can do nothing before it has taken the gateway's role.
    making = sql.SQL("CREATE ROLE {} LOGIN NOINHERIT").format(sql.Identifier(login))
    if password:
        # As the server keeps it, so that no log of statements has the password.
        kept = connection.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
        making += sql.SQL(" PASSWORD {}").format(kept.decode())
    try:
        await _make(connection, making, login)
        await _grant(connection, login)
    except psycopg.errors.InsufficientPrivilege as error:
        raise RoleRefused(
            f"{await _user(connection)} may not let {login} in: let an administrator run CREATE ROLE "
            f"{sql.Identifier(login).as_string(connection)} LOGIN NOINHERIT PASSWORD '…'; "
            f"{_taking(login).as_string(connection)}; and then migrate again"
        ) from error


async def unwalled(connection: AsyncConnection[TupleRow]) -> tuple[str, ...]:
    """Return what the gateway's role may read without a wall between tenants; migrations leave nothing."""
    cursor = await connection.execute(_UNWALLED, {"role": GATEWAY})
    return tuple(str(row[0]) for row in await cursor.fetchall())


async def _user(connection: AsyncConnection[TupleRow]) -> str:
    cursor = await connection.execute("SELECT current_user")
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0])


def _taking(role: str) -> sql.Composed:
    return sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(
        sql.Identifier(GATEWAY), sql.Identifier(role)
    )


async def _make(connection: AsyncConnection[TupleRow], statement: sql.Composed, role: str) -> None:
    cursor = await connection.execute(_IS_THERE, [role])
    if await cursor.fetchone() == (True,):
        return
    try:
        async with connection.transaction():
            await connection.execute(statement)
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # another database of the server was migrated at the same moment


async def _grant(connection: AsyncConnection[TupleRow], role: str) -> None:
    cursor = await connection.execute(_MAY_TAKE, [role, GATEWAY])
    if await cursor.fetchone() != (True,):
        async with connection.transaction():
            await connection.execute(_taking(role))
