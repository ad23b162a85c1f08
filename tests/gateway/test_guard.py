"""The guard before a plain application: who is let in, from where, and with how much."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse

from schemas.envelope import Envelope
from schemas.events.access import Scope as Right
from streams.gateway.access import Purpose, TokenBook, mint
from streams.gateway.bounds import Bounds, Limits
from streams.gateway.guard import BODY_BYTES_MAX, COOKIE, Guard
from streams.gateway.problems import Problem, response_of

OWN = "http://127.0.0.1:3000"
LISTED = "https://console.example"
FOREIGN = "https://evil.example"
LIMITS = Limits(token_requests_per_s=1_000, tenant_requests_per_s=1_000, open_max=2, token_open_max=1)


class Door:
    """A guarded application that tells who asked, and what."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.book = TokenBook()
        self.token, self.made = mint(
            name="test", scopes=(Right.READ,), tenant="acme", user=None, lifetime_s=None
        )
        self.book.apply(Envelope(body=self.made))
        self.refused: list[int] = []
        self.guard = Guard(
            self.answer,
            book=self.book,
            bounds=Bounds(limits),
            hosts=("door.example",),
            origins=(LISTED,),
            count=lambda _, status: self.refused.append(status),
        )

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:  # Any: as ASGI has them
        request = Request(scope, receive)
        try:
            size = len(await request.body())
        except Problem as problem:
            await response_of(problem, request)(scope, receive, send)
            return
        who = request.state.principal
        told = {"tenant": None if who is None else who.tenant, "size": size}
        await JSONResponse(told)(scope, receive, send)

    async def ask(self, method: str = "GET", path: str = "/x", *, token: str | None = "", **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {token or self.token}"} if token is not None else {}
        headers |= more.pop("headers", {})
        transport = httpx.ASGITransport(app=self.guard)
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
            return await client.request(method, path, headers=headers, **more)

    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"{COOKIE}={self.book.issue(Purpose.BROWSER, self.made.token_id)}"}


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost", "[::1]:3000", "[::1]", "DOOR.example:443"])
async def test_its_own_names_are_answered_to(host: str) -> None:
    assert (await Door().ask(headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:3000",
        "",
        ":3000",
        "127.0.0.2",
        "door.example.",
    ],
)
async def test_other_names_are_not(host: str) -> None:
    door = Door()
    assert (await door.ask(headers={"Host": host})).status_code == 421
    assert door.refused == [421]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (OWN, 200),
        (LISTED, 200),
        (FOREIGN, 403),
        ("null", 403),
        ("*", 403),
        ("http://127.0.0.1:3001", 403),
        (LISTED + ".evil.example", 403),
        (LISTED + ":444", 403),
        ("http://console.example", 403),
        ("", 403),
    ],
)
async def test_pages_of_exact_origins_may_ask(origin: str, status: int) -> None:
    assert (await Door().ask(headers={"Origin": origin})).status_code == status


@pytest.mark.parametrize("path", ["/x", "/v1/models", "/api/v2/sessions"])
@pytest.mark.parametrize("token", [None, "wrong", "ck_" + "A" * 43])
async def test_nothing_is_answered_without_a_token(path: str, token: str | None) -> None:
    answer = await Door().ask(path=path, token=token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_bare_health_is_told_to_all() -> None:
    assert (await Door().ask(path="/health", token=None)).json() == {"tenant": None, "size": 0}


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/api/v2/sessions", {"Origin": OWN}, 200),
        ("POST", "/api/v2/sessions", {"Origin": OWN}, 200),
        ("GET", "/api/v2/sessions", {"Origin": LISTED}, 200),
        ("GET", "/api/v2/sessions", {"Sec-Fetch-Site": "same-origin"}, 200),
        ("GET", "/api/v2/sessions", {}, 401),
        ("POST", "/api/v2/sessions", {}, 401),
        ("POST", "/api/v2/sessions", {"Sec-Fetch-Site": "same-origin"}, 401),
        ("GET", "/api/v2/sessions", {"Sec-Fetch-Site": "same-site"}, 401),
        ("GET", "/api/v2/sessions", {"Sec-Fetch-Site": "none"}, 401),
        ("GET", "/api/v2/sessions", {"Origin": FOREIGN}, 403),
        ("GET", "/v1/models", {"Origin": OWN}, 401),
        ("POST", "/v1/chat/completions", {"Origin": OWN}, 401),
    ],
)
async def test_a_browsers_cookie_is_good_for_its_own_pages_alone(
    method: str, path: str, headers: dict[str, str], status: int
) -> None:
    door = Door()
    answer = await door.ask(method, path, token=None, headers={**headers, **door.cookie()})
    assert answer.status_code == status


@pytest.mark.parametrize("value", ["", "x", "a.b.c.d", '"', ";;;", "\x01"])
async def test_what_is_no_cookie_of_ours_is_nobodys(value: str) -> None:
    headers = {"Cookie": f"{COOKIE}={value}", "Origin": OWN}
    assert (await Door().ask(token=None, headers=headers)).status_code == 401


async def test_other_passes_are_no_cookies() -> None:
    door = Door()
    for purpose in (Purpose.TICKET, Purpose.LOGIN):
        given = door.book.issue(purpose, door.made.token_id)
        headers = {"Cookie": f"{COOKIE}={given}", "Origin": OWN}
        assert (await door.ask(token=None, headers=headers)).status_code == 401


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * size


async def test_a_body_is_bounded_whether_it_says_its_length_or_not() -> None:
    door = Door()
    assert (await door.ask("POST", content=b"x" * BODY_BYTES_MAX)).json()["size"] == BODY_BYTES_MAX
    assert (await door.ask("POST", content=b"x" * (BODY_BYTES_MAX + 1))).status_code == 413
    assert (await door.ask("POST", content=pieces(32, 32_768))).json()["size"] == BODY_BYTES_MAX
    assert (await door.ask("POST", content=pieces(33, 32_768))).status_code == 413
    assert (await door.ask("POST", headers={"Content-Length": "one"})).status_code == 400


async def test_who_asks_too_often_is_told_when_to_come_again() -> None:
    door = Door(Limits(token_requests_per_s=1, tenant_requests_per_s=9, open_max=2, token_open_max=1))
    statuses = [(await door.ask()).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    answer = await door.ask(path="/v1/models")
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert answer.json()["error"]["code"] == "rate_limited"


async def test_every_answer_tells_browsers_to_be_careful() -> None:
    door = Door()
    for answer in (await door.ask(), await door.ask(token=None), await door.ask(headers={"Origin": FOREIGN})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


async def test_places_come_back_when_an_application_fails() -> None:
    door = Door()

    async def failing(scope: Any, receive: Any, send: Any) -> None:  # Any: as ASGI has them
        raise RuntimeError

    door.guard._app = failing
    for _ in range(5):
        with pytest.raises(RuntimeError):
            await door.ask()
    assert door.guard._bounds.open == 0
