"""Following a session live: a WebSocket in both directions, and server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from schemas.events.access import Scope
from schemas.events.inputs import InputFact, MessageReceived, SessionCancelled, SessionClosed
from streams.gateway.access import Principal, Purpose
from streams.gateway.door import Owner, require
from streams.gateway.feed import FollowerTooSlow
from streams.gateway.frames import Cursor
from streams.gateway.front import Front, NoLongerGood
from streams.gateway.metadata import metadata_json
from streams.gateway.problems import Problem, response_of

AUTHENTICATE_S: Final = 10.0
SEND_S: Final = 10.0
"""How long a client may take to accept a frame before it counts as too slow."""
PING_S: Final = 15
PROTOCOL: Final = "cartrita"
_TOKEN: Final = "cartrita.token."  # noqa: S105  # the name of a subprotocol
_TICKET: Final = "cartrita.ticket."
_POLICY: Final = 1008
_TOO_SLOW: Final = 1013
_ERROR: Final = 1011
_INVALID: Final = {"error": "Invalid message format"}
REASON_CHARACTERS_MAX: Final = 100


async def stream(request: Request) -> Response:
    """Serve a session as server-sent events; Last-Event-ID or `?cursor=` resumes behind a frame."""
    front: Front = request.app.state.front
    bearer: Principal = request.state.principal
    session_id = request.path_params["session_id"]
    try:
        require(bearer, Scope.READ)
        owner = await front.door.owner(bearer, session_id, wait=True)
        cursor = _cursor(request.headers.get("last-event-id") or request.query_params.get("cursor"))
    except Problem as problem:
        return response_of(problem, request)
    return EventSourceResponse(_events(front, bearer, owner, session_id, cursor), ping=PING_S)


async def _events(
    front: Front, bearer: Principal, owner: Owner, session_id: str, cursor: Cursor | None
) -> AsyncGenerator[ServerSentEvent, None]:
    try:
        async with aclosing(front.frames(bearer, owner, session_id, cursor)) as told:
            async for frame in told:
                body = json.dumps(frame.json(), ensure_ascii=False)
                yield ServerSentEvent(data=body, event=frame.type, id=str(frame.cursor))
    except NoLongerGood:
        yield ServerSentEvent(
            data='{"type": "closed", "reason": "the token is not good any more"}', event="closed"
        )
    except FollowerTooSlow:
        yield ServerSentEvent(data='{"type": "closed", "reason": "too slow; resume"}', event="closed")
    except Problem as problem:
        told_problem = json.dumps({"type": "closed", "reason": problem.detail})
        yield ServerSentEvent(data=told_problem, event="closed")


async def websocket(socket: WebSocket) -> None:
    """Serve a session in both directions."""
    front: Front = socket.app.state.front
    session_id = socket.path_params["session_id"]
    try:
        caller = await _authenticated(front, socket, session_id)
        front.bounds.pace(caller.bearer)
        with front.bounds.held(caller.bearer):
            require(caller.bearer, Scope.READ)
            owner = await front.door.owner(caller.bearer, session_id, wait=True)
            cursor = _cursor(caller.cursor or socket.query_params.get("cursor"))
            if caller.ticket is not None and not front.book.spend(caller.ticket):
                raise Problem(401, "this ticket was used; each connection is given a new one")
            await _Conversation(front, socket, caller.bearer, owner, session_id).run(cursor)
    except Problem as problem:
        code = _TOO_SLOW if problem.status in (429, 503) else _POLICY
        await _close(socket, code, problem.detail)
    except (WebSocketDisconnect, TimeoutError):
        await _close(socket, _POLICY, "a token or a ticket is needed first")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Who connected."""

    bearer: Principal
    ticket: str | None = None
    """With which it came; good once."""
    cursor: str | None = None
    """That its first message named."""


async def _authenticated(front: Front, socket: WebSocket, session_id: str) -> _Caller:
    """Accept a WebSocket and return who connected, by header, cookie, subprotocol or first message.

    Raises:
        Problem: nobody who may.
    """
    offered = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in offered else None)
    bearer: Principal | None = socket.state.principal
    if bearer is not None:
        return _Caller(bearer=bearer)
    for protocol in offered:
        if protocol.startswith(_TOKEN) and (bearer := front.book.bearer(protocol.removeprefix(_TOKEN))):
            return _Caller(bearer=bearer)
        ticket = protocol.removeprefix(_TICKET)
        if ticket != protocol and (bearer := front.book.pass_holder(Purpose.TICKET, ticket, session_id)):
            return _Caller(bearer=bearer, ticket=ticket)
    with front.bounds.nameless():
        async with asyncio.timeout(AUTHENTICATE_S):
            message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    first = _object(message.get("text") or "")
    if first is None or first.get("type") != "authenticate":
        raise Problem(401, 'first send {"type": "authenticate", "token": …} or a ticket')
    token, given, cursor = (first.get(name) for name in ("token", "ticket", "cursor"))
    if isinstance(token, str):
        bearer, given = front.book.bearer(token), None
    elif isinstance(given, str):
        bearer = front.book.pass_holder(Purpose.TICKET, given, session_id)
    if bearer is None:
        raise Problem(401, "this token or ticket is not good")
    return _Caller(
        bearer=bearer,
        ticket=given if isinstance(given, str) else None,
        cursor=cursor if isinstance(cursor, str) else None,
    )


