"""What the front door adds to a model call that it governs, beside a plain proxy that only passes it on."""

import asyncio
import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import httpx
import psycopg

from connectors.embedded.ports import choose_port
from streams.cli.door import local_token
from tests.benchmarks.gateway_servers import MODEL
from tests.benchmarks.ground import PROJECT, Ground, ground
from tests.benchmarks.machine import memory_mb
from tests.benchmarks.result import Row, row

CONCURRENCY: Final = 10
CALLS: Final = 400
WARM_UP: Final = 60
KEY: Final = "of-the-benchmark"
LITELLM: Final = PROJECT / ".venv-litellm" / "bin" / "litellm"
"""What `make litellm` installs; without it that peer is left out."""
LITELLM_READY_S: Final = 180.0
_LITELLM_CONFIGURATION: Final = """
model_list:
  - model_name: {model}
    litellm_params: {{model: openai/{model}, api_base: {address}/v1, api_key: none}}
general_settings: {{master_key: {key}}}
"""
# When each call's records came onto the log, as Kafka stamped them.
_WAYS: Final = """
    SELECT asked.recorded_at, requested.recorded_at, made.recorded_at, told.recorded_at
    FROM event_log asked
    JOIN event_log told ON told.correlation_id = asked.event_id AND told.topic = 'client.answers'
    JOIN event_log requested ON requested.correlation_id = asked.event_id AND requested.topic = 'model.calls'
    JOIN event_log made ON made.causation_id = requested.event_id AND made.topic = 'model.results'
    WHERE asked.topic = 'client.calls'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Calls, `CONCURRENCY` at a time."""

    latencies_ms: Sequence[float]
    elapsed_s: float

    @property
    def p50_ms(self) -> float:
        """Return the median."""
        return median(self.latencies_ms)

    @property
    def p99_ms(self) -> float:
        """Return what 99 of 100 are below."""
        return quantiles(self.latencies_ms, n=100)[98]

    @property
    def per_s(self) -> float:
        """Return the rate."""
        return len(self.latencies_ms) / self.elapsed_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server beside the gateway."""

    address: str
    pid: int
    ready_s: float
    token: str = ""
    """What it asks for; empty: whatever is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """One run."""

    alone: Series
    """The model without anything before it."""
    passed: Series
    litellm: Series | None
    """By LiteLLM's proxy; None: it is not installed."""
    governed: Series
    memory_mb: float
    ready_s: float
    litellm_memory_mb: float | None
    litellm_ready_s: float | None
    ways_ms: Sequence[float]
    """Medians: to the session's shell, through the model's, and back to the answer on the log."""


def measure(runs: int) -> list[Row]:
    """Return the table's lines."""
    taken = asyncio.run(_measure(runs))
    note = (
        f"{CONCURRENCY} at a time, {CALLS} calls, added to a model that answers at once; the peer is a proxy "
        "of Starlette and httpx that keeps nothing"
    )
    ways = [median(one.ways_ms[number] for one in taken) for number in range(3)]
    where = (
        f"on the log: {ways[0]:.0f} ms until a reservation lets the call go, {ways[1]:.0f} ms until the "
        f"model has answered, {ways[2]:.0f} ms until it is charged; the rest is HTTP"
    )
    both = [(one, one.litellm) for one in taken if one.litellm is not None]
    beside = [
        row(
            "the same, beside LiteLLM's proxy",
            "ms",
            [(one.governed.p50_ms - one.alone.p50_ms, it.p50_ms - one.alone.p50_ms) for one, it in both],
            note="peer: one process of it, without a database: it keeps and bills nothing",
        )
        for _ in both[:1]
    ]
    return [
        row(
            "governed call: added, p50",
            "ms",
            [(one.governed.p50_ms - one.alone.p50_ms, one.passed.p50_ms - one.alone.p50_ms) for one in taken],
            target="ours <= 20",
            note=f"{note}; {where}",
        ),
        *beside,
        row(
            "governed call: added, p99",
            "ms",
            [(one.governed.p99_ms - one.alone.p99_ms, one.passed.p99_ms - one.alone.p99_ms) for one in taken],
            target="ours <= 60",
        ),
        row("governed calls", "calls/s", [(one.governed.per_s, one.passed.per_s) for one in taken]),
        row(
            "gateway: memory",
            "MB",
            [(one.memory_mb, one.litellm_memory_mb) for one in taken],
            target="ours <= 300",
            note="peer: LiteLLM's proxy",
        ),
        row(
            "gateway: start until ready",
            "s",
            [(one.ready_s, one.litellm_ready_s) for one in taken],
            target="ours <= 5",
            note="peer: LiteLLM's proxy",
        ),
    ]


