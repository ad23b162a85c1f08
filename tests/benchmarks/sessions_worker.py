"""One measured process: the session shell over a table that is already full; prints what it found as JSON."""

import argparse
import asyncio
import time
from pathlib import Path
from typing import Final

from processors.session import SessionDecider
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from streams.process.metrics import Metrics
from streams.shells.stateful import SESSION_SPEC, build_stateful
from streams.worker.runner import run_shells
from tests.benchmarks.worker_process import context_of, end_with, parser_of
from tests.processors.world import configuration
from topics.catalog import TOPICS

_POLL_S: Final = 0.05
_BEGAN_S: Final = time.perf_counter()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = parser_of("store", ("memory", "rocksdb"))
    parser.add_argument("--inputs", type=int, default=0, help="end after so many; 0: when it is ready")
    return parser.parse_args()


async def main(options: argparse.Namespace) -> dict[str, float]:
    """Start, wait until it is ready, take the inputs, and end in order."""
    registry = SchemaRegistry(options.registry)
    codec = await Codec.connect(TOPICS, registry, options.prefix)
    metrics = Metrics()
    context = context_of(
        options,
        codec,
        metrics,
        app_id="sessions",
        worker_identity="one",
        tables_on_disk=options.store == "rocksdb",
    )
    shell = build_stateful(context, SESSION_SPEC, SessionDecider(configuration()))
    stop = asyncio.Event()
    running = asyncio.create_task(run_shells([shell], stop=stop))
    while not shell.ready and not running.done():  # noqa: ASYNC110  # the shell knows no observer
        await asyncio.sleep(_POLL_S)
    found = {"ready_s": time.perf_counter() - _BEGAN_S, "ready_bytes": resident_bytes()}
    found["ready_cpu_s"] = time.process_time()
    found["recovered_bytes"] = metrics.recovered_bytes.labels("session")._value.get()
    cpu_before_s = time.process_time()
    taken = metrics.batch_inputs.labels("session")._sum

    def is_done() -> bool:
        return running.done() or float(taken.get()) >= options.inputs

    while not is_done():  # noqa: ASYNC110  # as above
        await asyncio.sleep(_POLL_S)
    found["cpu_s"] = time.process_time() - cpu_before_s
    found["bytes"] = resident_bytes()
    stop.set()
    await running
    await registry.close()
    return found


def resident_bytes() -> float:
    """Return the memory that this process holds."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return float(line.split()[1]) * 1_024


if __name__ == "__main__":
    end_with(asyncio.run(main(arguments())))
