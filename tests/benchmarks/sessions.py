"""Durable agent sessions, side by side with LangGraph and DBOS on the same Postgres.

The shape is the same for all: plan, critic, three parallel tasks of one model and one tool call each, and
synthesis; every step is durable before the next begins.
"""

import asyncio
import gc
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg

from sinks.rebuild import RebuildSettings
from streams.client.client import Client
from tests.benchmarks.cost import between, read, settled
from tests.benchmarks.databases import rebuilt
from tests.benchmarks.driver import Driver, driver
from tests.benchmarks.ground import PROJECT, Ground, ground
from tests.benchmarks.result import Row, row

CONCURRENCY: Final = 16
ALONE: Final = 20
TOGETHER: Final = 200
WARM_UP: Final = 100
STEPS_IN_SEQUENCE: Final = 5
"""Calls of a session that wait for each other: plan, critic, model, tool, synthesis."""
PEER_S: Final = 300.0
PEERS: Final = {"LangGraph": "langgraph_peer.py", "DBOS": "dbos_peer.py"}
PEER_PYTHON: Final = PROJECT / ".venv-bench" / "bin" / "python"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one system."""

    sessions_per_s: float
    alone_ms: float
    """Median of sessions that had the machine for themselves."""
    cpu_ms: float
    """Of all processes, for one session of many at once."""
    events: float = 0.0
    """Records of the audit trail, for one session."""
    changelogs: float = 0.0
    rebuilt_per_s: float = 0.0
    """Events that a rebuild of all so far reads and writes a second, while nothing else runs."""


async def measure(runs: int) -> Sequence[Row]:
    """Run every system once in each run, one after the other, so that noise meets all of them."""
    if not PEER_PYTHON.exists():
        raise RuntimeError(f"{PEER_PYTHON} is not there; `make bench` sets the peers' environment up")
    ours: list[Sample] = []
    theirs: dict[str, list[Sample]] = {name: [] for name in PEERS}
    gc.freeze()  # as the rebuild's command does
    async with ground() as where, driver(where.settings) as drive:
        dsns = {name: await _database(where, name) for name in PEERS}
        await drive.run(WARM_UP, CONCURRENCY)
        for _ in range(runs):
            ours.append(await _ours(where, drive))
            for name, script in PEERS.items():
                theirs[name].append(await _peer(where, script, dsns[name]))
    return _rows(ours, theirs)


async def _ours(where: Ground, drive: Driver) -> Sample:
    await settled(where)
    alone = await drive.run(ALONE, 1)
    before = await settled(where)
    began = time.perf_counter()
    await drive.run(TOGETHER, CONCURRENCY)
    wall_s = time.perf_counter() - began
    each = between(before, await settled(where), TOGETHER)
    rebuilt_per_s = await _rebuilt_per_s(where)
    return Sample(
        sessions_per_s=TOGETHER / wall_s,
        alone_ms=median(alone),
        cpu_ms=sum(each.cpu_ms.values()),
        events=each.events,
        changelogs=each.changelog_records,
        rebuilt_per_s=rebuilt_per_s,
    )


async def _rebuilt_per_s(where: Ground) -> float:
    settings = RebuildSettings(
        bootstrap=where.settings.kafka_bootstrap,
        dsn=where.settings.postgres_dsn,
        topic_prefix=where.settings.topic_prefix,
    )
    async with Client(where.settings) as client:
        return (await rebuilt(settings, client.codec)).records_per_s


async def _peer(where: Ground, script: str, dsn: str) -> Sample:
    path = Path(__file__).with_name("peers") / script
    before = await read(where)
    process = await asyncio.create_subprocess_exec(
        str(PEER_PYTHON), str(path), dsn, str(ALONE), str(TOGETHER), str(CONCURRENCY),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PEER_S):
        printed, errors = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{script} failed:\n{errors.decode(errors='replace')[-2_000:]}")
    told = json.loads(printed.splitlines()[-1])
    postgres = between(before, await read(where), 1).cpu_ms.get("postgres", 0.0)
    sessions = ALONE + TOGETHER + told["warm_up"]
    return Sample(
        sessions_per_s=told["sessions_per_s"],
        alone_ms=median(told["alone_ms"]),
        cpu_ms=told["cpu_ms"] + postgres / sessions,
    )


async def _database(where: Ground, name: str) -> str:
    """Make a database of its own for a peer, on the same server."""
    database = f"peer_{name.lower()}"
    dsn = where.settings.postgres_dsn
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE DATABASE {database}")
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def _rows(ours: Sequence[Sample], theirs: dict[str, list[Sample]]) -> list[Row]:
    rates = {"LangGraph": "ratio >= 1", "DBOS": "ratio >= 4"}
    rows = [
        row(
            f"durable agent sessions, {CONCURRENCY} at once, against {name}",
            "sessions/s",
            [(one.sessions_per_s, peer.sessions_per_s) for one, peer in zip(ours, samples, strict=True)],
            target=rates[name],
            note="same shape, same Postgres; ours with its whole audit trail and the sink running",
        )
        for name, samples in theirs.items()
    ]
    rows += [
        row(
            f"one session alone, against {name}",
            "ms",
            [(one.alone_ms, peer.alone_ms) for one, peer in zip(ours, samples, strict=True)],
            target="ratio <= 1" if name == "DBOS" else "",
        )
        for name, samples in theirs.items()
    ]
    rows += [
        row(
            f"CPU of all processes for one session, against {name}",
            "ms",
            [(one.cpu_ms, peer.cpu_ms) for one, peer in zip(ours, samples, strict=True)],
            note="ours has Kafka, worker, sink, Postgres and driver",
        )
        for name, samples in theirs.items()
    ]
    return [
        *rows,
        row(
            "rebuild of Postgres, against live processing",
            "events/s",
            [(one.rebuilt_per_s, one.events * one.sessions_per_s) for one in ours],
            target="ratio >= 10",
            note="the peer is what the sessions above wrote a second while they ran",
        ),
        row(
            "own latency for each model or tool call of a session alone",
            "ms",
            [(one.alone_ms / STEPS_IN_SEQUENCE, None) for one in ours],
            target="ours <= 10",
            note=f"a session alone, by the {STEPS_IN_SEQUENCE} calls that wait for each other",
        ),
        row(
            "Kafka records of events for one session",
            "records",
            [(one.events, None) for one in ours],
            target="ours <= 60",
            note="the audit trail; everything is kept",
        ),
        row(
            "changelog records for one session",
            "records",
            [(one.changelogs, None) for one in ours],
            note="of the shells' tables; compaction takes them away",
        ),
    ]
