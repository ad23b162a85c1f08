"""Who may not come in by the front door, and who may not take more than a share of it."""

import asyncio
import contextlib
import json
import random
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from connectors.embedded.ports import choose_port
from streams.gateway.guard import COOKIE
from streams.gateway.reference import openapi_document
from streams.worker.deployment import Deployment
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.test_front_door import in_pages, opened, say, settled, told, until_answered

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway answers
SMALL = {
    "CARTRITA_GATEWAY_TOKEN_REQUESTS_PER_S": "5",
    "CARTRITA_GATEWAY_OPEN_MAX": "4",
    "CARTRITA_GATEWAY_TOKEN_OPEN_MAX": "3",
}


@pytest.fixture
def link(token: str, command_environment: dict[str, str], address: str) -> str:
    """What `cartrita login` prints."""
    command = [sys.executable, "-m", "streams.main", "login"]
    ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=True)
    assert re.fullmatch(rf"{address}/login/[A-Za-z0-9._-]+\n", ended.stdout)
    assert token not in ended.stdout
    return ended.stdout.strip()


async def test_a_browser_is_logged_in_by_a_link_that_is_good_once(address: str, link: str) -> None:
    async with httpx.AsyncClient(base_url=address) as browser:
        page = await browser.get(link)
        assert "<form" in page.text
        assert "script" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert (await browser.post(link)).status_code == 403
        assert (await browser.post(link, headers={"Origin": "https://evil.example"})).status_code == 403
        logged_in = await browser.post(link, headers={"Origin": address})
        cookie = logged_in.headers["set-cookie"]
        for part in (f"{COOKIE}=", "HttpOnly", "Secure", "SameSite=strict", "Path=/", "Max-Age=43200"):
            assert part in cookie
        assert "Domain" not in cookie
        for _ in range(2):
            assert (await browser.get(link)).status_code == 401
            assert (await browser.post(link, headers={"Origin": address})).status_code == 401
        own = {"Cookie": cookie.partition(";")[0], "Origin": address}
        assert (await browser.get("/api/v2/sessions", headers=own)).status_code == 200
        session = (await browser.post("/api/v2/sessions", headers=own, json={})).json()["sessionId"]
        bare = {"Cookie": own["Cookie"]}
        assert (await browser.get("/api/v2/sessions", headers=bare)).status_code == 401
        assert (await browser.post("/api/v2/sessions", headers=bare, json={})).status_code == 401
        chat = {"model": "cartrita", "messages": [{"role": "user", "content": "x"}]}
        assert (await browser.get("/v1/models", headers=own)).status_code == 401
        assert (await browser.post("/v1/chat/completions", headers=own, json=chat)).status_code == 401
        url = address.replace("http", "ws", 1) + f"/ws/{session}"
        async with connect(url, origin=Origin(address), additional_headers=bare) as socket:
            assert json.loads(await socket.recv())["type"] == "connection"
        with pytest.raises(InvalidStatus):
            async with connect(url, origin=Origin("https://evil.example"), additional_headers=bare):
                pass
        assert (await browser.post("/logout", headers=own)).status_code == 204
        assert (await browser.get("/api/v2/sessions", headers=own)).status_code == 401


@pytest.fixture
def small(deployment: Deployment) -> Iterator[str]:
    """A second gateway, which bears little; it serves the same sessions."""
    port = choose_port(())
    deployment.start_part("gateway-2", "gateway", environment={**SMALL, "PORT": str(port)})
    try:
        deployment.wait_until_ready("gateway-2")
        yield f"http://127.0.0.1:{port}"
    finally:
        deployment.stop_part("gateway-2")
        (deployment.directory / "parts" / "gateway-2.port").unlink()


