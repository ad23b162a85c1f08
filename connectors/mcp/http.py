"""A server that is reached by HTTP, through a guard that sees every request and every redirect.

A name is resolved once for each request, all of its addresses are looked at, and the connection goes to one
that was looked at. What was certainly not carried out, because nobody was reached or the server sent us away,
is told as NOT_CARRIED_OUT, so that it is not taken for a call whose outcome is unknown.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from mcp.client.streamable_http import streamable_http_client

from connectors.mcp.connection import Transport
from connectors.mcp.errors import NOT_CARRIED_OUT
from connectors.mcp.server import Endpoint
from connectors.mcp.stdio import ServerBroken, Streams

CONNECT_S: Final = 10.0
_SENT_AWAY: Final = frozenset({401, 403, 407, 421, 429})
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressRefused(Exception):
    """A name leads to where requests must not go; the message says where."""


def demand_allowed(host: str, addresses: Sequence[str], private: Sequence[Network], *, tls: bool) -> None:
    """Refuse a host of which any address is not public, unless configuration lists it.

    Raises:
        AddressRefused: one of the addresses must not be reached.
    """
    for text in addresses:
        address = _meant(ipaddress.ip_address(text.partition("%")[0]))
        if any(address in network for network in private if network.version == address.version):
            continue
        if not address.is_global or address.is_multicast:
            raise AddressRefused(f"{host} leads to {address}, which is not public; list it in private")
        if not tls:
            raise AddressRefused(f"{host} leads to {address}, a public address, without TLS")


def _meant(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo is not None else address)


class Guard(httpx2.AsyncBaseTransport):
    """Sends requests to allowed addresses alone, and bounds what comes back."""

    def __init__(self, private: Sequence[Network], message_bytes_max: int) -> None:
        """Take the networks that are allowed beside the public ones, and the bound of a body."""
        self._private, self._bytes_max = tuple(private), message_bytes_max
        # Proxies and certificates of the environment are not ours to trust here.
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, also one that follows a redirect."""
        url = request.url
        try:
            address = await self._address(url)
        except (AddressRefused, OSError) as error:
            return _answer(request, f"not sent: {error}")
        sent = httpx2.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        try:
            response = await self._inner.handle_async_request(sent)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            return _answer(request, f"not sent: no connection to {url.host}: {error}")
        reason = _sent_away(request, response)
        if reason is not None:
            await response.aclose()
            return _answer(request, reason)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return response  # its events are bounded one by one
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Bounded(response.stream, self._bytes_max)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        await self._inner.aclose()

    async def _address(self, url: httpx2.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses:
            raise AddressRefused(f"{url.host} has no address")
        demand_allowed(url.host, addresses, self._private, tls=url.scheme == "https")
        return addresses[0]


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, bytes_max: int) -> None:
        self._inner, self._bytes_max = inner, bytes_max

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._inner:
            size += len(piece)
            if size > self._bytes_max:
                raise httpx2.StreamError(f"an answer of more than {self._bytes_max:,} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()


def _sent_away(request: httpx2.Request, response: httpx2.Response) -> str | None:
    """Return why the server did not look at a request; None where it may have."""
    if response.status_code in _SENT_AWAY:
        return f"the server refused it: HTTP {response.status_code}"
    if response.status_code not in _REDIRECTS:
        return None
    try:
        target = request.url.join(response.headers.get("location", ""))
    except httpx2.InvalidURL:
        return "the server sent us to an address that is none"
    origin = (target.scheme, target.host, target.port)
    if response.status_code in (307, 308) and origin == (
        request.url.scheme,
        request.url.host,
        request.url.port,
    ):
        return None
    shown = target.copy_with(userinfo=b"", query=None, fragment=None)
    return f"the server sent us to {shown}, which is not followed"


def _answer(request: httpx2.Request, message: str) -> httpx2.Response:
    """Answer in a server's place."""
    try:
        asked = json.loads(request.content).get("id")
    except (ValueError, AttributeError, httpx2.RequestNotRead):
        asked = None
    error = {"code": NOT_CARRIED_OUT, "message": message}
    return httpx2.Response(502, json={"jsonrpc": "2.0", "id": asked, "error": error}, request=request)


class HttpWay(Transport):
    """The way to one endpoint with one tenant's credentials."""

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str], message_bytes_max: int) -> None:
        """Connect to nothing yet; `headers` hold the credentials."""
        self._endpoint, self._headers, self._bytes_max = endpoint, dict(headers), message_bytes_max

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Streams]:
        """Open the streams; connections are made with the first request."""
        private = [ipaddress.ip_network(network) for network in self._endpoint.private]
        client = httpx2.AsyncClient(
            transport=Guard(private, self._bytes_max),
            headers=self._headers,
            # Calls have a time of their own; a stream of events may be silent for long.
            timeout=httpx2.Timeout(None, connect=CONNECT_S),
            trust_env=False,
        )
        async with (
            client,
            streamable_http_client(
                self._endpoint.url, http_client=client, max_sse_event_size=self._bytes_max
            ) as (received, to_send),
        ):
            yield received, to_send  # type: ignore[misc]  # the SDK's own streams, of the same methods

    @property
    def fault(self) -> str:
        """The errors of requests say all that is known."""
        return ""


def header_value(name: str, value: str) -> str:
    """Return a header's value if it can be sent.

    Raises:
        ServerBroken: it has line ends or other characters that headers lack; it is not quoted.
    """
    if not value.isascii() or not value.isprintable():
        raise ServerBroken(f"the value of the header {name} has characters that headers lack")
    return value
