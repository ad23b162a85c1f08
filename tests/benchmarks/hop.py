"""From an input to its visible output at 50 a second, through a shell and through a plain loop at once."""

import asyncio
import sys
import time
from typing import Final

from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
)

from tests.benchmarks.result import Row, row
from tests.benchmarks.shell import inputs
from tests.benchmarks.stage import Run, end, servers, topics_of_a_run
from topics.catalog import PLANS, SESSION_INPUTS, SESSION_OUTPUTS
from topics.routing import key_of, partition_of

RATE: Final = 50
INPUTS: Final = 1_000
WARM_INPUTS: Final = 100
"""The first ones, which are not counted: connections open, code is loaded."""
SESSIONS: Final = 200
_WAIT_S: Final = 120.0


def measure(runs: int) -> list[Row]:
    """Return the table's lines."""
    return asyncio.run(_measure(runs))


async def _measure(runs: int) -> list[Row]:
    medians: list[tuple[float, float | None]] = []
    tails: list[tuple[float, float | None]] = []
    with servers() as endpoints:
        for _ in range(runs):
            async with topics_of_a_run(endpoints) as run:
                ours, peer = await _hops_ms(run)
                medians.append((at(ours, 0.5), at(peer, 0.5)))
                tails.append((at(ours, 0.99), at(peer, 0.99)))
    note = f"plain aiokafka loop on the same inputs; {RATE}/s, {INPUTS - WARM_INPUTS} inputs"
    return [
        row("hop from input to output, p50", "ms", medians, target="ratio <= 1.5", note=note),
        row("hop from input to output, p99", "ms", tails, target="ours <= 25", note=note),
    ]


def at(sorted_ms: list[float], share: float) -> float:
    """Return the value below which that share of them lies."""
    return sorted_ms[min(int(len(sorted_ms) * share), len(sorted_ms) - 1)]


async def _hops_ms(run: Run) -> tuple[list[float], list[float]]:
    """Return the sorted hops of the shell and of the plain loop."""
    workers = [run.start("shell_worker", kind) for kind in ("shell", "plain")]
    consumer = AIOKafkaConsumer(
        *(run.prefix + topic.name for topic in (SESSION_OUTPUTS, PLANS)),
        bootstrap_servers=run.endpoints.kafka_bootstrap,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    sent_s: dict[str, float] = {}
    came_s: dict[str, dict[str, float]] = {SESSION_OUTPUTS.name: {}, PLANS.name: {}}
    try:
        async with asyncio.timeout(_WAIT_S):
            sending = asyncio.create_task(_send(run, sent_s, came_s))
            while any(len(came) < INPUTS for came in came_s.values()):
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    now_s = time.perf_counter()
                    for record in records:
                        event = await run.codec.decode(record.value, record.headers)
                        topic = record.topic.removeprefix(run.prefix)
                        cause = event.causation_id if topic == SESSION_OUTPUTS.name else event.event_id
                        came_s[topic].setdefault(cause or "", now_s)
            await sending
    finally:
        await consumer.stop()
        end(workers)
    counted = list(sent_s)[WARM_INPUTS:]
    ours, peer = (
        sorted((came[one] - sent_s[one]) * 1_000 for one in counted)
        for came in (came_s[SESSION_OUTPUTS.name], came_s[PLANS.name])
    )
    return ours, peer


async def _send(run: Run, sent_s: dict[str, float], came_s: dict[str, dict[str, float]]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=run.endpoints.kafka_bootstrap)
    await producer.start()
    try:
        for number, event in enumerate(inputs(INPUTS, SESSIONS)):
            key = key_of(SESSION_INPUTS, event)
            value, headers = run.codec.encode(SESSION_INPUTS, event), run.codec.headers(SESSION_INPUTS, event)
            sent_s[event.event_id] = time.perf_counter()
            await producer.send(
                run.prefix + SESSION_INPUTS.name,
                value,
                key,
                partition_of(key, run.partitions),
                headers=headers,
            )
            if number == 0:
                # Both take part once they have joined their groups.
                while not all(came_s.values()):  # noqa: ASYNC110  # Kafka tells nobody of it
                    await asyncio.sleep(0.05)
            await asyncio.sleep(1 / RATE)
    finally:
        await producer.stop()


if __name__ == "__main__":
    for line in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        sys.stdout.write(f"{line}\n")