async def test_who_takes_too_much_is_told_when_to_come_again(
    http: httpx.Client, small: str, token: str
) -> None:
    session = await asyncio.to_thread(opened, http)
    bearing = {"Authorization": f"Bearer {token}"}
    url = small.replace("http", "ws", 1) + f"/ws/{session}"
    async with (
        httpx.AsyncClient(base_url=small, headers=bearing) as client,
        contextlib.AsyncExitStack() as held,
    ):
        for _ in range(3):
            socket = await held.enter_async_context(connect(url, additional_headers=bearing))
            assert json.loads(await socket.recv())["type"] == "connection"
        async with connect(url, additional_headers=bearing) as fourth:
            with pytest.raises(ConnectionClosed) as closed:
                await fourth.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
        full = await client.get("/api/v2/sessions")
        assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (
            429,
            "too_many_open",
            "2",
        )
        # The last place of this gateway is taken by who has not said who it is; nobody else comes in.
        await held.enter_async_context(connect(url))
        assert (await client.get("/health", headers={"Authorization": ""})).status_code == 503
        with pytest.raises(InvalidStatus) as refused:
            async with connect(url):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["retry-after"] == "2"
        for _ in range(40):
            await socket.send(json.dumps({"content": "x", "type": "cancel"}))
        while (frame := json.loads(await socket.recv())).get("code") != "rate_limited":
            assert frame.get("type") != "connection"
        assert (frame["status"], frame["retryAfter"]) == (429, 1)


CHAT: Json = {"model": "cartrita", "messages": [{"role": "user", "content": "Tell me all."}]}
SAID: Json = {"model": "cartrita", "input": "Tell me all."}
# Every place in which a request names a session, or something of one: method, path, and what else is sent.
# FOREIGN stands for the id of somebody else's session, OWN for one of whoever asks.
WAYS: dict[str, tuple[str, str, Json]] = {
    "status": ("GET", "/api/v2/sessions/FOREIGN/status", {}),
    "status after": ("GET", "/api/v2/sessions/FOREIGN/status", {"params": {"after": "OWN"}}),
    "events": ("GET", "/api/v2/sessions/FOREIGN/events", {}),
    "messages": ("GET", "/api/v2/sessions/FOREIGN/messages", {}),
    "stream": ("GET", "/api/v2/sessions/FOREIGN/stream", {}),
    "stream, cursor": ("GET", "/api/v2/sessions/FOREIGN/stream", {"params": {"cursor": "0.FOREIGN.1.1"}}),
    "stream, last event": ("GET", "/api/v2/sessions/FOREIGN/stream", {"headers": {"Last-Event-ID": "3"}}),
    "say": ("POST", "/api/v2/sessions/FOREIGN/messages", {"json": {"content": "Tell me all."}}),
    "say, key": (
        "POST",
        "/api/v2/sessions/FOREIGN/messages",
        {"json": {"content": "Tell me all."}, "headers": {"Idempotency-Key": "FOREIGN"}},
    ),
    "cancel": ("POST", "/api/v2/sessions/FOREIGN/cancel", {"json": {}}),
    "close": ("POST", "/api/v2/sessions/FOREIGN/close", {"json": {}}),
    "fork": ("POST", "/api/v2/sessions/FOREIGN/fork", {"json": {"at": "FOREIGN"}}),
    "budget": ("POST", "/api/v2/sessions/FOREIGN/budget", {"json": {"tokens": 1}}),
    "feedback": (
        "POST",
        "/api/v2/sessions/FOREIGN/feedback",
        {"json": {"answerId": "FOREIGN", "rating": "bad"}},
    ),
    "approval": ("GET", "/api/v2/sessions/FOREIGN/approvals/FOREIGN", {}),
    "approve": (
        "POST",
        "/api/v2/sessions/FOREIGN/approvals/FOREIGN",
        {"json": {"approved": True, "digest": "0" * 64}},
    ),
    "edit": (
        "POST",
        "/api/v2/sessions/FOREIGN/approvals/FOREIGN/edit",
        {"json": {"arguments": "{}", "digest": "0" * 64}},
    ),
    "outcome": ("GET", "/api/v2/sessions/FOREIGN/outcomes/FOREIGN", {}),
    "tell outcome": ("POST", "/api/v2/sessions/FOREIGN/outcomes/FOREIGN", {"json": {"carriedOut": True}}),
    "timeline": ("GET", "/api/v2/sessions/FOREIGN/timeline", {}),
    "spans": ("GET", "/api/v2/sessions/FOREIGN/spans", {}),
    "event": ("GET", "/api/v2/sessions/FOREIGN/events/FOREIGN", {}),
    "tasks": ("GET", "/api/v2/sessions/FOREIGN/tasks", {}),
    "balance": ("GET", "/api/v2/sessions/FOREIGN/balance", {}),
    "trace": ("GET", "/api/v2/events/FOREIGN/trace", {}),
    "schedule": ("GET", "/api/v2/schedules/FOREIGN", {}),
    "schedule, pause": ("POST", "/api/v2/schedules/FOREIGN/pause", {"json": {}}),
    "schedule, resume": ("POST", "/api/v2/schedules/FOREIGN/resume", {"json": {}}),
    "schedule, delete": ("POST", "/api/v2/schedules/FOREIGN/delete", {"json": {}}),
    "schedule in a session": (
        "POST",
        "/api/v2/schedules",
        {"json": {"name": "n", "content": "Tell me all.", "everySeconds": 60, "sessionId": "FOREIGN"}},
    ),
    "letter": ("GET", "/api/v2/dead-letters/FOREIGN", {}),
    "redrive": ("GET", "/api/v2/redrives/FOREIGN", {}),
    "redrive of what is like a letter": ("POST", "/api/v2/redrives", {"json": {"like": "FOREIGN"}}),
    "feedback on another's answer": (
        "POST",
        "/api/v2/sessions/OWN/feedback",
        {"json": {"answerId": "FOREIGN", "rating": "bad"}},
    ),
    "chat, header": (
        "POST",
        "/v1/chat/completions",
        {"json": CHAT, "headers": {"X-Cartrita-Session": "FOREIGN"}},
    ),
    "chat, metadata": (
        "POST",
        "/v1/chat/completions",
        {"json": CHAT | {"metadata": {"session_id": "FOREIGN"}}},
    ),
    "response": ("GET", "/v1/responses/resp_FOREIGN", {}),
    "response, stream": (
        "GET",
        "/v1/responses/resp_FOREIGN",
        {"params": {"stream": "true", "starting_after": 1}},
    ),
    "response, input": ("GET", "/v1/responses/resp_FOREIGN/input_items", {}),
    "response, cancel": ("POST", "/v1/responses/resp_FOREIGN/cancel", {"json": {}}),
    "response, previous": (
        "POST",
        "/v1/responses",
        {"json": SAID | {"previous_response_id": "resp_FOREIGN"}},
    ),
    "response, conversation": ("POST", "/v1/responses", {"json": SAID | {"conversation": "conv_FOREIGN"}}),
    "response, conversation's id": (
        "POST",
        "/v1/responses",
        {"json": SAID | {"conversation": {"id": "FOREIGN"}}},
    ),
    "response, header": (
        "POST",
        "/v1/responses",
        {"json": SAID, "headers": {"X-Cartrita-Session": "FOREIGN"}},
    ),
    "response, metadata": ("POST", "/v1/responses", {"json": SAID | {"metadata": {"session_id": "FOREIGN"}}}),
}
AT_ONCE = 60


