"""What every request passes before anything reads it: host, origin, size, and a token."""

from collections.abc import Callable, Collection
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.gateway.access import Principal, TokenBook
from streams.gateway.problems import Problem, response_of

BODY_BYTES_MAX: Final = 1_048_576
_OPEN_PATHS: Final = frozenset({"/health"})
"""What is answered without a token, with less."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_BEARER: Final = "bearer "


class Guard:
    """Lets requests through that name an expected host, come from an expected page, and bear a good token.

    WebSockets pass without a token here: a browser cannot send one before the connection stands.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        book: TokenBook,
        hosts: Collection[str],
        origins: Collection[str],
        count: Callable[[str, int], None],
    ) -> None:
        """Take what is expected.

        Args:
            app: what is guarded.
            book: the tokens.
            hosts: names by which the gateway is called, beside the loopback's; so a page elsewhere that
                lets its own name point here reaches nothing.
            origins: pages that may ask from a browser, such as https://console.example.
            count: is told path and status of every refused request.
        """
        self._app = app
        self._book = book
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._origins = frozenset(origins)
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and pass on the rest."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            self._check_place(connection.headers)
            if scope["type"] == "http":
                self._check_size(connection.headers)
                principal = bearer_of(self._book, connection.headers)
                if principal is None and scope["path"] not in _OPEN_PATHS:
                    raise Problem(
                        401,
                        "a token is needed: Authorization: Bearer …; `cartrita tokens create` makes one",
                        code="invalid_api_key",
                    )
                scope.setdefault("state", {})["principal"] = principal
        except Problem as problem:
            self._count("refused", problem.status)
            if scope["type"] == "websocket":
                await _refuse_socket(receive, send, problem)
            else:
                await response_of(problem, connection)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), send)

    def _check_place(self, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts:
            raise Problem(
                421,
                "the gateway is not known by this name; CARTRITA_GATEWAY_HOSTS lists its names",
                code="unknown_host",
            )
        origin = headers.get("origin")
        own = {f"http://{host}", f"https://{host}"}
        if origin is not None and origin not in self._origins | own:
            raise Problem(
                403, "pages of this origin may not ask; CARTRITA_GATEWAY_ORIGINS lists those that may"
            )

    def _check_size(self, headers: Headers) -> None:
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdecimal()):
            raise Problem(400, "Content-Length is no number")
        if int(length[:20]) > BODY_BYTES_MAX:
            raise too_large()


def bearer_of(book: TokenBook, headers: Headers) -> Principal | None:
    """Return whom the token in a request's header stands for; None: there is none, or it is not good."""
    given = headers.get("authorization", "")
    return book.bearer(given[len(_BEARER) :].strip()) if given.lower().startswith(_BEARER) else None


def too_large() -> Problem:
    """Return what is said of a body beyond the bound."""
    return Problem(413, f"the body has more than {BODY_BYTES_MAX:,} bytes", code="too_large")


def _bounded(receive: Receive) -> Receive:
    """Count what comes, for a body that does not say its length."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            if size > BODY_BYTES_MAX:
                raise too_large()
        return message

    return bounded


async def _refuse_socket(receive: Receive, send: Send, problem: Problem) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 1008, "reason": problem.detail[:100]})
