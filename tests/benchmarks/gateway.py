"""What the front door adds to a model call that it governs, beside a plain proxy that only passes it on."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import httpx
import psycopg

from connectors.embedded.ports import choose_port
from streams.cli.door import local_token
from tests.benchmarks.gateway_servers import MODEL
from tests.benchmarks.ground import Ground, ground
from tests.benchmarks.result import Row, row

CONCURRENCY: Final = 10
CALLS: Final = 400
WARM_UP: Final = 60
KEY: Final = "of-the-benchmark"
_PAGE_BYTES: Final = 4_096
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
class Taken:
    """One run."""

    alone: Series
    """The model without anything before it."""
    passed: Series
    governed: Series
    memory_mb: float
    ready_s: float
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
    return [
        row(
            "governed call: added, p50",
            "ms",
            [(one.governed.p50_ms - one.alone.p50_ms, one.passed.p50_ms - one.alone.p50_ms) for one in taken],
            target="ours <= 20",
            note=f"{note}; {where}",
        ),
        row(
            "governed call: added, p99",
            "ms",
            [(one.governed.p99_ms - one.alone.p99_ms, one.passed.p99_ms - one.alone.p99_ms) for one in taken],
            target="ours <= 60",
        ),
        row("governed calls", "calls/s", [(one.governed.per_s, one.passed.per_s) for one in taken]),
        row("gateway: memory", "MB", [(one.memory_mb, None) for one in taken], target="ours <= 300"),
        row("gateway: start until ready", "s", [(one.ready_s, None) for one in taken], target="ours <= 5"),
    ]


async def _measure(runs: int) -> list[Taken]:
    async with _servers() as (model, proxy), ground(workers=0) as where:
        environment = {
            "OPENAI_BASE_URL": f"{model}/v1",
            "OPENAI_API_KEY": KEY,
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
            ready_s = time.monotonic() - began_s
            try:
                taken.append(await _taken(where, model, proxy, f"http://127.0.0.1:{port}", token, ready_s))
            finally:
                where.end("gateway")
        return taken


async def _taken(where: Ground, model: str, proxy: str, gateway: str, token: str, ready_s: float) -> Taken:
    for target in (model, proxy, gateway):
        await _calls(target, token, WARM_UP)
    alone = await _calls(model, token, CALLS)
    passed = await _calls(proxy, token, CALLS)
    governed = await _calls(gateway, token, CALLS)
    return Taken(
        alone=alone,
        passed=passed,
        governed=governed,
        memory_mb=_memory_mb(where.parts["gateway"].pid),
        ready_s=ready_s,
        ways_ms=await _ways_ms(where.settings.postgres_dsn),
    )


async def _calls(target: str, token: str, count: int) -> Series:
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

    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=target, headers=headers, timeout=60) as client:
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


def _memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * _PAGE_BYTES / 1e6


@contextlib.asynccontextmanager
async def _servers() -> AsyncIterator[tuple[str, str]]:
    """Serve the model and the proxy, each in a process of its own, and return where they are."""
    running: list[asyncio.subprocess.Process] = []

    async def serve(*more: str) -> str:
        port = choose_port((None,))
        module = "tests.benchmarks.gateway_servers"
        running.append(await asyncio.create_subprocess_exec(sys.executable, "-m", module, str(port), *more))
        address = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=address) as client, asyncio.timeout(30):
            while running[-1].returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get("/healthz")).is_success:
                        return address
                await asyncio.sleep(0.05)
        raise RuntimeError(f"{module} ended with {running[-1].returncode}")

    try:
        model = await serve()
        yield model, await serve(model)
    finally:
        for one in running:
            with contextlib.suppress(ProcessLookupError):
                one.terminate()
            await one.wait()
