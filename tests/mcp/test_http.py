"""Servers by HTTP: through a guard that lets nothing go where it was not sent."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp_types
import pytest
import uvicorn
from mcp.server import Server as SdkServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from connectors.mcp.http import AddressRefused, demand_allowed
from connectors.mcp.server import Credentials, Endpoint, ToolTerms
from schemas.ports.tool import ToolError
from tests.mcp.worlds import OBJECT, World, tool

LOOPBACK = ("127.0.0.0/8",)


class Remote:
    """The SDK's own server, which counts the effects of its calls and keeps the headers that it got."""

    def __init__(self) -> None:
        """Nothing was called yet."""
        self.effects = 0
        self.headers: list[dict[str, str]] = []
        self.port = 0

    async def list_tools(self, *_: Any) -> mcp_types.ListToolsResult:
        """List what there is."""
        names = ("effect", "big", "fail")
        return mcp_types.ListToolsResult(
            tools=[
                mcp_types.Tool(name=name, description=f"does {name}", input_schema=dict(OBJECT))
                for name in names
            ]
        )

    async def call_tool(self, _context: Any, params: mcp_types.CallToolRequestParams) -> Any:
        """Carry a call out."""
        self.effects += 1
        size = 3_000_000 if params.name == "big" else 3
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text="x" * size)])

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Remote"]:
        """Serve on a free port until the block ends."""
        server: SdkServer[Any] = SdkServer(
            "remote", on_list_tools=self.list_tools, on_call_tool=self.call_tool
        )
        inner = server.streamable_http_app(stateless_http=True, json_response=True)

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.headers.append(
                    {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
                )
            await inner(scope, receive, send)

        async def elsewhere(_request: Request) -> Response:
            return RedirectResponse("http://169.254.169.254/latest/meta-data", status_code=307)

        async def refused(_request: Request) -> Response:
            return JSONResponse({}, status_code=401)

        async def broken(_request: Request) -> Response:
            return JSONResponse({}, status_code=500)

        app = Starlette(
            routes=[
                Route("/elsewhere", elsewhere, methods=["POST"]),
                Route("/refused", refused, methods=["POST"]),
                Route("/broken", broken, methods=["POST"]),
                Mount("/", noting),
            ],
            lifespan=inner.router.lifespan_context,
        )
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
            serving = uvicorn.Server(config)
            task = asyncio.create_task(serving.serve(sockets=[listener]))
            while not serving.started:  # noqa: ASYNC110  # each look lets the server go on
                await asyncio.sleep(0.01)
            try:
                yield self
            finally:
                serving.should_exit = True
                await task


@pytest.fixture
async def remote() -> AsyncIterator[Remote]:
    """A running server."""
    async with Remote().running() as running:
        yield running


@asynccontextmanager
async def world_of(folder: Path, url: str, **server: Any) -> AsyncIterator[World]:
    """A world whose server is at this address."""
    endpoint = Endpoint(url=url, private=server.pop("private", LOOPBACK))
    tools = [tool(name) for name in ("effect", "big", "fail")]
    world = World(folder, *tools, way=endpoint, terms=ToolTerms(timeout_ms=20_000), **server)
    try:
        yield world
    finally:
        await world.servers.close()


async def test_a_call_by_http_gives_the_servers_text(remote: Remote, tmp_path: Path) -> None:
    async with world_of(tmp_path, f"http://127.0.0.1:{remote.port}/mcp") as world:
        assert await world.call("effect") == {"text": "xxx"}
        assert world.servers.connection("odd", "default").state == "ready"
    assert remote.effects == 1


async def test_each_tenants_credentials_go_with_its_requests_alone(remote: Remote, tmp_path: Path) -> None:
    credentials = {
        "tenants": ("default", "acme"),
        "credentials": Credentials(bearer="env:OURS"),
        "tenant_credentials": {"acme": Credentials(bearer="env:THEIRS")},
    }
    async with world_of(tmp_path, f"http://127.0.0.1:{remote.port}/mcp", **credentials) as world:
        await world.call("effect")
        ours = {one.get("authorization") for one in remote.headers}
        remote.headers.clear()
        await world.call("effect", tenant_id="acme")
        theirs = {one.get("authorization") for one in remote.headers}

    assert ours == {"Bearer secret of env:OURS"}
    assert theirs == {"Bearer secret of env:THEIRS"}


async def test_an_answer_that_is_too_large_was_carried_out(remote: Remote, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{remote.port}/mcp"
    async with world_of(tmp_path, url, message_bytes_max=1_000_000) as world:
        with pytest.raises(ToolError) as caught:
            await world.call("big")

    assert (caught.value.kind, caught.value.settled) == ("unknown", False)
    assert remote.effects == 1


@pytest.mark.parametrize(
    ("path", "reason"),
    [("elsewhere", "169.254.169.254"), ("refused", "HTTP 401"), ("broken", "error response")],
)
async def test_a_server_that_sends_us_away_is_away(
    remote: Remote, tmp_path: Path, path: str, reason: str
) -> None:
    async with world_of(tmp_path, f"http://127.0.0.1:{remote.port}/{path}") as world:
        with pytest.raises(ToolError, match=reason) as caught:
            await world.call("effect")

    assert caught.value.settled
    assert remote.effects == 0


async def test_an_address_that_is_not_listed_is_never_asked(remote: Remote, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{remote.port}/mcp"
    async with world_of(tmp_path, url, private=("10.0.0.0/8",)) as world:
        with pytest.raises(ToolError, match="not public"):
            await world.call("effect")

    assert remote.headers == []


async def test_a_server_that_went_away_between_two_calls_was_not_reached(tmp_path: Path) -> None:
    async with Remote().running() as remote:
        way = world_of(tmp_path, f"http://127.0.0.1:{remote.port}/mcp")
        world = await way.__aenter__()
        await world.call("effect")
    with pytest.raises(ToolError) as caught:
        await world.call("effect")
    await way.__aexit__(None, None, None)

    assert (caught.value.kind, caught.value.settled) == ("execution_error", True)


REFUSED = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "fe80::1",
    "fc00::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        demand_allowed("host.example", [address], [], tls=True)
    with pytest.raises(AddressRefused):
        demand_allowed("host.example", ["93.184.216.34", address], [], tls=True)


def test_public_addresses_are_allowed_with_tls_alone() -> None:
    demand_allowed("host.example", ["93.184.216.34", "2606:2800:220:1::1"], [], tls=True)
    with pytest.raises(AddressRefused, match="without TLS"):
        demand_allowed("host.example", ["93.184.216.34"], [], tls=False)


def test_what_is_listed_is_allowed() -> None:
    networks = [ipaddress.ip_network("10.1.0.0/16")]

    demand_allowed("host.example", ["10.1.2.3", "::ffff:10.1.2.3"], networks, tls=False)
    with pytest.raises(AddressRefused):
        demand_allowed("host.example", ["10.2.2.3"], networks, tls=False)
