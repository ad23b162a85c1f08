"""A worker with one counting shell, started by the tests as a process of its own and killed by them."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from streams.engine.context import ShellContext
from streams.process import failpoints
from streams.process.metrics import Metrics
from streams.shells.stateful import StatefulSpec, build_stateful
from streams.worker.runner import run_shells
from tests.streams.counting import CountingDecider
from topics.catalog import SESSION_INPUTS, SESSION_TIMERS, TOOL_RESULTS, TOPICS
from topics.tables import SESSION_STATES


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--session-timeout-ms", type=int, default=6_000)
    parser.add_argument("--identity")
    parser.add_argument("--failpoint")
    parser.add_argument("--app-id", default="count")
    parser.add_argument("--retention-ms", type=int)
    parser.add_argument("--on-disk", action="store_true", help="tables in RocksDB")
    parser.add_argument("--fixed", action="store_true", help="poison no longer raises")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> int:
    """Run the shell until SIGTERM."""
    if options.failpoint:
        failpoints.arm(failpoints.parse(options.failpoint))
    registry = SchemaRegistry(options.registry)
    codec = await Codec.connect(TOPICS, registry, options.prefix)
    context = ShellContext(
        kafka_bootstrap=options.kafka,
        topic_prefix=options.prefix,
        app_id=options.app_id,
        partitions=options.partitions,
        data_directory=options.directory,
        session_timeout_ms=options.session_timeout_ms,
        heartbeat_interval_ms=500,
        rebalance_timeout_ms=20_000,
        produce_timeout_ms=30_000,
        commit_interval_ms=500,
        worker_identity=options.identity,
        tables_on_disk=options.on_disk,
        codec=codec,
        metrics=Metrics(),
    )
    spec = StatefulSpec(
        name="session",
        table=SESSION_STATES,
        sources=(SESSION_INPUTS, SESSION_TIMERS, TOOL_RESULTS),
        retention_ms=options.retention_ms,
    )
    shell = build_stateful(context, spec, CountingDecider(poison=not options.fixed))
    code = await run_shells([shell])
    await registry.close()
    return int(code)


if __name__ == "__main__":
    code = asyncio.run(main(arguments()))
    sys.stdout.flush()
    os._exit(code)
