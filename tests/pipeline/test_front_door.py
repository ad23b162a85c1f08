"""The front door as people and their programs use it: HTTP, streams, WebSockets and OpenAI's own client."""

import asyncio
import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx
import pytest
from openai import APIStatusError, NotFoundError, OpenAI
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin, Subprotocol

from schemas.events.access import Scope
from streams.process.ending import ExitCode
from streams.worker.deployment import Deployment
from tests.pipeline.conftest import Bearing, Make
from tests.pipeline.outsider import Outsider, message
from tests.pipeline.waiting import tries

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever the gateway answers
ANSWER_S = 120


def opened(http: httpx.Client, **body: object) -> str:
    answer = http.post("/api/v2/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sessionId"])


def say(http: httpx.Client, session: str, text: str, **headers: str) -> str:
    answer = http.post(f"/api/v2/sessions/{session}/messages", json={"content": text}, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["messageId"])


@contextlib.contextmanager
def followed(http: httpx.Client, session: str, cursor: str | None = None) -> Iterator[Iterator[Json]]:
    """Follow a session by server-sent events; whatever is said within is told, without end."""
    headers = {} if cursor is None else {"Last-Event-ID": cursor}
    url = f"/api/v2/sessions/{session}/stream"
    with http.stream("GET", url, headers=headers, timeout=ANSWER_S) as stream:
        assert stream.status_code == 200, stream.read()
        data = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        yield map(json.loads, data)


def told(http: httpx.Client, session: str, cursor: str | None = None) -> Iterator[Json]:
    """Tell what a session told and tells, without end; the pieces of an answer that is whole are left out."""
    with followed(http, session, cursor) as frames:
        yield from frames


def until_answered(frames: Iterator[Json], message_id: str) -> list[Json]:
    seen = []
    for frame in frames:
        seen.append(frame)
        if frame["type"] == "answer" and frame["messageId"] == message_id:
            return seen
    raise AssertionError("the stream ended before the answer")


def settled(http: httpx.Client, session: str) -> Json:
    """Return how a session stands once the sink has its answer."""
    for _ in tries():
        standing = http.get(f"/api/v2/sessions/{session}/status").json()
        if standing["status"] == "answered":
            break
    return standing


def in_pages(http: httpx.Client, session: str) -> list[Json]:
    events: list[Json] = []
    mark: Json = {}
    while mark is not None:
        page = http.get(f"/api/v2/sessions/{session}/events", params={"limit": 7, **mark}).json()
        events += page["events"]
        mark = None if page["next"] is None else {"after": page["next"]}
    return events


def test_a_conversation_by_http(http: httpx.Client) -> None:
    session = opened(
        http, userId="ann", title="Sums", metadata={"channel": "test"}, budget={"tokens": 50_000}
    )
    with followed(http, session) as heard:
        message_id = say(http, session, "Calculate 17 * 23 with code.")
        frames = until_answered(heard, message_id)
    assert frames[0]["type"] == "turn_started"
    assert "".join(frame["text"] for frame in frames if frame["type"] == "delta") == frames[-1]["text"]
    assert "391" in frames[-1]["text"]
    standing = settled(http, session)
    assert (standing["status"], standing["userId"], standing["title"]) == ("answered", "ann", "Sums")
    assert standing["budgetTokens"] == 50_000
    assert 0 < standing["tokensUsed"] == frames[-1]["tokens"]
    said = http.get(f"/api/v2/sessions/{session}/messages").json()["messages"]
    assert [(one["role"], one["content"]) for one in said] == [
        ("user", "Calculate 17 * 23 with code."),
        ("assistant", frames[-1]["text"]),
    ]
    assert said[1]["replyTo"] == message_id
    assert session in [one["sessionId"] for one in http.get("/api/v2/sessions").json()["sessions"]]
    ended = http.post(f"/api/v2/sessions/{session}/close", json={})
    assert ended.status_code == 202
    assert next(f for f in told(http, session, frames[-1]["cursor"]) if f["type"] == "session_ended")


