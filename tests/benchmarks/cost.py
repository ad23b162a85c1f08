"""`python -m tests.benchmarks.cost`: what one session costs, in records, bytes and CPU by process."""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # ships no types
from rich.console import Console
from rich.table import Table

from tests.benchmarks.driver import driver
from tests.benchmarks.ground import Ground, ground
from topics.catalog import BY_NAME

SETTLE_S: Final = 30.0
WARM_UP: Final = 50
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The counters at one moment."""

    records: Mapping[str, int]
    """By topic."""
    bytes: Mapping[str, int]
    """By topic: of the log's segments on disk."""
    cpu_s: Mapping[str, float]
    """By process, its children included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one session costs, on the average of many."""

    records: Mapping[str, float]
    bytes: Mapping[str, float]
    cpu_ms: Mapping[str, float]

    @property
    def events(self) -> float:
        """Records on topics of events: the audit trail."""
        return sum(count for topic, count in self.records.items() if topic in BY_NAME)

    @property
    def changelog_records(self) -> float:
        """Records of the shells' tables, which compaction takes away."""
        return sum(count for topic, count in self.records.items() if topic.endswith("-changelog"))


async def read(where: Ground) -> Reading:
    """Read all counters."""
    prefix = where.settings.topic_prefix
    bootstrap = where.settings.kafka_bootstrap
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await admin.start()
    await consumer.start()
    try:
        places = [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            for partition in topic["partitions"]
        ]
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
        await admin.close()
    records: dict[str, int] = {}
    for place, end in ends.items():
        name = place.topic.removeprefix(prefix)
        records[name] = records.get(name, 0) + end
    return Reading(records=records, bytes=_bytes(where, prefix), cpu_s=cpu_s_by_process(where.pids()))


async def settled(where: Ground) -> Reading:
    """Read once nothing more is written."""
    reading = await read(where)
    for _ in range(int(SETTLE_S)):
        await asyncio.sleep(1.0)
        before, reading = reading, await read(where)
        if _of_topics(before.records) == _of_topics(reading.records):
            return reading
    raise RuntimeError(f"records are still written after {SETTLE_S:.0f} s")


def between(before: Reading, after: Reading, sessions: int) -> Cost:
    """Return what each of `sessions` has cost."""
    return Cost(
        records=_each(before.records, after.records, sessions),
        bytes=_each(before.bytes, after.bytes, sessions),
        cpu_ms={name: 1_000 * each for name, each in _each(before.cpu_s, after.cpu_s, sessions).items()},
    )


async def cost(where: Ground, sessions: int, concurrency: int, warm_up: int = WARM_UP) -> Cost:
    """Hold sessions, and return what each cost; `warm_up` sessions before them do not count."""
    async with driver(where.settings) as drive:
        await drive.run(warm_up, concurrency)
        before = await settled(where)
        await drive.run(sessions, concurrency)
        return between(before, await settled(where), sessions)


def cpu_s_by_process(pids: Mapping[str, int]) -> dict[str, float]:
    """Return the processor time of processes since they began, that of their own children included."""
    children: dict[int, list[int]] = {}
    times: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended in the meantime
            children.setdefault(int(fields[1]), []).append(int(entry.name))
            # Own time, and that of children which have ended.
            times[int(entry.name)] = sum(map(int, fields[11:15])) / _TICKS_PER_S
    named = set(pids.values())

    def total(pid: int) -> float:
        own = times.get(pid, 0.0)
        return own + sum(total(child) for child in children.get(pid, ()) if child not in named)

    return {name: total(pid) for name, pid in pids.items()}


def _of_topics(records: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in records.items() if not name.startswith("__")}


def _each(before: Mapping[str, float], after: Mapping[str, float], sessions: int) -> dict[str, float]:
    changes = {name: (value - before.get(name, 0)) / sessions for name, value in after.items()}
    return {name: change for name, change in sorted(changes.items(), key=lambda one: -one[1]) if change > 0}


def _bytes(where: Ground, prefix: str) -> dict[str, int]:
    data = next(one.data_directory for one in where.stack.status() if one.name == "kafka")
    sizes: dict[str, int] = {}
    for segment in data.rglob("*.log"):
        name = segment.parent.name.rpartition("-")[0].removeprefix(prefix)
        sizes[name] = sizes.get(name, 0) + segment.stat().st_size
    return sizes


def _show(each: Cost, concurrency: int) -> None:
    console = Console()
    table = Table("topic", "records", "bytes", title=f"one session, of {concurrency} at once")
    for name, count in each.records.items():
        table.add_row(name, f"{count:.2f}", f"{each.bytes.get(name, 0):,.0f}")
    table.add_row("events", f"{each.events:.2f}", "")
    table.add_row("changelogs", f"{each.changelog_records:.2f}", "")
    table.add_row("bytes in all", "", f"{sum(each.bytes.values()):,.0f}")
    console.print(table)
    cpu = Table("process", "CPU ms")
    for name, cpu_ms in each.cpu_ms.items():
        cpu.add_row(name, f"{cpu_ms:.2f}")
    cpu.add_row("all", f"{sum(each.cpu_ms.values()):.2f}")
    console.print(cpu)


async def main() -> None:
    """Count and show."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cost", description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    async with ground(options.workers) as where:
        _show(await cost(where, options.sessions, options.concurrency), options.concurrency)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
