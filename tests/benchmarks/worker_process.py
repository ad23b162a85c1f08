"""What every measured process shares: its command line, its surroundings, and how its numbers get out."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

from schemas.wire.codec import Codec
from streams.engine.context import ShellContext
from streams.process.metrics import Metrics
from tests.benchmarks.stage import SESSION_TIMEOUT_MS

COMMIT_INTERVAL_MS: Final = 500


def parser_of(kind: str, choices: tuple[str, ...]) -> argparse.ArgumentParser:
    """Return a parser of what `Run.start` says, and of one choice before it."""
    parser = argparse.ArgumentParser()
    parser.add_argument(kind, choices=choices)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--prefix", required=True)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--partitions", type=int, required=True)
    return parser


def context_of(
    options: argparse.Namespace,
    codec: Codec,
    metrics: Metrics,
    *,
    app_id: str,
    worker_identity: str | None = None,
    tables_on_disk: bool = False,
) -> ShellContext:
    """Return a shell's surroundings, with the settings of a worker."""
    return ShellContext(
        kafka_bootstrap=options.kafka,
        topic_prefix=options.prefix,
        app_id=app_id,
        partitions=options.partitions,
        data_directory=options.directory / "data",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=1_000,
        rebalance_timeout_ms=20_000,
        produce_timeout_ms=30_000,
        commit_interval_ms=COMMIT_INTERVAL_MS,
        worker_identity=worker_identity,
        tables_on_disk=tables_on_disk,
        codec=codec,
        metrics=metrics,
    )


def end_with(numbers: Mapping[str, float]) -> NoReturn:
    """Print what was found as the last line, and end at once."""
    sys.stdout.write(json.dumps(numbers) + "\n")
    sys.stdout.flush()
    # Faust's services need not end for the numbers to be true.
    os._exit(0)