def test_pages_tell_every_event_once(http: httpx.Client) -> None:
    session = opened(http)
    until_answered(told(http, session), say(http, session, "Calculate 2 * 3 with code."))
    settled(http, session)
    for _ in range(100):  # the sink may be about to read the last of them
        whole = http.get(f"/api/v2/sessions/{session}/events", params={"limit": 200}).json()
        paged = in_pages(http, session)
        if paged == whole["events"]:
            break
    assert paged == whole["events"]
    assert whole["next"] is None
    numbered = [event["sequence"] for event in paged if event["sequence"]]
    assert sorted(numbered) == list(range(1, len(numbered) + 1))


def test_whoever_returns_with_a_cursor_gets_the_rest_in_order_and_once(http: httpx.Client) -> None:
    session = opened(http)
    frames = until_answered(
        told(http, session), message_id := say(http, session, "Find out how retries work. Then summarise it.")
    )
    whole = until_answered(told(http, session), message_id)
    # Pieces of an answer that was given are in the answer.
    outputs = [frame for frame in frames if frame["type"] != "delta"]
    assert [frame | {"cursor": ""} for frame in whole] == [frame | {"cursor": ""} for frame in outputs]
    for number, frame in enumerate(frames[:-1]):
        rest = until_answered(told(http, session, frame["cursor"]), message_id)
        expected = [later for later in frames[number + 1 :] if later["type"] != "delta"]
        assert [one | {"cursor": ""} for one in rest] == [one | {"cursor": ""} for one in expected]


def test_a_repeated_request_is_one_and_a_key_is_good_for_one_body(http: httpx.Client) -> None:
    first = http.post("/api/v2/sessions", json={}, headers={"Idempotency-Key": "k" + uuid.uuid4().hex})
    key = first.request.headers["Idempotency-Key"]
    again = http.post("/api/v2/sessions", json={}, headers={"Idempotency-Key": key})
    assert again.json()["sessionId"] == first.json()["sessionId"]
    session = first.json()["sessionId"]
    once = say(http, session, "Calculate 3 * 3 with code.", **{"Idempotency-Key": key})
    assert say(http, session, "Calculate 3 * 3 with code.", **{"Idempotency-Key": key}) == once
    other = http.post(
        f"/api/v2/sessions/{session}/messages", json={"content": "Other"}, headers={"Idempotency-Key": key}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    until_answered(told(http, session), once)
    standing = http.get(f"/api/v2/sessions/{session}/status", params={"after": once}).json()
    assert standing["messages"] == 1


def test_a_key_is_known_after_the_gateway_was_killed(deployment: Deployment, http: httpx.Client) -> None:
    session = opened(http)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    once = say(http, session, "Calculate 4 * 4 with code.", **key)
    until_answered(told(http, session), once)
    deployment.stop_part("gateway-1", hard=True)
    deployment.start_part("gateway-1", "gateway")
    deployment.wait_until_ready("gateway-1")
    again = http.post(
        f"/api/v2/sessions/{session}/messages", json={"content": "Calculate 4 * 4 with code."}, headers=key
    )
    assert again.json() == {"messageId": once, "status": "queued", "position": once, "repeated": True}
    other = http.post(f"/api/v2/sessions/{session}/messages", json={"content": "Other"}, headers=key)
    assert other.status_code == 422


def test_ones_own_write_can_be_read(http: httpx.Client) -> None:
    session = opened(http)
    message_id = say(http, session, "Calculate 5 * 5 with code.")
    standing = http.get(f"/api/v2/sessions/{session}/status", params={"after": message_id}).json()
    assert standing["messages"] == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/v2/sessions", b"{", 400),
        ("POST", "/api/v2/sessions", b"[" * 100_000, 400),
        ("POST", "/api/v2/sessions", b'{"userId": 7}', 422),
        ("POST", "/api/v2/sessions", b'{"unknown": 1}', 422),
        ("POST", "/api/v2/sessions", b'{"budget": {"tokens": 0}}', 422),
        ("POST", "/api/v2/sessions", b'{"budget": {"dollars": NaN}}', 422),
        ("POST", "/api/v2/sessions", b'{"userId": "a\\u0007b"}', 422),
        ("POST", "/api/v2/sessions", b'{"title": "\\ud800"}', 422),
        ("POST", "/api/v2/sessions", b'{"metadata": {"a": "' + b"x" * 20_000 + b'"}}', 422),
        ("POST", "/api/v2/sessions", b" " * 1_100_000, 413),
        ("POST", "/api/v2/sessions/S/messages", b'{"content": ""}', 422),
        ("POST", "/api/v2/sessions/S/messages", b'{"content": " "}', 422),
        ("POST", "/api/v2/sessions/S/messages", b'{"content": "x", "role": "system"}', 422),
        ("POST", "/api/v2/sessions/S/messages", b'{"content": "' + b"x" * 270_000 + b'"}', 422),
        ("POST", "/api/v2/sessions/none/messages", b'{"content": "x"}', 404),
        ("POST", "/api/v2/sessions/S/approvals/x", b'{"approved": true}', 422),
        ("GET", "/api/v2/sessions/S/events?after=x", b"", 400),
        ("GET", "/api/v2/sessions/S/events?limit=0", b"", 422),
        ("GET", "/api/v2/sessions/S/stream?cursor=x", b"", 400),
        ("GET", "/api/v2/sessions?before=bnVsbA", b"", 400),
        ("GET", "/nowhere", b"", 404),
        ("DELETE", "/api/v2/sessions", b"", 405),
    ],
)
def test_what_is_wrong_is_told_as_a_problem(
    http: httpx.Client, method: str, path: str, body: bytes, status: int
) -> None:
    if "/S/" in path:
        path = path.replace("/S/", f"/{opened(http)}/")
    answer = http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status
    assert "Traceback" not in answer.text


