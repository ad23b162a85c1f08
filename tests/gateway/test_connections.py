"""Connections that say nothing, or never come to an end of it, are ended; others are not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from streams.gateway import connections
from streams.gateway.connections import HEAD_BYTES_MAX, HurriedProtocol


async def answer(scope: Any, receive: Any, send: Any) -> None:  # Any: as ASGI has them
    await PlainTextResponse("here")(scope, receive, send)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[uvicorn.Server]:
    """A server with few places; how long it waits is each test's own."""
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(connections, "HEAD_S", 60.0)
    config = uvicorn.Config(answer, http=HurriedProtocol, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    serving = asyncio.create_task(server._serve([listening]))
    server.config.port = listening.getsockname()[1]
    yield server
    server.should_exit = True
    await serving


@pytest.fixture
def port(server: uvicorn.Server) -> int:
    """Where it listens."""
    return server.config.port


@pytest.fixture
def hurried(server: uvicorn.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it wait but a moment for a head."""
    monkeypatch.setattr(connections, "HEAD_S", 0.1)


async def sent(port: int, data: bytes) -> bytes:
    """Return all that comes back until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(5):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("head", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: x\r\n", b"GET / HTTP/1.1\r\n\r"])
@pytest.mark.usefixtures("hurried")
async def test_a_head_that_does_not_end_ends_the_connection(port: int, head: bytes) -> None:
    assert await sent(port, head) == b""


@pytest.mark.usefixtures("hurried")
async def test_the_head_of_a_later_request_is_awaited_as_long(port: int) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert (await sent(port, whole + b"GET / HTTP/1.1\r\n")).endswith(b"here")


async def test_a_head_without_end_is_not_kept(port: int) -> None:
    assert await sent(port, b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * (HEAD_BYTES_MAX + 1)) == b""


async def test_nothing_is_awaited_of_a_connection_whose_requests_have_come(server: uvicorn.Server) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(3):
            assert (await client.get(f"http://127.0.0.1:{server.config.port}/")).text == "here"
            (connection,) = server.server_state.connections
            assert isinstance(connection, HurriedProtocol)
            assert connection._due is None


async def test_more_connections_than_may_be_are_ended(port: int) -> None:
    held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    assert await sent(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
