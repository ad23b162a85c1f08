"""What the gateway sees of Postgres: in each transaction what belongs to one tenant, or to one user of it.

It reads as a role of its own (migration 0024), whose policies compare every row with what the transaction
names. So a query that forgets to ask whose a row is finds nothing of others. What a query asks for by itself
is the first wall, and stays; this is the second.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from sinks.connection import Connection
from sinks.roles import GATEWAY
from streams.gateway.problems import away
from streams.process.ending import ExitCode, ShellStopped

T = TypeVar("T")
Pool = AsyncConnectionPool[Connection]
_POOL_MAX: Final = 8
_LENT_S: Final = 2.0
"""How long a request waits for a connection to Postgres, of which nobody has heard for as long."""
_BUSY_S: Final = 10.0
"""How long it waits where Postgres answers others, who are before it."""
_PAUSE_S: Final = 0.02
_PAUSE_S_MAX: Final = 0.1
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
        self._answered_at_s = -_LENT_S
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
        is_busy = time.monotonic() < self._answered_at_s + _LENT_S
        wait_s = _BUSY_S if is_busy else _LENT_S
        try:
            async with self._pool.connection(timeout=wait_s) as connection, connection.transaction():
                await _enter(connection, sight)
                self._answered_at_s = time.monotonic()
                yield connection
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise away("Postgres") from error

    async def lately(
        self, sight: Sight, look: Callable[[Connection], Awaitable[T | None]], within_s: float
    ) -> T | None:
        """Return what a look finds, and look again for a moment: the sink may be about to read of it.

        Args:
            sight: for whom it looks.
            look: returns None as long as nothing is there.
            within_s: how long to look again.

        Raises:
            Problem: Postgres is away.
        """
        until_s, pause_s = time.monotonic() + within_s, _PAUSE_S
        while True:
            async with self.lent(sight) as connection:
                found = await look(connection)
            if found is not None or time.monotonic() >= until_s:
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

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