def test_nothing_is_told_without_a_token(address: str) -> None:
    paths = ("/api/v2/sessions", "/v1/models", "/api/v2/openapi.json", "/nowhere", f"/ws/{uuid.uuid4()}")
    for path in paths:
        assert httpx.get(address + path).status_code == 401, path
    for given in ("Bearer x", "Basic eDp4", "Bearer", "Bearer ck_" + "A" * 43):
        assert httpx.get(address + "/v1/models", headers={"Authorization": given}).status_code == 401
    assert httpx.get(address + "/health").json() == {"status": "healthy"}


def test_other_names_and_pages_are_refused(http: httpx.Client) -> None:
    assert http.get("/v1/models", headers={"Host": "evil.example"}).status_code == 421
    assert http.get("/v1/models", headers={"Origin": "https://evil.example"}).status_code == 403
    assert http.get("/v1/models", headers={"Origin": "null"}).status_code == 403


def find_nothing(client: httpx.Client, session: str) -> None:
    base = f"/api/v2/sessions/{session}"
    for path in (f"{base}/status", f"{base}/events", f"{base}/messages", f"{base}/stream"):
        assert client.get(path).status_code == 404, path
    for path in ("messages", "cancel", "close"):
        body = {"content": "x"} if path == "messages" else {}
        assert client.post(f"{base}/{path}", json=body).status_code == 404, path
    chat = {"model": "cartrita", "messages": [{"role": "user", "content": "x"}]}
    header = {"X-Cartrita-Session": session}
    assert client.post("/v1/chat/completions", json=chat, headers=header).status_code == 404
    named = chat | {"metadata": {"session_id": session}}
    assert client.post("/v1/chat/completions", json=named).status_code == 404


def test_what_is_anothers_is_not_there(
    bearing: Bearing, make_token: Make, address: str, outsider: Outsider
) -> None:
    ann, bob = make_token("--user", "ann"), make_token("--user", "bob")
    tenant = make_token("--tenant", "other")
    annes = opened(bearing(address, ann))
    # A session that came by Kafka is as much its owner's.
    posted = str(uuid.uuid4())
    outsider.post([message("Calculate 1 + 1 with code.", session_id=posted) | {"user_id": "ann"}])
    for _ in tries():
        if bearing(address, ann).get(f"/api/v2/sessions/{posted}/status").status_code == 200:
            break
    sessions = [annes, posted, str(uuid.uuid4())]
    for bearer in (bob, tenant):
        client = bearing(address, bearer)
        # Each request waits a moment for what the sink may be about to read, and then finds nothing.
        with ThreadPoolExecutor() as askers:
            list(askers.map(partial(find_nothing, client), sessions))
        listed = [one["sessionId"] for one in client.get("/api/v2/sessions").json()["sessions"]]
        assert not set(sessions) & set(listed)
    assert bearing(address, bob).post("/api/v2/sessions", json={"userId": "ann"}).status_code == 403
    assert bearing(address, ann).get(f"/api/v2/sessions/{posted}/status").json()["userId"] == "ann"


