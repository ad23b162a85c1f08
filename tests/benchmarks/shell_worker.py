"""One measured process: a counting shell, or the plain loop that it is compared with.

Prints what it took as JSON on its last line.
"""

import argparse
import asyncio
import cProfile
import pstats
import sys
import time
from typing import Final

from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)

from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from streams.engine.app import PRODUCE_BYTES_MAX
from streams.engine.faust_shell import FaustShell
from streams.process.metrics import Metrics
from streams.shells.stateful import StatefulSpec, build_stateful
from streams.worker.runner import run_shells
from tests.benchmarks.counter import STATE_BYTES, CountingDecider
from tests.benchmarks.worker_process import COMMIT_INTERVAL_MS, context_of, end_with, parser_of
from topics.catalog import PLANS, SESSION_INPUTS, TASK_EVENTS, TOPICS
from topics.tables import SESSION_STATES

_POLL_S: Final = 0.005
FETCH_MAX: Final = 500


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("kind", ("shell", "plain"))
    parser.add_argument("--group", default="count")
    parser.add_argument("--inputs", type=int, default=0, help="end after so many; 0: never")
    parser.add_argument("--profile", action="store_true", help="print where the time goes to standard error")
    return parser.parse_args()


def build_counting(
    options: argparse.Namespace, codec: Codec, metrics: Metrics
) -> tuple[FaustShell, CountingDecider]:
    """Build the counting shell as the workers build theirs."""
    context = context_of(options, codec, metrics, app_id=options.group)
    decider = CountingDecider()
    spec = StatefulSpec(name="session", table=SESSION_STATES, sources=(SESSION_INPUTS,))
    return build_stateful(context, spec, decider), decider


async def shell(options: argparse.Namespace) -> dict[str, float]:
    """Run the counting shell until it has acknowledged all inputs."""
    registry = SchemaRegistry(options.registry)
    metrics = Metrics()
    codec = await Codec.connect(TOPICS, registry, options.prefix)
    built, decider = build_counting(options, codec, metrics)
    stop = asyncio.Event()
    running = asyncio.create_task(run_shells([built], stop=stop))
    while not decider.advanced and not running.done():  # noqa: ASYNC110  # the shell knows no observer
        await asyncio.sleep(_POLL_S)
    before_s, cpu_before_s = time.perf_counter(), time.process_time()

    def acknowledged() -> float:
        # To collect the registry every few milliseconds would cost more than the shell.
        return float(metrics.batch_inputs.labels("session")._sum.get())

    def is_done() -> bool:
        return running.done() or acknowledged() >= options.inputs > 0

    while not is_done():  # noqa: ASYNC110  # as above
        await asyncio.sleep(_POLL_S)
    took_s, cpu_s = time.perf_counter() - before_s, time.process_time() - cpu_before_s
    batches = metrics.registry.get_sample_value("cartrita_batch_inputs_count", {"shell": "session"}) or 1.0
    stop.set()
    await running
    await registry.close()
    return {"took_s": took_s, "cpu_s": cpu_s, "inputs": acknowledged(), "batches": batches}


async def plain(options: argparse.Namespace) -> dict[str, float]:
    """Read, write two records per input and commit, with the shell's settings of durability."""
    topic = options.prefix + SESSION_INPUTS.name
    outputs, states = options.prefix + PLANS.name, options.prefix + TASK_EVENTS.name
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=options.kafka,
        group_id=f"{options.prefix}{options.group}-plain",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=options.kafka,
        acks="all",
        enable_idempotence=True,
        max_request_size=PRODUCE_BYTES_MAX,
    )
    await consumer.start()
    await producer.start()
    count, before_s, cpu_before_s, committed_s = 0, 0.0, 0.0, 0.0
    state = b"x" * STATE_BYTES
    positions: dict[TopicPartition, int] = {}
    try:
        while not options.inputs or count < options.inputs:
            batches = await consumer.getmany(timeout_ms=1_000, max_records=FETCH_MAX)
            if batches and not before_s:
                before_s, cpu_before_s = time.perf_counter(), time.process_time()
            pending = []
            for place, records in batches.items():
                for record in records:
                    pending.append(await producer.send(states, state, record.key, place.partition))
                    pending.append(
                        await producer.send(
                            outputs, record.value, record.key, place.partition, headers=list(record.headers)
                        )
                    )
                positions[place] = records[-1].offset + 1
            await asyncio.gather(*pending)
            count += len(pending) // 2
            if time.perf_counter() - committed_s > COMMIT_INTERVAL_MS / 1_000 or count >= options.inputs > 0:
                await consumer.commit(positions)
                committed_s = time.perf_counter()
        took_s, cpu_s = time.perf_counter() - before_s, time.process_time() - cpu_before_s
        return {"took_s": took_s, "cpu_s": cpu_s, "inputs": float(count)}
    finally:
        await producer.stop()
        await consumer.stop()


def main() -> None:
    """Run one kind and print what it took."""
    options = arguments()
    profile = cProfile.Profile() if options.profile else None
    if profile is not None:
        profile.enable()
    numbers = asyncio.run(shell(options) if options.kind == "shell" else plain(options))
    if profile is not None:
        profile.disable()
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(45)
    end_with(numbers)


if __name__ == "__main__":
    main()
