"""The connection to one server for one tenant: held by one task, made anew when it breaks.

The SDK's streams must be opened and closed in one task, so a task owns them from the first attempt until
`stop`. Callers share the session while it lasts. Nothing that a server does ends the owner.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Final

import structlog
from mcp import MCPError

from connectors.mcp.definitions import Listing, read_listing
from connectors.mcp.server import Server
from connectors.mcp.session import Session, open_session
from connectors.mcp.stdio import ServerBroken, Streams
from connectors.sandbox.cleaning import clean_line

RETRY_S: Final = 0.5
RETRY_S_MAX: Final = 60.0
LISTED_S_MAX: Final = 60.0
"""A list of tools that is older is asked for anew before the next call."""
LOOK_S: Final = 300.0
"""How often a server that says nothing of changes is asked for its list."""
LIST_PAUSE_S: Final = 1.0
"""The least time between two lists that a server asks us to read."""
_log = structlog.get_logger()


class State(StrEnum):
    """Where a connection stands."""

    STARTING = "starting"
    READY = "ready"
    AWAY = "away"
    STOPPED = "stopped"


class ServerAway(Exception):
    """A server cannot be called now: nothing was sent to it. The message says why."""


class Transport:
    """How a server is reached: opened once for each attempt."""

    def open(self) -> AbstractAsyncContextManager[Streams]:
        """Open the streams."""
        raise NotImplementedError

    @property
    def fault(self) -> str:
        """Say why the streams ended, where that is known."""
        return ""


class Connection:
    """One server, as one tenant knows it."""

    def __init__(
        self,
        server: Server,
        tenant: str,
        transport: Callable[[], Awaitable[Transport]],
        *,
        on_listing: Callable[[Listing, Session], None] = lambda _listing, _session: None,
        retry_s: float = RETRY_S,
        listed_s_max: float = LISTED_S_MAX,
    ) -> None:
        """Start nothing yet.

        Args:
            server: what is connected to.
            tenant: for whom.
            transport: makes a way to the server; called for each attempt.
            on_listing: told of each list of tools, before any call can rely on it.
            retry_s: the first pause after a failure; it doubles up to RETRY_S_MAX.
            listed_s_max: see LISTED_S_MAX.
        """
        self._server, self._tenant = server, tenant
        self._make_transport = transport
        self._on_listing = on_listing
        self._retry_s, self._listed_s_max = retry_s, listed_s_max
        self._owner: asyncio.Task[None] | None = None
        self._session: Session | None = None
        self._listed_at_s = 0.0
        self._listing_lock = asyncio.Lock()
        self._moved = asyncio.Condition()
        self.state = State.STARTING
        self.fault = ""
        """Why the server is away, for people."""

    def start(self) -> None:
        """Begin to connect; does nothing where that has begun."""
        if self._owner is None:
            self.state = State.STARTING
            self._owner = asyncio.create_task(self._own(), name=f"mcp {self._server.name} {self._tenant}")

    async def stop(self) -> None:
        """End the connection, and what runs for it."""
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.cancel()
            await asyncio.gather(owner, return_exceptions=True)
        await self._move(State.STOPPED, "it was stopped")

    async def ready(self) -> Session:
        """Return the session, with a list of tools that is not too old.

        Waits while the first attempt is under way, and not while a server is away.

        Raises:
            ServerAway: it cannot be called now.
        """
        self.start()
        async with self._moved:
            await self._moved.wait_for(self._is_settled)
            session = self._session
            if session is None:
                raise ServerAway(self.fault or "it is away")
        loop = asyncio.get_running_loop()
        async with self._listing_lock:
            if session.changed.is_set() or loop.time() - self._listed_at_s > self._listed_s_max:
                try:
                    await self._list(session)
                except (MCPError, ServerBroken, TimeoutError) as error:
                    raise ServerAway(f"it does not tell its tools: {told_of(error)}") from error
        return session

    def _is_settled(self) -> bool:
        """Tell whether it is known now if the server can be called."""
        ending = self._session is not None and self._session.ended.is_set()
        return self.state is not State.STARTING and not ending

    async def _own(self) -> None:
        delay_s = self._retry_s
        while True:
            began_s = asyncio.get_running_loop().time()
            fault = await self._attempt()
            lasted_s = asyncio.get_running_loop().time() - began_s
            delay_s = self._retry_s if lasted_s > RETRY_S_MAX else delay_s
            await self._move(State.AWAY, fault)
            _log.warning(
                "mcp_server_away",
                server=self._server.name,
                tenant=self._tenant,
                reason=fault,
                retry_s=delay_s,
            )
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_S_MAX)
            # Who comes now waits for the attempt: it may well succeed.
            await self._move(State.STARTING, fault)

    async def _attempt(self) -> str:
        """Connect and stay connected; return why that ended."""
        transport: Transport | None = None
        try:
            async with asyncio.timeout(self._server.start_ms / 1_000) as limit:
                transport = await self._make_transport()
                async with transport.open() as streams, open_session(streams) as session:
                    await self._list(session)
                    limit.reschedule(None)
                    await self._move(State.READY, "", session)
                    _log.info(
                        "mcp_server_ready",
                        server=self._server.name,
                        tenant=self._tenant,
                        protocol=session.protocol,
                        version=session.version,
                    )
                    await self._watch(session)
        except TimeoutError:
            return f"it told no list of tools within {self._server.start_ms:,} ms"
        except Exception as error:  # noqa: BLE001, RUF100  # whatever a server provokes costs its own tools alone
            return (transport.fault if transport is not None else "") or told_of(error)
        return transport.fault or "the connection has ended"

    async def _watch(self, session: Session) -> None:
        """Read the list anew when the server says that it changed, and now and then; return at the end."""
        while not session.ended.is_set():
            await _first_of((session.ended, session.changed), LOOK_S)
            if not session.ended.is_set():
                async with self._listing_lock:
                    await self._list(session)
            await _first_of((session.ended,), LIST_PAUSE_S)

    async def _list(self, session: Session) -> None:
        async with asyncio.timeout(self._server.start_ms / 1_000):
            entries = await session.tools()
        self._listed_at_s = asyncio.get_running_loop().time()
        self._on_listing(read_listing(self._server.name, entries), session)

    async def _move(self, state: State, fault: str, session: Session | None = None) -> None:
        async with self._moved:
            self.state, self.fault, self._session = state, fault, session
            self._moved.notify_all()


async def _first_of(events: tuple[asyncio.Event, ...], timeout_s: float) -> None:
    """Wait until one of the events is set, or for so long."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


def told_of(error: BaseException) -> str:
    """Say what went wrong, in a line for people; of several errors at once the first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return clean_line(str(error) or type(error).__name__, 300)
