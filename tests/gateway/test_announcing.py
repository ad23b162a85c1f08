"""A server is told that a person is asked: signed, without arguments, until it has taken it."""

import itertools
import json
from collections.abc import Iterable
from datetime import UTC, datetime

import httpx
import pytest

from connectors.webhook import Webhook, WebhookFailed, secret_of, signature_of
from streams.gateway.announcing import APPROVAL, LOOK_EVERY_S, OUTCOME, PAUSE_S_MAX, Announcer, Asked
from streams.gateway.problems import Problem

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Of the examples of Standard Webhooks."""
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def asked(name: str, kind: str = APPROVAL) -> Asked:
    return Asked(
        kind=kind,
        id=name,
        session_id="s",
        tenant_id="acme",
        tool="pay",
        asked_at=NOON,
        expires_at=NOON.replace(hour=13),
    )


class World:
    """What is open, a server that may be away, and a clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.open: list[Asked] = []
        self.away = False
        self.sent: list[tuple[str, int, bytes]] = []
        self.attempts = 0
        self.announcer = Announcer(self.look, self.send, "https://door", lambda: self.now_s)

    async def look(self) -> Iterable[Asked]:
        return list(self.open)

    async def send(self, message_id: str, at_s: int, body: bytes) -> None:
        self.attempts += 1
        if self.away:
            raise WebhookFailed("HTTP 503")
        self.sent.append((message_id, at_s, body))


async def test_each_question_is_told_once_with_where_to_look_and_no_arguments() -> None:
    world = World()
    world.open = [asked("a"), asked("b", OUTCOME)]
    await world.announcer.once()
    await world.announcer.once()

    assert [(name, at_s) for name, at_s, _ in world.sent] == [("a", 1_000), ("b", 1_000)]
    first, second = (json.loads(body) for _, _, body in world.sent)
    assert first == {
        "type": "approval.requested",
        "timestamp": "2026-01-01T12:00:00+00:00",
        "data": {
            "approval_id": "a",
            "session_id": "s",
            "tenant_id": "acme",
            "tool": "pay",
            "expires_at": "2026-01-01T13:00:00+00:00",
            "link": "https://door/sessions/s",
        },
    }
    assert (second["type"], second["data"]["call_id"]) == ("outcome.asked", "b")


async def test_what_was_not_taken_is_told_again_ever_more_rarely_and_others_do_not_wait_for_it() -> None:
    world = World()
    world.open, world.away = [asked("a")], True
    tried = []
    for _ in range(2_000):
        before = world.attempts
        await world.announcer.once()
        if world.attempts > before:
            tried.append(world.now_s)
        world.now_s += 1
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses[:4] == [2, 4, 8, 16]
    assert set(pauses[8:]) == {PAUSE_S_MAX}

    world.away = False
    world.open.append(asked("b"))
    await world.announcer.once()
    assert [name for name, _, _ in world.sent] == ["b"]
    world.now_s += PAUSE_S_MAX
    await world.announcer.once()
    assert [name for name, _, _ in world.sent] == ["b", "a"]


async def test_what_is_answered_before_it_could_be_told_is_not_told() -> None:
    world = World()
    world.open, world.away = [asked("a")], True
    await world.announcer.once()
    world.open, world.away = [], False
    world.now_s += 10 * LOOK_EVERY_S
    await world.announcer.once()
    assert not world.sent


async def test_where_postgres_is_away_it_is_said_and_nothing_is_forgotten() -> None:
    world = World()
    world.open = [asked("a")]
    await world.announcer.once()

    async def away() -> Iterable[Asked]:
        raise Problem(503, "Postgres is away", code="unavailable")

    broken = Announcer(away, world.send, "https://door")
    with pytest.raises(Problem):
        await broken.once()
    await world.announcer.once()
    assert len(world.sent) == 1


def test_a_signature_is_that_of_the_standards_example() -> None:
    body = b'{"test": 2432232314}'
    told = signature_of(secret_of(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "text", ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_????", "whsec_"]
)
def test_what_is_no_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="base64") as refused:
        secret_of(text)
    assert text in ("", "whsec_") or text not in str(refused.value)


async def test_the_server_gets_what_was_signed_and_no_redirect_is_followed() -> None:
    taken: list[httpx.Request] = []

    async def server(request: httpx.Request) -> httpx.Response:
        taken.append(request)
        return httpx.Response(
            {"/ok": 204, "/away": 307, "/no": 401}[request.url.path], headers={"location": "/ok"}
        )

    async def send(path: str) -> None:
        transport = httpx.MockTransport(server)
        async with Webhook(f"https://hooks.example{path}", secret_of(SECRET), transport=transport) as hook:
            await hook.send("a", 7, b"{}")

    await send("/ok")
    (request,) = taken
    assert request.content == b"{}"
    assert request.headers["webhook-id"] == "a"
    assert request.headers["webhook-timestamp"] == "7"
    assert request.headers["webhook-signature"] == signature_of(secret_of(SECRET), "a", 7, b"{}")
    for path, says in (("/away", "HTTP 307"), ("/no", "HTTP 401")):
        with pytest.raises(WebhookFailed, match=says):
            await send(path)
    assert [one.url.path for one in taken] == ["/ok", "/away", "/no"]


async def test_a_server_that_is_away_is_no_error_but_a_failure() -> None:
    async def server(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with Webhook(
        "https://hooks.example/", secret_of(SECRET), transport=httpx.MockTransport(server)
    ) as hook:
        with pytest.raises(WebhookFailed, match="ConnectError"):
            await hook.send("a", 7, b"{}")
