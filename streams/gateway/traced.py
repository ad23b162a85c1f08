"""Which trace a request belongs to, as its sender says: it goes with what the request puts on the log."""

from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.trace_context import parsed

_HEADER: Final = "traceparent"
_current: Final[ContextVar[str | None]] = ContextVar("traceparent", default=None)


def traceparent() -> str | None:
    """Return the trace context of the request that is being answered; None: it names none."""
    return _current.get()


class Traced:
    """Takes note of each request's trace context; what is none is left out."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or serve a WebSocket."""
        given = Headers(scope=scope).get(_HEADER) if scope["type"] in ("http", "websocket") else None
        token = _current.set(given if parsed(given) else None)
        try:
            await self._app(scope, receive, send)
        finally:
            _current.reset(token)