def test_every_request_that_names_something_is_tried_with_foreign_ids() -> None:
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "FOREIGN", path))
        for path, methods in openapi_document("2")["paths"].items()
        for method in methods
        # A question has a name that is the same for all, and is nobody's.
        if "{" in path.replace("questions/{name}", "")
    }

    assert described <= {(method, path) for method, path, _ in WAYS.values()}


async def tried(client: httpx.AsyncClient, own: str, foreign: str, way: str) -> tuple[int, str]:
    """Try to reach what is somebody else's; returns what is told of it, without the id."""

    def filled(value: Json) -> Json:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return value.replace("FOREIGN", foreign).replace("OWN", own) if isinstance(value, str) else value

    method, path, more = WAYS[way]
    answer = await client.request(method, filled(path), **filled(more))
    return answer.status_code, answer.text.replace(foreign, "").replace(own, "")


@pytest.mark.slow
@pytest.mark.timeout(3_600)
async def test_a_thousand_foreign_ids_open_nothing(bearing: Bearing, make_token: Make, address: str) -> None:
    scopes = [part for scope in ("read", "send", "approve", "administer") for part in ("--scope", scope)]
    ann = await asyncio.to_thread(make_token, "--user", "ann", *scopes)
    strangers = [
        await asyncio.to_thread(make_token, *options, *scopes)
        for options in (("--user", "bob"), ("--tenant", "other"), ("--tenant", "other", "--user", "ann"))
    ]
    whose = bearing(address, ann)

    def open_all() -> list[str]:
        found = [opened(whose) for _ in range(500)]
        until_answered(told(whose, found[0]), say(whose, found[0], "Calculate 6 * 9 with code."))
        settled(whose, found[0])
        return found

    annes = await asyncio.to_thread(open_all)
    # As many that are nobody's: what is said of both has to be the same.
    ids = annes + [str(uuid.uuid4()) for _ in range(500)]
    random.Random(7).shuffle(ids)
    answers: dict[str, set[tuple[int, str]]] = {way: set() for way in WAYS}
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(client: httpx.AsyncClient, own: str, foreign: str, way: str) -> None:
        async with turns:
            answers[way].add(await tried(client, own, foreign, way))

    ways = list(WAYS)
    for shift, stranger in enumerate(strangers):
        own = await asyncio.to_thread(opened, bearing(address, stranger))
        headers = {"Authorization": f"Bearer {stranger}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=60) as client:
            # Ways turn from id to id, and every way is tried with an id that is surely somebody's.
            tries = [(foreign, ways[(number + shift) % len(ways)]) for number, foreign in enumerate(ids)]
            tries += [(annes[0], way) for way in ways]
            await asyncio.gather(*(one(client, own, foreign, way) for foreign, way in tries))
            listed = (await client.get("/api/v2/sessions", params={"limit": 200})).json()["sessions"]
            # Other tests may have opened some for the same users.
            assert not {session["sessionId"] for session in listed} & set(annes)
    assert {status for told_of in answers.values() for status, _ in told_of} == {404}, answers
    assert {way: len(told_of) for way, told_of in answers.items()} == dict.fromkeys(WAYS, 1), answers
    standing = await asyncio.to_thread(whose.get, f"/api/v2/sessions/{annes[0]}/status")
    assert (standing.json()["messages"], standing.json()["status"]) == (1, "answered")


async def test_a_socket_to_another_s_session_is_none(
    bearing: Bearing, make_token: Make, address: str
) -> None:
    ann, bob, other = [
        await asyncio.to_thread(make_token, *options)
        for options in (("--user", "ann"), ("--user", "bob"), ("--tenant", "other", "--user", "ann"))
    ]
    made = await asyncio.to_thread(lambda: bearing(address, ann).post("/api/v2/sessions", json={}).json())
    own = await asyncio.to_thread(lambda: bearing(address, bob).post("/api/v2/sessions", json={}).json())
    urls = [
        address.replace("http", "ws", 1) + f"/ws/{session}"
        for session in (made["sessionId"], str(uuid.uuid4()))
    ]
    # Each waits a moment for what the sink may be about to read, and then finds nothing.
    told_of = set(
        await asyncio.gather(
            *(
                _refused(url, additional_headers={"Authorization": f"Bearer {token}"})
                for url in urls
                for token in (bob, other)
            )
        )
    )
    assert len(told_of) == 1
    assert next(iter(told_of))[0] == 1008
    # A ticket is for its session alone.
    by_ticket = [Subprotocol("cartrita"), _ticket(own["ticket"])]
    assert {code for code, _ in [await _refused(url, subprotocols=by_ticket) for url in urls]} == {1008}


async def _refused(url: str, **how: Any) -> tuple[int, str]:  # Any: as websockets takes it
    """Return with which code and reason a socket is closed."""
    async with connect(url, **how) as socket:
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def _ticket(ticket: str) -> Subprotocol:
    return Subprotocol(f"cartrita.ticket.{ticket}")


def test_marks_and_cursors_of_others_open_nothing(bearing: Bearing, make_token: Make, address: str) -> None:
    ann, bob = bearing(address, make_token("--user", "ann")), bearing(address, make_token("--user", "bob"))
    annes, bobs = opened(ann), opened(bob)
    frames = until_answered(told(ann, annes), say(ann, annes, "Calculate 8 * 8 with code."))
    settled(ann, annes)
    mark = ann.get(f"/api/v2/sessions/{annes}/events", params={"limit": 3}).json()["next"]
    listed = ann.get("/api/v2/sessions", params={"limit": 1}).json()
    until_answered(told(bob, bobs), say(bob, bobs, "Calculate 9 * 9 with code."))
    settled(bob, bobs)
    own = {event["id"] for event in in_pages(bob, bobs)}
    found = bob.get(f"/api/v2/sessions/{bobs}/events", params={"after": mark, "limit": 200}).json()["events"]
    assert {event["id"] for event in found} <= own
    for frame in frames:
        # A cursor of another's session names a place in one's own, or none.
        with bob.stream(
            "GET", f"/api/v2/sessions/{bobs}/stream", params={"cursor": frame["cursor"]}
        ) as stream:
            assert stream.status_code == 200
    if listed["next"] is not None:
        page = bob.get("/api/v2/sessions", params={"before": listed["next"]}).json()["sessions"]
        assert annes not in [one["sessionId"] for one in page]