def test_what_others_say_in_a_session_is_not_told_to_its_owner(
    http: httpx.Client, outsider: Outsider
) -> None:
    session = opened(http, userId="ann")
    outsider.post([message("I am not ann.", session_id=session) | {"user_id": "mallory"}])
    until_answered(told(http, session), say(http, session, "Calculate 6 * 6 with code."))
    assert "I am not ann." not in http.get(f"/api/v2/sessions/{session}/events?limit=200").text
    assert "I am not ann." not in http.get(f"/api/v2/sessions/{session}/messages").text


def test_a_token_does_only_what_it_is_for(bearing: Bearing, make_token: Make, address: str) -> None:
    reader = bearing(address, make_token("--scope", "read"))
    sender = bearing(address, make_token("--scope", "send"))
    session = opened(sender)
    assert reader.post("/api/v2/sessions", json={}).status_code == 403
    assert reader.get(f"/api/v2/sessions/{session}/status").status_code == 200
    assert sender.get(f"/api/v2/sessions/{session}/status").status_code == 403
    approval = f"/api/v2/sessions/{session}/approvals/{uuid.uuid4()}"
    assert sender.post(approval, json={"approved": True, "digest": "0" * 64}).status_code == 403
    assert sender.post(f"/api/v2/sessions/{session}/cancel").status_code == 202


@contextlib.asynccontextmanager
async def socket(
    address: str, session: str, token: str = "", cursor: str = "", protocols: tuple[str, ...] = ()
) -> AsyncIterator[ClientConnection]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = address.replace("http", "ws", 1) + f"/ws/{session}" + (f"?cursor={cursor}" if cursor else "")
    offered = [Subprotocol(one) for one in protocols] or None
    async with connect(url, additional_headers=headers, subprotocols=offered) as connection:
        yield connection


async def received(connection: ClientConnection, kind: str) -> Json:
    async with asyncio.timeout(ANSWER_S):
        while True:
            frame = json.loads(await connection.recv())
            if frame.get("type") == kind or (kind == "invalid" and "error" in frame):
                return frame


async def test_a_conversation_by_websocket(http: httpx.Client, address: str, token: str) -> None:
    session = await asyncio.to_thread(opened, http)
    async with socket(address, session, token) as connection:
        first = json.loads(await connection.recv())
        assert (first["type"], first["status"], first["sessionId"]) == ("connection", "connected", session)
        for wrong in ("x", "[]", '{"type": "dance"}', '{"content": 7}', '{"role": "system", "content": "x"}'):
            await connection.send(wrong)
            assert await received(connection, "invalid") == {"error": "Invalid message format"}
        await connection.send(b"\x00\xff")
        assert await received(connection, "invalid") == {"error": "Invalid message format"}
        await connection.send('{"type": "ping"}')
        await received(connection, "pong")
        await connection.send(json.dumps({"content": "Calculate 7 * 8 with code."}))
        queued = await received(connection, "queued")
        answer = await received(connection, "answer")
        assert answer["messageId"] == queued["messageId"]
        assert "56" in answer["text"]
        standing = await asyncio.to_thread(http.get, f"/api/v2/sessions/{session}/status")
        assert standing.json()["hasWebSocket"]
    # Whoever returns with the last cursor is told nothing again; the ticket for that is good once.
    async with socket(address, session, cursor=answer["cursor"], protocols=ticket(first)) as connection:
        assert connection.subprotocol == "cartrita"
        await received(connection, "connection")
        await connection.send(json.dumps({"type": "close"}))
        assert (await received(connection, "queued"))["status"] == "queued"
        assert json.loads(await connection.recv())["type"] == "session_ended"
    async with socket(address, session, protocols=ticket(first)) as connection:
        await connection.send('{"type": "authenticate"}')
        with pytest.raises(ConnectionClosed) as closed:
            await connection.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def ticket(confirmed: Json) -> tuple[str, ...]:
    return ("cartrita", f"cartrita.ticket.{confirmed['ticket']}")


