"""A thousand open WebSockets, 200 messages a second for a minute, and a gateway that is killed under it."""

import asyncio
import json
import resource
import signal
import time
import uuid
from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from connectors.embedded.ports import choose_port
from streams.cli.door import local_token
from tests.benchmarks.ground import Ground, ground
from tests.benchmarks.machine import memory_mb
from tests.benchmarks.result import Row, row

SESSIONS: Final = 1_000
MESSAGES_PER_S: Final = 200
SENDS_S: Final = 60.0
KILLED_AFTER_S: Final = 30.0
AWAY_S: Final = 5.0
"""How long the killed gateway stays away."""
ANSWERED_S_MAX: Final = 900.0
"""When the measurement gives up; what is wanted is less."""
OPENING_AT_ONCE: Final = 50
GATEWAYS: Final = ("gateway-1", "gateway-2")
_LOOK_S: Final = 0.5
_AGAIN_S: Final = 0.5

Json = Any  # what a gateway tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One run."""

    accepted_per_s: float
    accepted_ms: Sequence[float]
    answered_s: float
    """From the first message until the last answer was told to who follows its session."""
    left_open: int
    """Messages that were not answered yet when the last one was accepted."""
    back_s: float
    """From the kill until the last socket of the killed gateway was told something again."""
    memory_mb: float
    """Of the larger gateway, at most."""


@dataclass(slots=True, kw_only=True)
class Gateways:
    """Where gateways listen, and which of them are known to be there."""

    addresses: dict[str, str]
    away: set[str] = field(default_factory=set)

    def other(self, name: str) -> str:
        """Return another one than that which has just failed."""
        others = [one for one in self.addresses if one != name and one not in self.away]
        return others[0] if others else name


class Client:
    """One session, its socket, and what was told of it."""

    def __init__(self, session_id: str, gateways: Gateways, name: str, token: str) -> None:
        self.session_id = session_id
        self.sent: list[str] = []
        self.accepted_ms: list[float] = []
        self.connected = asyncio.Event()
        self.lost_at_s: float | None = None
        self.back_after_s = 0.0
        self._gateways = gateways
        self._name = name
        self._token = token
        self._cursor = ""
        self._told: list[tuple[str, str]] = []
        self._pieces: dict[tuple[str, int], int] = {}
        self._socket: ClientConnection | None = None
        self._waiting: deque[tuple[str, str, float]] = deque()
        """Messages that are not accepted yet: key, text, and when they were sent first."""

    @property
    def answered(self) -> int:
        """Return how many answers were told."""
        return sum(kind == "answer" for kind, _ in self._told)

    async def follow(self) -> None:
        """Follow the session without end, and come back wherever a gateway is."""
        while True:
            address = self._gateways.addresses[self._name].replace("http", "ws", 1)
            query = f"?cursor={self._cursor}" if self._cursor else ""
            headers = {"Authorization": f"Bearer {self._token}"}
            try:
                async with connect(
                    f"{address}/ws/{self.session_id}{query}", additional_headers=headers, compression=None
                ) as socket:
                    # What a gateway may have taken is said again under its key, which counts once.
                    again = 0
                    while again < len(self._waiting):
                        key, text, _ = self._waiting[again]
                        await _put(socket, key, text)
                        again += 1
                    self._socket = socket
                    async for frame in socket:
                        self._hear(json.loads(frame))
            except (OSError, WebSocketException, InvalidHandshake, TimeoutError):
                pass
            self._socket = None
            self.lost_at_s = self.lost_at_s or time.monotonic()
            self._name = self._gateways.other(self._name)
            await asyncio.sleep(_AGAIN_S)

    async def say(self, text: str) -> None:
        """Say something, now or as soon as there is a socket."""
        key = str(uuid.uuid4())
        self._waiting.append((key, text, time.monotonic()))
        if self._socket is not None:
            try:
                await _put(self._socket, key, text)
            except WebSocketException:
                # It is said again with the next socket.
                return

    def _hear(self, frame: Json) -> None:
        if frame.get("error"):
            raise RuntimeError(f"a message was refused: {frame}")
        if self.lost_at_s is not None:
            self.back_after_s = max(self.back_after_s, time.monotonic() - self.lost_at_s)
            self.lost_at_s = None
        self._cursor = frame.get("cursor", self._cursor)
        match frame["type"]:
            case "connection":
                self.connected.set()
            case "queued":
                _, _, began_s = self._waiting.popleft()
                self.accepted_ms.append(1_000 * (time.monotonic() - began_s))
                self.sent.append(frame["messageId"])
            case "turn_started" | "answer" as kind:
                self._told.append((kind, frame["messageId"]))
            case "delta":
                attempt = frame["callId"], frame["attempt"]
                if frame["index"] != self._pieces.get(attempt, -1) + 1:
                    raise RuntimeError(f"pieces of {attempt} go on with {frame['index']}")
                self._pieces[attempt] = frame["index"]
            case _:
                pass

    def check(self) -> None:
        """Compare what was told with what was said.

        Raises:
            RuntimeError: something is missing, came twice or in another order.
        """
        expected = [(kind, one) for one in self.sent for kind in ("turn_started", "answer")]
        if self._waiting or self._told != expected:
            raise RuntimeError(
                f"session {self.session_id}: {len(self._waiting)} messages were not accepted; "
                f"told was {self._told}, expected {expected}"
            )


async def _put(socket: ClientConnection, key: str, text: str) -> None:
    await socket.send(json.dumps({"content": text, "idempotencyKey": key}))