class _Conversation:
    """One open WebSocket."""

    def __init__(
        self, front: Front, socket: WebSocket, bearer: Principal, owner: Owner, session_id: str
    ) -> None:
        self._front = front
        self._socket = socket
        self._bearer = bearer
        self._owner = owner
        self._session_id = session_id
        self._cursor: Cursor | None = None

    async def run(self, cursor: Cursor | None) -> None:
        self._cursor = cursor
        telling = asyncio.create_task(self._tell())
        hearing = asyncio.create_task(self._hear())
        try:
            await asyncio.wait({telling, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()
            else:
                telling.result()
        except WebSocketDisconnect:
            pass
        except NoLongerGood:
            await _close(self._socket, _POLICY, "the token is not good any more")
        except (FollowerTooSlow, TimeoutError):
            # Whoever returns with the cursor gets the rest.
            await _close(self._socket, _TOO_SLOW, f"too slow; cursor {self._cursor or ''}")
        except Problem as problem:
            code = _TOO_SLOW if problem.status == 503 else _ERROR
            await _close(self._socket, code, problem.detail)
        finally:
            for task in (telling, hearing):
                task.cancel()
            await asyncio.gather(telling, hearing, return_exceptions=True)

    async def _tell(self) -> None:
        confirmed = {
            "type": "connection",
            "sessionId": self._session_id,
            "status": "connected",
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "ticket": self._front.ticket(self._bearer, self._session_id),
        }
        await self._send(confirmed)
        told = self._front.frames(self._bearer, self._owner, self._session_id, self._cursor)
        async with aclosing(told) as frames:
            async for frame in frames:
                await self._send(frame.json())
                self._cursor = frame.cursor

    async def _hear(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            text = message.get("text")
            said = None if text is None else _object(text)
            if said is not None and said.get("type") == "ping":
                await self._send({"type": "pong"})
                continue
            fact = None if said is None else _fact(said)
            if said is None or fact is None:
                await self._send(_INVALID)
                continue
            await self._say(fact, said.get("idempotencyKey"))

    async def _say(self, fact: InputFact, key: object) -> None:
        try:
            self._front.bounds.pace(self._bearer)
            posted = await self._front.door.say(
                self._bearer, self._session_id, fact, key if isinstance(key, str) else None
            )
        except Problem as problem:
            told = {"error": problem.detail, "code": problem.code, "status": problem.status}
            await self._send(told if problem.retry_s is None else told | {"retryAfter": problem.retry_s})
            return
        await self._send({"type": "queued", "messageId": posted.event.event_id, "status": "queued"})

    async def _send(self, frame: object) -> None:
        text = json.dumps(frame, ensure_ascii=False, default=str)
        async with asyncio.timeout(SEND_S):
            await self._socket.send_text(text)


def _object(text: str) -> dict[str, object] | None:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _fact(said: dict[str, object]) -> InputFact | None:
    """Return what a client's message says; None: it is no message."""
    kind = said.get("type", "message")
    content, reason, metadata = (said.get(name) for name in ("content", "reason", "metadata"))
    if not isinstance(reason, str | None) or not isinstance(metadata, dict | None):
        return None
    if kind == "message" and isinstance(content, str) and said.get("role", "user") == "user":
        return MessageReceived(text=content, metadata_json=metadata_json(metadata or {}))
    if kind == "cancel":
        return SessionCancelled(reason=reason)
    if kind == "close":
        return SessionClosed(reason=reason)
    return None


def _cursor(text: str | None) -> Cursor | None:
    """Read the cursor of whoever returns.

    Raises:
        Problem: it is none.
    """
    if text is None:
        return None
    cursor = Cursor.read(text)
    if cursor is None:
        raise Problem(400, "this is no cursor; take that of the last frame", code="invalid_cursor")
    return cursor


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(SEND_S):
            await socket.close(code, reason[:REASON_CHARACTERS_MAX])
    except (RuntimeError, TimeoutError, WebSocketDisconnect):
        return  # it is closed already, or nobody is there
