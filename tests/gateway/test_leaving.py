"""A client that goes away gives its place back, and nothing waits for it any longer."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from schemas.envelope import Envelope
from schemas.events.access import Scope as Right
from streams.gateway.access import TokenBook, mint
from streams.gateway.bounds import Bounds, Limits
from streams.gateway.guard import Guard
from streams.gateway.leaving import unless_gone
from streams.gateway.problems import Problem, response_of

Message = MutableMapping[str, Any]  # Any: as ASGI has them
LIMITS = Limits(token_requests_per_s=100, tenant_requests_per_s=100, open_max=5, token_open_max=5)


class Waiting:
    """A guarded route whose answer comes when it is told to."""

    def __init__(self) -> None:
        self.token, made = mint(name="test", scopes=(Right.READ,), tenant="acme", user=None, lifetime_s=None)
        book = TokenBook()
        book.apply(Envelope(body=made))
        self.bounds = Bounds(LIMITS)
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.began, self.ended = asyncio.Event(), asyncio.Event()
        routes = [Route("/x", self.route, methods=["POST"])]
        self.app = Guard(
            Starlette(routes=routes),
            book=book,
            bounds=self.bounds,
            hosts=(),
            origins=(),
            count=lambda _path, _status: None,
        )

    async def route(self, request: Request) -> Response:
        await request.body()
        try:
            return JSONResponse(await unless_gone(request, self.wait()))
        except Problem as problem:
            return response_of(problem, request)

    async def wait(self) -> str:
        self.began.set()
        try:
            return await asyncio.shield(self.answer)
        finally:
            self.ended.set()

    async def asked(self, receive: Callable[[], Awaitable[Message]]) -> list[Message]:
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/x",
            "raw_path": b"/x",
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {self.token}".encode())],
            "server": ("localhost", 80),
            "client": ("localhost", 1),
            "http_version": "1.1",
        }
        await self.app(scope, receive, send)
        return sent


async def test_who_goes_away_gives_the_place_back_and_what_was_asked_goes_on() -> None:
    waiting = Waiting()
    left = asyncio.Event()
    messages: list[Message] = [{"type": "http.request", "body": b"{}", "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await left.wait()
        return {"type": "http.disconnect"}

    asking = asyncio.create_task(waiting.asked(receive))
    await asyncio.wait_for(waiting.began.wait(), 5)
    assert waiting.bounds.open == 1
    left.set()
    await asyncio.wait_for(asking, 5)
    assert waiting.bounds.open == 0
    assert waiting.ended.is_set()
    assert not waiting.answer.cancelled()


@pytest.mark.parametrize("fails", [False, True])
async def test_who_stays_is_answered(fails: bool) -> None:
    waiting = Waiting()
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.request", "body": b"}", "more_body": False},
    ]

    async def receive() -> Message:
        if not messages:
            if fails:
                waiting.answer.set_exception(Problem(503, "it is away"))
            else:
                waiting.answer.set_result("here it is")
            await asyncio.Event().wait()
        return messages.pop(0)

    start, body = await asyncio.wait_for(waiting.asked(receive), 5)
    assert start["status"] == (503 if fails else 200)
    assert (b"here it is" in body["body"]) is not fails
    assert waiting.bounds.open == 0
