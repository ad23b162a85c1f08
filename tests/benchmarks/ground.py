"""Where sessions are measured: an embedded stack of its own, workers with instant model and tool, a sink."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from connectors.embedded.ports import choose_port
from connectors.embedded.stack import Endpoints, Ports, Stack
from streams.cli.deployment import prepare
from streams.process.settings import Settings
from streams.worker.deployment import is_ready

PROJECT: Final = Path(__file__).parents[2]
READY_S: Final = 120.0
NOTHING_MORE: Final[Mapping[str, str]] = MappingProxyType({})
AGENTS: Final = """
[researcher]
purpose = "looks things up"
tier = "standard"
tools = ["lookup"]
output_tokens_max = 200
answers_with = "tool"
prompt = "Role: agent researcher"
"""


@dataclass(slots=True, kw_only=True)
class Ground:
    """What runs."""

    directory: Path
    stack: Stack
    endpoints: Endpoints
    settings: Settings
    environment: Mapping[str, str]
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def pids(self) -> dict[str, int]:
        """Return the main process of each part and server by its name."""
        servers = {one.name: one.pid for one in self.stack.status() if one.pid is not None}
        return {**servers, **{name: part.pid for name, part in self.parts.items()}, "driver": os.getpid()}

    async def start(
        self, name: str, module: str, *arguments: str, environment: Mapping[str, str] = NOTHING_MORE
    ) -> None:
        """Start a part, with what `environment` has besides the usual, and wait until it is ready.

        Raises:
            RuntimeError: it ended, or is not ready in time; the message has the end of its log.
        """
        port = choose_port((None,))
        part = self._launch(name, port, module, *arguments, environment=environment)
        deadline_s = time.monotonic() + READY_S
        while not await asyncio.to_thread(is_ready, f"http://127.0.0.1:{port}/healthz"):
            if part.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{name} is not ready:\n{self._log_tail(name)}")
            await asyncio.sleep(0.1)

    def end(self, name: str) -> None:
        """Ask a part to end, and kill it if it does not."""
        part = self.parts.pop(name)
        part.terminate()
        try:
            part.wait(30)
        except subprocess.TimeoutExpired:
            part.kill()
            part.wait(10)

    def _launch(
        self, name: str, port: int, module: str, *arguments: str, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self._log_path(name).open("wb") as log:
            part = self.parts[name] = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=PROJECT,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={
                    **self.environment,
                    "CARTRITA_METRICS_PORT": str(port),
                    "CARTRITA_IDENTITY": name,
                    **environment,
                },
            )
        return part

    def _log_tail(self, name: str) -> str:
        return self._log_path(name).read_text(encoding="utf-8", errors="replace")[-3_000:]

    def _log_path(self, name: str) -> Path:
        return self.directory / f"{name}.log"


@asynccontextmanager
async def ground(workers: int = 1, *, sink: bool = True) -> AsyncIterator[Ground]:
    """Start a stack, workers and a sink, and take all of it away in the end."""
    directory = _directory()
    artifacts = PROJECT / ".cartrita" / "artifacts"
    stack = Stack(directory / "stack", artifacts=artifacts, ports=Ports.free())
    one: Ground | None = None
    try:
        endpoints = await asyncio.to_thread(stack.start)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "CARTRITA_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
            "CARTRITA_REGISTRY_URL": endpoints.registry_url,
            "CARTRITA_POSTGRES_DSN": endpoints.postgres_dsn,
            "CARTRITA_TIKTOKEN_CACHE_DIRECTORY": str(endpoints.tiktoken_cache_directory),
            "CARTRITA_DATA_DIRECTORY": str(directory / "worker"),
            "CARTRITA_CONFIGURATION_DIRECTORY": str(directory / "configuration"),
            "CARTRITA_LOG_LEVEL": "warning",
            "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        }
        settings = Settings.from_environment(environment)
        await prepare(settings)
        one = Ground(
            directory=directory, stack=stack, endpoints=endpoints, settings=settings, environment=environment
        )
        for number in range(1, workers + 1):
            await one.start(f"worker-{number}", "tests.benchmarks.instant_worker")
        if sink:
            await one.start("sink", "streams.main", "sink")
        yield one
    finally:
        if one is not None:
            for name in list(one.parts):
                one.end(name)
        await asyncio.to_thread(stack.stop)
        shutil.rmtree(directory, ignore_errors=True)


def _directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="cartrita-benchmark-"))
    # Postgres, which root runs as another account, must be able to enter.
    directory.chmod(0o755)
    (directory / "configuration").mkdir()
    (directory / "configuration" / "agents.toml").write_text(AGENTS, encoding="utf-8")
    return directory