async def test_a_websocket_needs_a_token_a_ticket_or_a_first_message(
    http: httpx.Client, address: str, token: str
) -> None:
    session, other = await asyncio.to_thread(opened, http), await asyncio.to_thread(opened, http)
    async with socket(address, session) as connection:
        await connection.send(json.dumps({"type": "authenticate", "token": token}))
        confirmed = await received(connection, "connection")
    for asked, protocols, first in (
        (session, (), {"type": "authenticate", "token": "x"}),
        (session, (), {"content": "hello"}),
        (other, ticket(confirmed), None),
        (str(uuid.uuid4()), ("cartrita.token." + token, "cartrita"), None),
        ("x", ("cartrita.token." + token, "cartrita"), None),
    ):
        async with socket(address, asked, protocols=protocols) as connection:
            if first is not None or asked == other:
                await connection.send(json.dumps(first or {"type": "authenticate"}))
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1008
    with pytest.raises(InvalidStatus):
        async with connect(
            address.replace("http", "ws", 1) + f"/ws/{session}", origin=Origin("https://evil.example")
        ):
            pass


async def test_a_frame_that_is_too_large_ends_the_socket(
    http: httpx.Client, address: str, token: str
) -> None:
    session = await asyncio.to_thread(opened, http)
    async with socket(address, session, token) as connection:
        await received(connection, "connection")
        await connection.send(json.dumps({"content": "x" * 70_000}))
        with pytest.raises(ConnectionClosed) as closed:
            await received(connection, "queued")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_a_revoked_token_closes_what_it_holds_open(
    bearing: Bearing, make_token: Make, address: str, command_environment: dict[str, str]
) -> None:
    bearer = await asyncio.to_thread(make_token)
    session = await asyncio.to_thread(opened, bearing(address, bearer))
    async with socket(address, session, bearer) as connection:
        confirmed = await received(connection, "connection")
        token_id = confirmed["ticket"].split(".")[0]
        command = [sys.executable, "-m", "streams.main", "tokens", "revoke", token_id]
        await asyncio.to_thread(subprocess.run, command, env=command_environment, check=True)
        with pytest.raises(ConnectionClosed) as closed:
            await received(connection, "answer")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    assert bearing(address, bearer).get("/v1/models").status_code == 401


async def test_nothing_is_lost_or_repeated_when_the_gateway_is_killed(
    deployment: Deployment, http: httpx.Client, address: str, token: str
) -> None:
    session = await asyncio.to_thread(opened, http)
    text = "Find out how retries work. Find out how budgets work. Then write a summary of both."
    message_id = await asyncio.to_thread(say, http, session, text)
    frames: list[Json] = []
    with contextlib.suppress(ConnectionClosed):
        async with socket(address, session, token) as connection:
            await received(connection, "connection")
            frames.append(json.loads(await connection.recv()))
            await asyncio.to_thread(deployment.stop_part, "gateway-1", hard=True)
            while True:
                frames.append(json.loads(await connection.recv()))
    await asyncio.to_thread(deployment.start_part, "gateway-1", "gateway")
    await asyncio.to_thread(deployment.wait_until_ready, "gateway-1")
    async with socket(address, session, token, frames[-1]["cursor"]) as connection:
        await received(connection, "connection")
        while frames[-1]["type"] != "answer":
            frames.append(json.loads(await connection.recv()))
    assert frames[-1]["messageId"] == message_id
    whole = await asyncio.to_thread(lambda: until_answered(told(http, session), message_id))
    outputs = [frame | {"cursor": ""} for frame in frames if frame["type"] != "delta"]
    assert outputs == [frame | {"cursor": ""} for frame in whole]
    cursors = [frame["cursor"] for frame in frames]
    assert len(set(cursors)) == len(cursors)


@pytest.fixture
def openai(address: str, token: str) -> Iterator[OpenAI]:
    """OpenAI's own client, told another address, key and model."""
    with OpenAI(base_url=f"{address}/v1", api_key=token) as client:
        yield client


QUESTION: Json = [{"role": "user", "content": "Calculate 12 * 12 with code."}]


def test_openais_client_asks_and_is_answered(openai: OpenAI) -> None:
    assert next(iter(openai.models.list())).id == "cartrita"
    assert openai.models.retrieve("cartrita").object == "model"
    whole = openai.chat.completions.create(model="cartrita", messages=QUESTION, temperature=0.3)
    assert "144" in (whole.choices[0].message.content or "")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0


