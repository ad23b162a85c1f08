"""A connection before it says what it wants: how long it may take, with how much, beside how many others."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0
"""From a connection's beginning, or a request's, until its last header is there."""
HEAD_BYTES_MAX: Final = 65_536
CONNECTIONS_MAX: Final = 8_000


class HurriedProtocol(HttpToolsProtocol):
    """uvicorn's, but that it ends connections on which a request's head is late or endless.

    uvicorn waits for ever for the first request of a connection, and takes headers without end.
    """

    _due: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS_MAX:
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing any more."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what comes of a head."""
        if self._due is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._due is not None and self._head_bytes > HEAD_BYTES_MAX:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Expect the head of a request that begins."""
        if self._due is None:
            self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Take the head."""
        self._head_came()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_bytes = 0
        self._due = self.loop.call_later(HEAD_S, self.transport.abort)

    def _head_came(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
