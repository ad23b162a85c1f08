"""The console's files as the gateway serves them: to anybody, with a strict policy, and nothing else."""

import gzip
import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from schemas.envelope import Envelope
from schemas.events.access import Scope
from streams.gateway.access import TokenBook, mint
from streams.gateway.bounds import Bounds, Limits
from streams.gateway.console_files import console_files, routes
from streams.gateway.guard import CONSOLE_PAGES, Guard

CONSOLE = Path(__file__).parents[2] / "streams" / "gateway" / "console"
OWN = "http://127.0.0.1:3000"
LIMITS = Limits(token_requests_per_s=1_000, tenant_requests_per_s=1_000, open_max=10, token_open_max=10)


async def ask(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask a gateway that has the console alone."""
    book = TokenBook()
    _, made = mint(name="test", scopes=(Scope.READ,), tenant="acme", user=None, lifetime_s=None)
    book.apply(Envelope(body=made))
    guard = Guard(
        Starlette(routes=routes()),
        book=book,
        bounds=Bounds(LIMITS),
        hosts=(),
        origins=(),
        count=lambda _route, _status: None,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=guard), base_url=OWN) as client:
        return await client.request(method, path, headers=headers)


@pytest.mark.parametrize("path", [*sorted(CONSOLE_PAGES), "/sessions/7a1b2c3d-0000-4000-8000-000000000001"])
async def test_every_page_is_served_with_a_policy_that_lets_nothing_else_in(path: str) -> None:
    answer = await ask(path)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_file_is_served_as_what_it_is() -> None:
    for name, file in console_files().items():
        answer = await ask(f"/console/{name}")
        assert answer.content == file.content
        assert answer.headers["content-type"].partition(";")[0] == file.kind.partition(";")[0]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert gzip.decompress(file.zipped) == file.content


async def test_a_copy_that_is_still_good_is_not_sent_again() -> None:
    first = await ask("/console/app/main.js")
    again = await ask("/console/app/main.js", **{"If-None-Match": first.headers["etag"]})
    old = await ask("/console/app/main.js", **{"If-None-Match": '"another"'})

    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert old.status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/console/../guard.py",
        "/console/%2e%2e/guard.py",
        "/console/..%2fguard.py",
        "/console/app",
        "/console/",
        "/console/app/main.js/",
        "/console//etc/passwd",
    ],
)
async def test_nothing_but_the_consoles_files_is_served(path: str) -> None:
    assert (await ask(path)).status_code in (401, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/console/app/main.js"),
        ("DELETE", "/sessions/x"),
        ("GET", "/sessionsx"),
        ("GET", "/console"),
        ("GET", "/api/v2/me"),
        ("GET", "/api/v2/sessions/changes"),
    ],
)
async def test_nobody_gets_anything_else_without_a_token(method: str, path: str) -> None:
    assert (await ask(path, method)).status_code == 401


def test_every_page_that_is_linked_can_be_opened_by_its_address() -> None:
    shell = (CONSOLE / "app" / "shell.js").read_text(encoding="utf-8")
    linked = set(re.findall(r'\{ path: "([^"]+)", name:', shell))

    assert len(linked) > 5
    assert linked | {"/sessions"} == CONSOLE_PAGES
