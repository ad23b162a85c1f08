"""Where shells are measured: an embedded Kafka of their own, topics of a run, inputs, and processes."""

import asyncio
import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types

from connectors.embedded.stack import Endpoints, Ports, Stack
from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from topics import admin
from topics.catalog import SESSION_INPUTS, TOPICS
from topics.routing import key_of, partition_of

PARTITIONS: Final = 4
SESSION_TIMEOUT_MS: Final = 30_000
PROJECT_DIRECTORY: Final = Path(__file__).parents[2]
_REPORT_TIMEOUT_S: Final = 300


@contextmanager
def servers() -> Iterator[Endpoints]:
    """Run an embedded stack in a directory that goes with it."""
    with tempfile.TemporaryDirectory(prefix="cartrita-benchmark-") as directory:
        stack = Stack(
            Path(directory),
            artifacts=PROJECT_DIRECTORY / ".cartrita" / "artifacts",
            ports=Ports.free(),
        )
        try:
            yield stack.start()
        finally:
            stack.stop()


@asynccontextmanager
async def topics_of_a_run(endpoints: Endpoints, partitions: int = PARTITIONS) -> AsyncIterator["Run"]:
    """Make topics under a prefix of their own."""
    prefix = f"{uuid.uuid4().hex[:8]}."
    report = await admin.apply(endpoints.kafka_bootstrap, prefix, partitions, 1, SESSION_TIMEOUT_MS)
    assert report.ok
    registry = SchemaRegistry(endpoints.registry_url)
    with tempfile.TemporaryDirectory(prefix="cartrita-benchmark-run-") as directory:
        try:
            codec = await Codec.connect(TOPICS, registry, prefix)
            yield Run(endpoints, prefix, codec, Path(directory), partitions)
        finally:
            await registry.close()


class Run:
    """One run: its topics, its inputs, its processes."""

    def __init__(
        self, endpoints: Endpoints, prefix: str, codec: Codec, directory: Path, partitions: int
    ) -> None:
        """Take what the run has to itself."""
        self.endpoints = endpoints
        self.prefix = prefix
        self.codec = codec
        self.directory = directory
        self.partitions = partitions

    async def send(self, events: Iterable[Envelope]) -> None:
        """Write session inputs, each on the partition of its session."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.endpoints.kafka_bootstrap, linger_ms=5, max_batch_size=131_072
        )
        await producer.start()
        try:
            pending = []
            for event in events:
                key = key_of(SESSION_INPUTS, event)
                pending.append(
                    await producer.send(
                        self.prefix + SESSION_INPUTS.name,
                        self.codec.encode(SESSION_INPUTS, event),
                        key,
                        partition_of(key, self.partitions),
                        headers=self.codec.headers(SESSION_INPUTS, event),
                    )
                )
            await asyncio.gather(*pending)
        finally:
            await producer.stop()

    def start(self, module: str, *options: str) -> "subprocess.Popen[str]":
        """Start a module of this package as a process; what it finds out is the last line that it prints."""
        return subprocess.Popen(
            [
                sys.executable, "-m", f"tests.benchmarks.{module}",
                "--kafka", self.endpoints.kafka_bootstrap,
                "--registry", self.endpoints.registry_url,
                "--prefix", self.prefix,
                "--directory", str(self.directory),
                "--partitions", str(self.partitions),
                *options,
            ],
            cwd=PROJECT_DIRECTORY,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    async def report_of(self, module: str, *options: str) -> dict[str, float]:
        """Run a module to its end, and return the numbers that it prints."""
        process = self.start(module, *options)
        return await asyncio.to_thread(report, process)


def end(workers: "Iterable[subprocess.Popen[str]]") -> None:
    """Kill processes that were started, and wait for them."""
    for worker in workers:
        worker.kill()
        worker.communicate()


def report(process: "subprocess.Popen[str]", timeout_s: float = _REPORT_TIMEOUT_S) -> dict[str, float]:
    """Wait for a process's end, and return the numbers that it prints.

    Raises:
        RuntimeError: it failed, or printed none.
    """
    try:
        printed, _ = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    lines = printed.strip().splitlines()
    if process.returncode != 0 or not lines:
        raise RuntimeError(f"a measured process ended with {process.returncode}: {printed[-2_000:]}")
    return {name: float(value) for name, value in json.loads(lines[-1]).items()}
