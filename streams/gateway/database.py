"""What the gateway sees of Postgres: in each transaction what belongs to one tenant, or to one user of it.

It reads as a role of its own (migration 0024), whose policies compare every row with what the transaction
names. So a query that forgets to ask whose a row is finds nothing of others. What a query asks for by itself
is the first wall, and stays; this is the second.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sinks.roles import GATEWAY
from streams.gateway.problems import away
from streams.process.ending import ExitCode, ShellStopped

Connection = psycopg.AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[Connection]
_POOL_MAX: Final = 8
_LENT_S: Final = 2.0
"""How long a request waits for a connection."""
_ENTER: Final = """
    SELECT set_config('role', %s, true), set_config('cartrita.tenant', %s, true),
           set_config('cartrita.user', %s, true)
"""
_IS_WALLED: Final = "SELECT row_security_active('event_log') AND row_security_active('session_summaries')"


class Sight(Protocol):
    """Whoever something is read for: the bearer of a token, or the owner of a session, or EVERYBODY."""

    @property
    def tenant(self) -> str | None:
        """Return whose rows may be seen; None: of all tenants, whatever the user."""
        ...

    @property
    def user(self) -> str | None:
        """Return of which user; None: of all users of the tenant."""
        ...


@dataclass(frozen=True, slots=True)
class _Everybody:
    tenant: None = None
    user: None = None


EVERYBODY: Final[Sight] = _Everybody()
"""For what the gateway does of itself: it tells whoever runs it what waits for persons."""


class Database:
    """The gateway's connections."""

    def __init__(self, dsn: str) -> None:
        """Connect to nothing yet."""
        self._pool: Pool = AsyncConnectionPool(
            dsn,
            min_size=1,
            max_size=_POOL_MAX,
            open=False,
            kwargs={"autocommit": True},
            configure=self._demand_wall,
            # Then given up, so that whoever asks next has it tried at once: pauses would double for minutes.
            reconnect_timeout=_LENT_S,
            # A restart of Postgres leaves connections that have ended, and nobody is to be refused for those.
            check=AsyncConnectionPool.check_connection,
        )
        self._open_to_all: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Begin to connect; Postgres may be away."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def watch(self) -> None:
        """Wait as long as every connection has its wall.

        Raises:
            ShellStopped: one has not; the reason tells what to do.
        """
        raise ShellStopped(ExitCode.USAGE, await self._open_to_all)

    @asynccontextmanager
    async def lent(self, sight: Sight | None) -> AsyncIterator[Connection]:
        """Lend a connection with a transaction in which what `sight` may see is there, and nothing else.

        Args:
            sight: None sees what belongs to nobody: how far the sink has read.

        Raises:
            Problem: Postgres is away.
        """
        try:
            async with self._pool.connection(timeout=_LENT_S) as connection, connection.transaction():
                await _enter(connection, sight)
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise away("Postgres") from error

    async def _demand_wall(self, connection: Connection) -> None:
        """See that a new connection can take the role, and that its policies count."""
        user = connection.info.user
        try:
            async with connection.transaction():
                await _enter(connection, None)
                cursor = await connection.execute(_IS_WALLED)
                if await cursor.fetchone() == (True,):
                    return
            fault = (
                f"policies do not count for the role {GATEWAY}; it must own nothing, and not have BYPASSRLS"
            )
        except psycopg.errors.InsufficientPrivilege as error:
            fault = (
                f"{user} may not read as {GATEWAY} ({str(error).strip()}): run `cartrita migrate`, or as an "
                f'administrator GRANT {GATEWAY} TO "{user}" WITH INHERIT FALSE, SET TRUE'
            )
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedTable) as error:
            fault = f"{str(error).strip()}: run `cartrita migrate`"
        if not self._open_to_all.done():
            self._open_to_all.set_result(fault)
        raise psycopg.OperationalError(fault)


async def _enter(connection: Connection, sight: Sight | None) -> None:
    # Names begin with '=', as migration 0024 compares them: what is unset or empty is nobody's.
    tenant, user = ("", "") if sight is None else (_named(sight.tenant), _named(sight.user))
    await connection.execute(_ENTER, [GATEWAY, tenant, user])


def _named(name: str | None) -> str:
    return "*" if name is None else f"={name}"
