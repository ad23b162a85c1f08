"""What every request passes before anything reads it: place, origin, size, pace, and who it is."""

import asyncio
from collections.abc import Callable, Collection
from contextlib import ExitStack
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.gateway.access import Principal, Purpose, TokenBook
from streams.gateway.bounds import Bounds
from streams.gateway.problems import OPENAI_PATH, Problem, response_of

BODY_BYTES_MAX: Final = 1_048_576
BODY_S: Final = 30.0
"""How long a body may take to come."""
COOKIE: Final = "__Host-cartrita"
LOGIN_PATH: Final = "/login/"
CONSOLE_PATH: Final = "/console/"
CONSOLE_PAGES: Final = frozenset(
    {
        "/",
        "/sessions",
        "/approvals",
        "/cost",
        "/questions",
        "/schedules",
        "/dead-letters",
        "/agents",
        "/system",
    }
)
SESSION_PAGE: Final = "/sessions/"
_OPEN_PATHS: Final = frozenset({"/health"})
"""What is answered without a token, with less."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_BEARER: Final = "bearer "
_SAFE: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise."""


class Guard:
    """Lets requests through that name an expected host, come from an expected page, and bear a good token.

    WebSockets pass without a token here: a browser cannot send one before the connection stands.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        book: TokenBook,
        bounds: Bounds,
        hosts: Collection[str],
        origins: Collection[str],
        count: Callable[[str, int], None],
    ) -> None:
        """Take what is expected.

        Args:
            app: what is guarded.
            book: the tokens.
            bounds: how much may be asked, and be open.
            hosts: names by which the gateway is called, beside the loopback's; so a page elsewhere that
                lets its own name point here reaches nothing.
            origins: pages that may ask from a browser, such as https://console.example.
            count: is told path and status of every refused request.
        """
        self._app = app
        self._book = book
        self._bounds = bounds
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}
        self._origins = frozenset(origins)
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused, and pass on the rest."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        with ExitStack() as held:
            try:
                self._admit(scope, held)
            except Problem as problem:
                self._count("refused", problem.status)
                await response_of(problem, HTTPConnection(scope))(scope, receive, _safe(send))
                return
            if scope["type"] == "http":
                receive, send = _bounded(receive), _safe(send)
            await self._app(scope, receive, send)

    def _admit(self, scope: Scope, held: ExitStack) -> None:
        """See that a request may come in, and hold its place.

        Raises:
            Problem: it may not.
        """
        headers = Headers(scope=scope)
        self._check_host(headers)
        from_page = self._check_origin(headers, scope)
        principal = bearer_of(self._book, headers)
        if principal is None and from_page and not scope["path"].startswith(OPENAI_PATH + "/"):
            principal = _browser_of(self._book, headers)
        scope.setdefault("state", {}).update(principal=principal, from_page=from_page)
        if scope["type"] == "http":
            _check_size(headers)
            if principal is not None:
                self._bounds.pace(principal)
                held.enter_context(self._bounds.held(principal))
            elif not _is_open(scope["method"], scope["path"]):
                raise Problem(
                    401,
                    "a token is needed: Authorization: Bearer …; `cartrita tokens create` makes one",
                    code="invalid_api_key",
                )
        held.enter_context(self._bounds.opened())

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in self._hosts:
            raise Problem(
                421,
                "the gateway is not known by this name; CARTRITA_GATEWAY_HOSTS lists its names",
                code="unknown_host",
            )

    def _check_origin(self, headers: Headers, scope: Scope) -> bool:
        """Tell whether a browser says that the request is made by a page that may; nobody else's says so."""
        host = headers.get("host", "").lower()
        origin = headers.get("origin")
        if origin is None:
            # Browsers name no origin with what a page reads from its own; they say that it is its own.
            own = headers.get("sec-fetch-site") == "same-origin"
            return own and scope["type"] == "http" and scope["method"] == "GET"
        if origin not in self._origins | {f"http://{host}", f"https://{host}"}:
            raise Problem(
                403, "pages of this origin may not ask; CARTRITA_GATEWAY_ORIGINS lists those that may"
            )
        return True


def _is_open(method: str, path: str) -> bool:
    """Tell whether anybody is answered; the console's files are the same for all, and hold no data."""
    if path in _OPEN_PATHS or path.startswith(LOGIN_PATH):
        return True
    is_console = path in CONSOLE_PAGES or path.startswith((CONSOLE_PATH, SESSION_PAGE))
    return is_console and method in ("GET", "HEAD")


def _check_size(headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise Problem(400, "Content-Length is no number")
    if int(length[:20]) > BODY_BYTES_MAX:
        raise too_large()


def bearer_of(book: TokenBook, headers: Headers) -> Principal | None:
    """Return whom the token in a request's header stands for; None: there is none, or it is not good."""
    given = headers.get("authorization", "")
    return book.bearer(given[len(_BEARER) :].strip()) if given.lower().startswith(_BEARER) else None


def _browser_of(book: TokenBook, headers: Headers) -> Principal | None:
    """Return whom a browser's cookie stands for; None: there is none, or it is not good."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else book.pass_holder(Purpose.BROWSER, morsel.value)


def too_large() -> Problem:
    """Return what is said of a body beyond the bound."""
    return Problem(413, f"the body has more than {BODY_BYTES_MAX:,} bytes", code="too_large")


def _bounded(receive: Receive) -> Receive:
    """Count what comes, for a body that does not say its length, and wait for it no longer than a while."""
    size = 0
    whole = False
    until_s = asyncio.get_running_loop().time() + BODY_S

    async def bounded() -> Message:
        nonlocal size, whole
        if whole:
            return await receive()  # until the client goes away
        try:
            async with asyncio.timeout_at(until_s):
                message = await receive()
        except TimeoutError as error:
            raise Problem(408, f"the body took more than {BODY_S:.0f} s to come", code="too_slow") from error
        if message["type"] == "http.request":
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > BODY_BYTES_MAX:
                raise too_large()
        return message

    return bounded


def _safe(send: Send) -> Send:
    """Tell browsers with every answer to take it for what it is, and to keep and frame none."""

    async def safe(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name, value in _SAFE.items():
                headers.setdefault(name, value)
        await send(message)

    return safe
