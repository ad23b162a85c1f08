"""What the tests on the real stack share: inputs, worker processes, and waiting for outcomes."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # no types

from connectors.embedded.stack import Endpoints
from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from tests.streams.checking import Outputs, read_outputs, read_topic
from topics.catalog import DEAD_LETTERS, SESSION_INPUTS, SESSION_OUTPUTS, Topic
from topics.routing import key_of, partition_of

PARTITIONS: Final = 4
SESSION_TIMEOUT_MS: Final = 6_000
WAIT_S: Final = 240.0
PROJECT_DIRECTORY: Final = Path(__file__).parents[2]


@dataclass(slots=True, kw_only=True)
class Worker:
    """A worker process."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """Return what it logged so far."""
        return self.log_path.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, timeout_s: float = WAIT_S) -> int:
        """Wait until it ends; return its exit code."""
        return await asyncio.to_thread(self.process.wait, timeout_s)

    async def killed(self) -> None:
        """Kill it as a power cut would."""
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stopped(self) -> None:
        """Wait until it has stopped itself."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if self.state == "T":
                    return
                await asyncio.sleep(0.05)

    @property
    def state(self) -> str:
        """Return the letter by which the system describes it: R, S, T for stopped …"""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    async def logged(self, text: str) -> None:
        """Wait until it logs a text."""
        async with asyncio.timeout(WAIT_S):
            while text not in self.log:
                assert self.process.poll() is None, f"the worker ended: {self.log[-3_000:]}"
                await asyncio.sleep(0.05)


@dataclass(slots=True, kw_only=True)
class World:
    """One test's topics and processes."""

    endpoints: Endpoints
    prefix: str
    codec: Codec
    directory: Path
    workers: list[Worker] = field(default_factory=list)

    def worker(self, *options: str) -> Worker:
        """Start a worker with a counting shell."""
        return self.start(
            "tests.streams.counting_worker",
            "--kafka", self.endpoints.kafka_bootstrap,
            "--registry", self.endpoints.registry_url,
            "--prefix", self.prefix,
            "--directory", str(self.directory / "data"),
            "--session-timeout-ms", str(SESSION_TIMEOUT_MS),
            *options,
        )  # fmt: skip

    def start(self, module: str, *options: str, environment: Mapping[str, str] | None = None) -> Worker:
        """Start a module as a process of its own."""
        log_path = self.directory / f"worker-{len(self.workers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                cwd=PROJECT_DIRECTORY,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        worker = Worker(process=process, log_path=log_path)
        self.workers.append(worker)
        return worker

    def end(self) -> None:
        """End every process that is left."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.signal(signal.SIGCONT)
                worker.process.kill()
            worker.process.wait(10)

    async def send(self, events: Sequence[Envelope], topic: Topic = SESSION_INPUTS) -> None:
        """Write events to a source topic, each on its key's partition."""
        async with self.producer() as producer:
            pending = []
            for event in events:
                key = key_of(topic, event)
                pending.append(
                    await producer.send(
                        self.prefix + topic.name,
                        self.codec.encode(topic, event),
                        key,
                        partition_of(key, PARTITIONS),
                        headers=self.codec.headers(topic, event),
                    )
                )
            await asyncio.gather(*pending)

    @asynccontextmanager
    async def producer(self) -> AsyncIterator[AIOKafkaProducer]:
        """Give a producer."""
        producer = AIOKafkaProducer(bootstrap_servers=self.endpoints.kafka_bootstrap, linger_ms=5)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def outputs(self) -> Outputs:
        """Read the sessions' outputs."""
        return await read_outputs(
            self.endpoints.kafka_bootstrap, self.prefix + SESSION_OUTPUTS.name, self.codec
        )

    async def outputs_of(self, count: int, timeout_s: float = WAIT_S) -> Outputs:
        """Wait until there are outputs of `count` inputs, and return them."""
        deadline = time.monotonic() + timeout_s
        while True:
            outputs = await self.outputs()
            if len(outputs.events) >= count:
                return outputs
            assert time.monotonic() < deadline, (
                f"{len(outputs.events)} of {count} outputs; " + self.workers[-1].log[-3_000:]
            )
            await asyncio.sleep(0.2)

    async def letters(self, count: int) -> list[Envelope]:
        """Wait until there are `count` distinct dead letters, and return them."""
        async with asyncio.timeout(WAIT_S):
            while True:
                found = await read_topic(
                    self.endpoints.kafka_bootstrap, self.prefix + DEAD_LETTERS.name, self.codec
                )
                distinct = {letter.event_id: letter for letter in found}
                if len(distinct) >= count:
                    return list(distinct.values())
                await asyncio.sleep(0.2)

    async def lag(self, group: str, topics: Sequence[Topic]) -> int:
        """Return how many records of `topics` a group has not committed."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.endpoints.kafka_bootstrap,
            group_id=self.prefix + group,
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            places = [
                TopicPartition(self.prefix + topic.name, n) for topic in topics for n in range(PARTITIONS)
            ]
            ends = await consumer.end_offsets(places)
            committed = {place: await consumer.committed(place) for place in places}
            return sum(cast("int", ends[place]) - (committed[place] or 0) for place in places)
        finally:
            await consumer.stop()
