"""A session shell with 100,000 open sessions: memory, start, what a start reads, cost of a message."""

import asyncio
import sys
from collections.abc import Iterator
from statistics import median
from typing import Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.ids import derived_id
from streams.stateful.stored_record import StoredRecord
from tests.benchmarks.result import Row, row
from tests.benchmarks.stage import Run, servers, topics_of_a_run
from tests.processors.world import SESSION, World, obliging, plan_text, task
from topics.catalog import ACCOUNT_EVENTS, MODEL_RESULTS, SESSION_INPUTS, SESSION_TIMERS, TOOL_RESULTS
from topics.routing import partition_of
from topics.tables import SESSION_STATES, changelog_of

SESSIONS: Final = 100_000
INPUTS: Final = 2_000
"""Messages to as many sessions; with fewer sessions than this, some would get two."""
_CHUNK: Final = 5_000
_DUE_AT_MS: Final = 4_000_000_000_000
"""An open session waits for the day on which it has been idle for too long."""
Numbers = dict[str, float]


def measure(runs: int) -> list[Row]:
    """Return the table's lines."""
    return asyncio.run(_measure(runs))


async def _measure(runs: int) -> list[Row]:
    record = finished_session()
    few, many, again = [], [], []
    with servers() as endpoints:
        for _ in range(runs):
            async with topics_of_a_run(endpoints) as run:
                few.append((await _taken(run, record, INPUTS))[0])
            async with topics_of_a_run(endpoints) as run:
                cold, warm = await _taken(run, record, SESSIONS)
                many.append(cold)
                again.append(warm)
    note = (
        f"a record of {len(record.encode()):,} bytes each; {INPUTS:,} messages to as many sessions; RocksDB"
    )
    return [
        _row(
            "100,000 sessions: memory after messages",
            "MB",
            [one["bytes"] / 1e6 for one in many],
            "<= 500",
            note,
        ),
        _row("100,000 sessions: start that reads all", "s", [one["ready_s"] for one in many], "<= 30", ""),
        _row(
            "100,000 sessions: read by that start",
            "MB",
            [one["recovered_bytes"] / 1e6 for one in many],
            "",
            "",
        ),
        _row("100,000 sessions: second start", "s", [one["ready_s"] for one in again], "<= 30", ""),
        _row("100,000 sessions: read by it", "MB", [one["recovered_bytes"] / 1e6 for one in again], "", ""),
        row(
            "CPU per message, 100,000 sessions beside 2,000",
            "µs",
            [
                (ours["cpu_s"] / INPUTS * 1e6, peer["cpu_s"] / INPUTS * 1e6)
                for ours, peer in zip(many, few, strict=True)
            ],
            target="ratio <= 1.25",
            note="the peer is ourselves with 2,000 sessions, one message each",
        ),
    ]


def _row(name: str, unit: str, samples: list[float], bound: str, note: str) -> Row:
    assert median(samples) >= 0
    target = f"ours {bound}" if bound else ""
    return row(name, unit, [(sample, None) for sample in samples], target=target, note=note)


async def _taken(run: Run, record: StoredRecord, sessions: int) -> tuple[Numbers, Numbers]:
    """Fill the table, let a process read all of it and take messages, and let another start after it."""
    await fill(run, record, sessions)
    await run.send(messages(sessions))
    first = await run.report_of("sessions_worker", "rocksdb", "--inputs", str(INPUTS))
    return first, await run.report_of("sessions_worker", "rocksdb")


def finished_session() -> StoredRecord:
    """Return what the table holds of a session after one turn of three tasks."""
    world = World(obliging(plan_text(task("a"), task("b"), task("c")), tools=["look"]))
    world.say()
    world.run()
    assert world.state.turn is None
    topics = (SESSION_INPUTS, SESSION_TIMERS, MODEL_RESULTS, TOOL_RESULTS, ACCOUNT_EVENTS)
    return StoredRecord(
        state=world.decider.encode(world.state),
        # Nothing stands on the run's topics yet; positions take the room that they take.
        positions={topic.name: -1 for topic in topics},
        due_at_ms=_DUE_AT_MS,
        tenant_id="tenant",
        user_id="user",
    )


def session_ids(sessions: int) -> Iterator[str]:
    """Return the ids of the sessions that the table is filled with."""
    return (derived_id("open", str(number)) for number in range(sessions))


def messages(sessions: int) -> Iterator[Envelope]:
    """Return further messages, as many for few sessions as for many."""
    ids = [derived_id("open", str(number * sessions // INPUTS)) for number in range(INPUTS)]
    for number, session_id in enumerate(ids):
        yield Envelope(
            event_id=derived_id("further", str(number)),
            type="MessageReceived",
            session_id=session_id,
            tenant_id="tenant",
            user_id="user",
            occurred_at_ms=1_700_000_100_000,
            producer="benchmark",
            body=MessageReceived(text="And how long does it take?", tokens=7),
        )


async def fill(run: Run, record: StoredRecord, sessions: int) -> None:
    """Write a record of each session to the table's changelog."""
    value = record.encode()
    topic = changelog_of(run.prefix, SESSION_STATES)
    producer = AIOKafkaProducer(
        bootstrap_servers=run.endpoints.kafka_bootstrap, linger_ms=5, max_batch_size=262_144
    )
    await producer.start()
    try:
        pending = []
        for session_id in session_ids(sessions):
            key = session_id.encode()
            # The id is in the state too.
            own = value.replace(SESSION.encode(), key)
            pending.append(await producer.send(topic, own, key, partition_of(key, run.partitions)))
            if len(pending) >= _CHUNK:
                await asyncio.gather(*pending)
                pending.clear()
        await asyncio.gather(*pending)
    finally:
        await producer.stop()


if __name__ == "__main__":
    for line in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
        sys.stdout.write(f"{line}\n")
