"""One conversation with a server: the SDK's session over a dispatcher of ours, which keeps what is raw.

The SDK checks a server's answers as a whole: one malformed tool would hide all others, and a result that
does not fit its tool's schema would raise after its effect took place. So lists are taken from the wire as
they are and read one by one, and results are checked by whoever called the tool.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, Final, cast

import mcp_types
from mcp import ClientSession, MCPError
from mcp.shared.dispatcher import CallOptions, ProgressFnT
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp.shared.transport_context import TransportContext
from pydantic import ValidationError

from connectors.mcp.definitions import TOOLS_MAX
from connectors.mcp.stdio import ServerBroken, Streams
from connectors.sandbox.cleaning import clean_line

PAGES_MAX: Final = 20
_LIST: Final = "tools/list"
_CHANGED: Final = "notifications/tools/list_changed"


class _Dispatcher(JSONRPCDispatcher[TransportContext]):
    """Keeps raw lists of tools, and tells when the connection has ended."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(*streams)
        self.ended = asyncio.Event()
        self.listed: dict[str, Any] = {}  # Any: JSON as it came

    async def run(self, *args: Any, **more: Any) -> None:  # Any: handed through
        """Run until the connection ends."""
        try:
            await super().run(*args, **more)
        finally:
            self.ended.set()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None, **more: Any
    ) -> dict[str, Any]:
        """Send a request; of a list of tools, hand on only what the SDK needs to address them."""
        raw = await super().send_raw_request(method, params, opts, **more)
        if method != _LIST:
            return raw
        self.listed = raw
        tools = raw.get("tools")
        known = [one for one in map(_addressable, tools if isinstance(tools, list) else []) if one]
        cursor = raw.get("nextCursor")
        return {**raw, "tools": known, "nextCursor": cursor if isinstance(cursor, str) else None}


def _addressable(entry: object) -> dict[str, object] | None:
    """Return what the SDK mirrors into headers of a call; without the result's schema, which we check."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        return None
    schema = entry.get("inputSchema")
    if not isinstance(schema, dict):
        return None
    plain = {"name": entry["name"], "inputSchema": schema}
    try:
        mcp_types.Tool.model_validate(plain, by_name=False)
    except ValidationError:
        return None
    return plain


class Session:
    """A server that has answered."""

    def __init__(self, session: ClientSession, dispatcher: _Dispatcher, changed: asyncio.Event) -> None:
        """Take over a session that has greeted; use `open_session`."""
        self._session = session
        self._dispatcher = dispatcher
        self.changed = changed
        """Set when the server says that its list of tools has changed."""

    @property
    def ended(self) -> asyncio.Event:
        """Set when the connection has ended."""
        return self._dispatcher.ended

    @property
    def protocol(self) -> str:
        """Return the version of the protocol that both speak."""
        return self._session.protocol_version or ""

    @property
    def version(self) -> str:
        """Return what the server says that it is, for people."""
        said = self._session.server_info
        return "" if said is None else clean_line(f"{said.name} {said.version}", 100)

    async def tools(self) -> list[object]:
        """Return the entries of the server's list of tools, as they came.

        Raises:
            MCPError: the server refused, or the connection has ended.
            ServerBroken: the answer is no list, or has no end.
        """
        self.changed.clear()
        entries: list[object] = []
        cursor: str | None = None
        for _ in range(PAGES_MAX):
            params = mcp_types.PaginatedRequestParams(cursor=cursor) if cursor is not None else None
            try:
                answer = await self._session.list_tools(params=params)
            except ValidationError as error:
                if not isinstance(self._dispatcher.listed.get("tools"), list):
                    raise ServerBroken("it answered tools/list with what is no list of tools") from error
                # Whatever else is wrong with the answer, the tools are there.
                answer = None
            listed = self._dispatcher.listed.get("tools")
            if not isinstance(listed, list):
                raise ServerBroken("it answered tools/list with what is no list of tools")
            entries += listed
            cursor = answer.next_cursor if answer is not None else None
            if cursor is None or len(entries) > TOOLS_MAX:
                return entries
        raise ServerBroken(f"its list of tools has more than {PAGES_MAX} pages")

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, object],
        meta: Mapping[str, object],
        on_progress: ProgressFnT,
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        """Call a tool; what it gave is checked by the caller.

        Raises:
            MCPError: the server answered with an error, or the connection has ended.
            ValidationError: the answer is none that the protocol knows.
        """
        result = await self._session.call_tool(
            tool,
            dict(arguments),
            progress_callback=on_progress,
            meta=cast("mcp_types.RequestParamsMeta", dict(meta)),
            allow_input_required=True,
        )
        assert isinstance(result, mcp_types.CallToolResult | mcp_types.InputRequiredResult)
        return result


@asynccontextmanager
async def open_session(streams: Streams) -> AsyncIterator[Session]:
    """Greet a server in the newest way that it knows; the conversation ends with the block.

    Raises:
        MCPError: it refused, or the connection has ended.
        ServerBroken: it answers as no server does.
    """
    changed = asyncio.Event()

    async def on_message(message: object) -> None:
        if getattr(message, "method", None) == _CHANGED:
            changed.set()

    dispatcher = _Dispatcher(streams)
    session = ClientSession(
        dispatcher=dispatcher,
        message_handler=on_message,
        client_info=mcp_types.Implementation(name="cartrita", version=metadata.version("cartrita")),
    )
    async with session:
        try:
            await _greet(session)
        except (ValidationError, RuntimeError) as error:
            raise ServerBroken(f"its greeting cannot be read: {clean_line(str(error), 300)}") from error
        yield Session(session, dispatcher, changed)


async def _greet(session: ClientSession) -> None:
    try:
        await session.discover()
    except (MCPError, ValidationError, RuntimeError):
        # Servers of before 2026 know no discovery, and say so in many ways.
        await session.initialize()