async def _measure(runs: int) -> list[Taken]:
    async with _servers() as servers, ground(workers=0) as where:
        environment = {
            "OPENAI_BASE_URL": f"{servers['model'].address}/v1",
            "OPENAI_API_KEY": KEY,
            # Agents with instant tools, as the other benchmarks have them, are not asked here.
            "CARTRITA_CONFIGURATION_DIRECTORY": "",
            # A rate per token is not what is measured here.
            "CARTRITA_GATEWAY_TOKEN_REQUESTS_PER_S": "10000",
            "CARTRITA_GATEWAY_TENANT_REQUESTS_PER_S": "10000",
        }
        await where.start("worker-1", "streams.main", "worker", environment=environment)
        token = await local_token(where.settings, where.directory / "token")
        taken = []
        for _ in range(runs):
            port = choose_port((None,))
            began_s = time.monotonic()
            await where.start(
                "gateway", "streams.main", "gateway", environment={**environment, "PORT": str(port)}
            )
            gateway = Server(
                address=f"http://127.0.0.1:{port}",
                pid=where.parts["gateway"].pid,
                ready_s=time.monotonic() - began_s,
                token=token,
            )
            try:
                taken.append(await _taken(where, {**servers, "gateway": gateway}))
            finally:
                where.end("gateway")
        return taken


async def _taken(where: Ground, servers: Mapping[str, Server]) -> Taken:
    for server in servers.values():
        await _calls(server, WARM_UP)
    calls = {name: await _calls(server, CALLS) for name, server in servers.items()}
    litellm = servers.get("litellm")
    return Taken(
        alone=calls["model"],
        passed=calls["proxy"],
        litellm=calls.get("litellm"),
        governed=calls["gateway"],
        memory_mb=memory_mb(servers["gateway"].pid),
        ready_s=servers["gateway"].ready_s,
        litellm_memory_mb=None if litellm is None else memory_mb(litellm.pid),
        litellm_ready_s=None if litellm is None else litellm.ready_s,
        ways_ms=await _ways_ms(where.settings.postgres_dsn),
    )


async def _calls(server: Server, count: int) -> Series:
    """Ask so often, `CONCURRENCY` at a time.

    Raises:
        httpx.HTTPStatusError: an answer is none.
    """
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}]}
    latencies_ms: list[float] = []
    left = iter(range(count))

    async def ask(client: httpx.AsyncClient) -> None:
        for _ in left:
            began_s = time.perf_counter()
            told = await client.post("/v1/chat/completions", json=body)
            latencies_ms.append(1_000 * (time.perf_counter() - began_s))
            told.raise_for_status()

    headers = {"Authorization": f"Bearer {server.token or KEY}"}
    async with httpx.AsyncClient(base_url=server.address, headers=headers, timeout=60) as client:
        began_s = time.perf_counter()
        await asyncio.gather(*(ask(client) for _ in range(CONCURRENCY)))
        elapsed_s = time.perf_counter() - began_s
    return Series(latencies_ms=latencies_ms, elapsed_s=elapsed_s)


async def _ways_ms(dsn: str) -> Sequence[float]:
    """Return where the time goes, as far as the sink has read by now."""
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        cursor = await connection.execute(_WAYS)
        found = await cursor.fetchall()
    if not found:
        raise RuntimeError("the sink has read of no call that has ended")
    return [
        median(1_000 * (one[number + 1] - one[number]).total_seconds() for one in found)
        for number in range(3)
    ]


@contextlib.asynccontextmanager
async def _servers() -> AsyncIterator[dict[str, Server]]:
    """Serve the model and what may stand before it, each in a process of its own."""
    running: list[asyncio.subprocess.Process] = []

    async def serve(path: str, *command: str, ready_s_max: float = 30, token: str = "") -> Server:
        port = choose_port((None,))
        began_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *(part.format(port=port) for part in command),
            stdout=asyncio.subprocess.DEVNULL,
            # It would otherwise ask the network for prices.
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        )
        running.append(process)
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address) as client, asyncio.timeout(ready_s_max):
            while process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(path)).is_success:
                        return Server(
                            address=address, pid=process.pid, ready_s=time.monotonic() - began_s, token=token
                        )
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")

    ours = (sys.executable, "-m", "tests.benchmarks.gateway_servers", "{port}")
    with tempfile.TemporaryDirectory() as directory:
        try:
            model = await serve("/healthz", *ours)
            servers = {"model": model, "proxy": await serve("/healthz", *ours, model.address)}
            if LITELLM.exists():
                key = f"sk-{secrets.token_hex()}"
                configuration = Path(directory) / "litellm.yaml"
                configuration.write_text(
                    _LITELLM_CONFIGURATION.format(model=MODEL, address=model.address, key=key),
                    encoding="utf-8",
                )
                options = ("--host", "127.0.0.1", "--port", "{port}", "--telemetry", "False")
                servers["litellm"] = await serve(
                    "/health/liveliness",
                    *(str(LITELLM), "--config", str(configuration), *options),
                    ready_s_max=LITELLM_READY_S,
                    token=key,
                )
            yield servers
        finally:
            for one in running:
                with contextlib.suppress(ProcessLookupError):
                    one.terminate()
                await one.wait()
