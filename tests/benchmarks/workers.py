"""Two workers beside one, on the same count of inputs; the cores that the machine has to spare decide."""

import asyncio
import os
import sys
import time
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from tests.benchmarks.result import Row, row
from tests.benchmarks.shell import SESSIONS, inputs
from tests.benchmarks.stage import Run, end, servers, topics_of_a_run
from topics.catalog import SESSION_OUTPUTS

INPUTS: Final = 20_000
_WAIT_S: Final = 240.0
_POLL_S: Final = 0.02


def measure(runs: int) -> list[Row]:
    """Return the table's line."""
    return asyncio.run(_measure(runs))


async def _measure(runs: int) -> list[Row]:
    samples: list[tuple[float, float | None]] = []
    with servers() as endpoints:
        for _ in range(runs):
            rates = {}
            for workers in (1, 2):
                async with topics_of_a_run(endpoints) as run:
                    await run.send(inputs(INPUTS, SESSIONS))
                    rates[workers] = await _rate(run, workers)
            samples.append((rates[2], rates[1]))
    note = f"the peer is one worker; this machine has {os.cpu_count()} cores, Kafka's included"
    return [row("two workers beside one", "inputs/s", samples, target="ratio >= 1.6", note=note)]


async def _rate(run: Run, count: int) -> float:
    """Return outputs per second, from the first that is seen to the last."""
    workers = [run.start("shell_worker", "shell") for _ in range(count)]
    consumer = AIOKafkaConsumer(bootstrap_servers=run.endpoints.kafka_bootstrap, enable_auto_commit=False)
    await consumer.start()
    places = [TopicPartition(run.prefix + SESSION_OUTPUTS.name, number) for number in range(run.partitions)]
    began_s, first = 0.0, 0
    try:
        async with asyncio.timeout(_WAIT_S):
            while True:
                outputs = int(sum((await consumer.end_offsets(places)).values()))
                if outputs and not began_s:
                    began_s, first = time.perf_counter(), outputs
                if outputs >= INPUTS:
                    return (outputs - first) / (time.perf_counter() - began_s)
                await asyncio.sleep(_POLL_S)
    finally:
        await consumer.stop()
        end(workers)


if __name__ == "__main__":
    for line in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 2):
        sys.stdout.write(f"{line}\n")