@pytest.mark.parametrize("usage", [True, False])
def test_openais_client_streams(openai: OpenAI, usage: bool) -> None:
    options: Json = {"stream_options": {"include_usage": True}} if usage else {}
    chunks = list(openai.chat.completions.create(model="cartrita", messages=QUESTION, stream=True, **options))
    # https://github.com/cline/cline/issues/8518: a chunk of usage that nobody asked for breaks clients.
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - usage) + [False] * usage
    told_chunks = [chunk for chunk in chunks if chunk.choices]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in told_chunks)
    assert "144" in text
    assert [chunk.choices[0].finish_reason for chunk in told_chunks][-2:] == [None, "stop"]
    assert told_chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    assert (chunks[-1].usage is not None) is usage


def test_openais_client_is_told_what_is_wrong(openai: OpenAI) -> None:
    with pytest.raises(NotFoundError) as absent:
        openai.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert absent.value.code == "model_not_found"
    with pytest.raises(APIStatusError) as empty:
        openai.chat.completions.create(model="cartrita", messages=[{"role": "user", "content": " "}])
    assert (empty.value.status_code, empty.value.param) == (400, "messages[0]")


def test_a_chat_goes_on_in_its_session(openai: OpenAI, http: httpx.Client) -> None:
    raw = openai.chat.completions.with_raw_response.create(model="cartrita", messages=QUESTION)
    session = raw.headers["x-cartrita-session"]
    again = openai.chat.completions.create(
        model="cartrita", messages=QUESTION, extra_headers={"X-Cartrita-Session": session}
    )
    assert "144" in (again.choices[0].message.content or "")
    standing: Json = {}
    for _ in tries():  # the sink may be about to read of the second
        standing = http.get(f"/api/v2/sessions/{session}/status").json()
        if standing["turns"] == 2:
            break
    assert standing["turns"] == 2


def test_a_request_that_an_sdk_repeats_runs_once(http: httpx.Client) -> None:
    body = {
        "model": "cartrita",
        "messages": [{"role": "user", "content": f"Calculate 9 * 9 with code. {uuid.uuid4()}"}],
    }
    first = http.post("/v1/chat/completions", json=body)
    retried = http.post("/v1/chat/completions", json=body, headers={"X-Stainless-Retry-Count": "1"})
    assert retried.json()["id"] == first.json()["id"]
    assert retried.json()["choices"] == first.json()["choices"]
    asked_again = http.post("/v1/chat/completions", json=body)
    assert asked_again.json()["id"] != first.json()["id"]


def test_what_openai_has_and_the_gateway_has_not_is_told_in_its_form(http: httpx.Client) -> None:
    for method, path in (("POST", "/v1/images/generations"), ("GET", "/v1/assistants")):
        answer = http.request(method, path)
        assert answer.status_code == 404
        assert answer.json()["error"]["type"] == "not_found_error"


def test_the_command_line_prints_what_clients_need(
    deployment: Deployment, command_environment: dict[str, str], token: str, address: str
) -> None:
    command = [sys.executable, "-m", "streams.main", "env"]
    ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=True)
    assert ended.stdout == f"export OPENAI_BASE_URL={address}/v1\nexport OPENAI_API_KEY={token}\n"
    # With these set, the front door is not taken for a model of one's own.
    door = {"OPENAI_BASE_URL": f"{address}/v1", "OPENAI_API_KEY": token}
    within = Deployment(deployment.directory, {**command_environment, **door})
    assert not within.uses_own_model()
    assert within.settings()["OPENAI_BASE_URL"] == deployment.settings()["OPENAI_BASE_URL"]


def test_all_scopes_are_named_in_the_help(command_environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "streams.main", "tokens", "create", "--help"]
    wide = {**command_environment, "COLUMNS": "200"}
    ended = subprocess.run(command, capture_output=True, text=True, env=wide, check=True)
    assert all(scope in ended.stdout for scope in Scope)


def test_a_gateway_without_its_topics_says_which_command_makes_them(deployment: Deployment) -> None:
    command = [sys.executable, "-m", "streams.main", "gateway"]
    settings = {**deployment.settings(), "CARTRITA_TOPIC_PREFIX": "nothing-here.", "PORT": "0"}
    ended = subprocess.run(command, capture_output=True, text=True, env=settings, check=False, timeout=60)
    assert ended.returncode == ExitCode.TOPICS
    assert "`cartrita topics apply` makes them" in ended.stderr