def measure(runs: int) -> list[Row]:
    """Return the table's lines."""
    taken = [asyncio.run(_measure()) for _ in range(runs)]
    accepted = [median(one.accepted_ms) for one in taken], [_p99(one.accepted_ms) for one in taken]
    return [
        row(
            f"{SESSIONS:,} WebSockets: messages accepted",
            "1/s",
            [(one.accepted_per_s, None) for one in taken],
            target=f"ours >= {0.98 * MESSAGES_PER_S:g}",
            note=(
                f"over {SENDS_S:.0f} s, two gateways, one of them killed after {KILLED_AFTER_S:.0f} s; "
                f"accepted after {median(accepted[0]):.0f} ms at p50 and {median(accepted[1]):.0f} at p99; "
                "none refused, lost, told twice or out of order"
            ),
        ),
        row(
            "the same: all answered after",
            "s",
            [(one.answered_s, None) for one in taken],
            target="ours <= 360",
            note=f"{median(one.left_open for one in taken):,.0f} were open when the last was accepted",
        ),
        row(
            "the same: sockets back after a kill",
            "s",
            [(one.back_s, None) for one in taken],
            note="the slowest, at the other gateway",
        ),
        row(
            "the same: a gateway's memory",
            "MB",
            [(one.memory_mb, None) for one in taken],
            note="the larger one, at most",
        ),
    ]


async def _measure() -> Taken:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    async with ground() as where:
        gateways = Gateways(addresses={})
        for name in GATEWAYS:
            port = choose_port((None,))
            gateways.addresses[name] = f"http://127.0.0.1:{port}"
            await _serve(where, name, port)
        token = await local_token(where.settings, where.directory / "token")
        clients = await _opened(gateways, token)
        async with AsyncExitStack() as following:
            group = await following.enter_async_context(asyncio.TaskGroup())
            tasks = [group.create_task(one.follow()) for one in clients]
            following.callback(lambda: [one.cancel() for one in tasks])
            for at in range(0, len(clients), OPENING_AT_ONCE):
                await asyncio.gather(*(one.connected.wait() for one in clients[at : at + OPENING_AT_ONCE]))
            return await _loaded(where, gateways, clients)


async def _serve(where: Ground, name: str, port: int) -> None:
    await where.start(
        name,
        "streams.main",
        "gateway",
        environment={"PORT": str(port), "CARTRITA_CONFIGURATION_DIRECTORY": ""},
    )


async def _opened(gateways: Gateways, token: str) -> list[Client]:
    headers = {"Authorization": f"Bearer {token}"}
    places = asyncio.Semaphore(OPENING_AT_ONCE)

    async def opened(http: httpx.AsyncClient, number: int) -> Client:
        async with places:
            told = await http.post("/api/v2/sessions", json={"title": f"Socket {number}"})
            while told.status_code == 429:
                await asyncio.sleep(float(told.headers["Retry-After"]))
                told = await http.post("/api/v2/sessions", json={"title": f"Socket {number}"})
            told.raise_for_status()
        return Client(told.json()["sessionId"], gateways, GATEWAYS[number % len(GATEWAYS)], token)

    async with httpx.AsyncClient(
        base_url=gateways.addresses[GATEWAYS[0]], headers=headers, timeout=60
    ) as http:
        return await asyncio.gather(*(opened(http, number) for number in range(SESSIONS)))


async def _loaded(where: Ground, gateways: Gateways, clients: Sequence[Client]) -> Taken:
    pids = {name: where.parts[name].pid for name in GATEWAYS}
    largest_mb = 0.0
    began_s = time.monotonic()
    killing = asyncio.create_task(_killed(where, gateways, began_s + KILLED_AFTER_S))
    count = round(MESSAGES_PER_S * SENDS_S)
    for number in range(count):
        await asyncio.sleep(max(0.0, began_s + number / MESSAGES_PER_S - time.monotonic()))
        await clients[number % len(clients)].say("Look up something.")
        if number % 100 == 0:
            largest_mb = max(largest_mb, memory_mb(pids["gateway-2"]))
    while sum(len(one.sent) for one in clients) < count:
        await asyncio.sleep(0.01)
        if time.monotonic() > began_s + ANSWERED_S_MAX:
            break
    accepted_s = time.monotonic() - began_s
    left_open = count - sum(one.answered for one in clients)
    while sum(one.answered for one in clients) < count and time.monotonic() < began_s + ANSWERED_S_MAX:
        await asyncio.sleep(_LOOK_S)
        largest_mb = max(largest_mb, memory_mb(pids["gateway-2"]))
    answered_s = time.monotonic() - began_s
    await killing
    for one in clients:
        one.check()
    return Taken(
        accepted_per_s=count / accepted_s,
        accepted_ms=[ms for one in clients for ms in one.accepted_ms],
        answered_s=answered_s,
        left_open=left_open,
        back_s=max(one.back_after_s for one in clients),
        memory_mb=largest_mb,
    )


async def _killed(where: Ground, gateways: Gateways, at_s: float) -> None:
    """Kill the first gateway, and start it again a while later."""
    name = GATEWAYS[0]
    await asyncio.sleep(at_s - time.monotonic())
    gateways.away.add(name)
    part = where.parts.pop(name)
    part.send_signal(signal.SIGKILL)
    await asyncio.to_thread(part.wait)
    await asyncio.sleep(AWAY_S)
    await _serve(where, name, int(gateways.addresses[name].rsplit(":", 1)[1]))
    gateways.away.discard(name)


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]
