"""Whatever a valid record holds, its rows insert."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.projections.tables import TABLES
from schemas.envelope import Envelope
from sinks.writer import Slot, Writer
from tests.projections.envelopes import KINDS, any_event
from tests.sinks.records import taken
from topics.catalog import TOPICS, Topic

pytestmark = pytest.mark.stack

EXAMPLES = 50
EXAMPLES_OF_EACH = 2


def drawn(
    examples: int, strategy: st.SearchStrategy[list[tuple[Topic, Envelope]]]
) -> Callable[[Callable[[list[tuple[Topic, Envelope]]], None]], Callable[[], None]]:
    """Run a function with so many examples."""
    run = settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    return lambda function: run(given(strategy)(function))


async def test_any_valid_events_project_to_rows_that_insert(dsn: str) -> None:
    loop = asyncio.get_running_loop()
    writer = await Writer.connect(dsn, "any")
    await writer.positions({(topic.name, 0): uuid.uuid4() for topic in TOPICS})
    following: Counter[str] = Counter()
    tables: Counter[str] = Counter()

    async def write(events: list[tuple[Topic, Envelope]]) -> None:
        expected: dict[Slot, int] = {(topic.name, 0): following[topic.name] for topic, _ in events}
        batch = []
        for topic, envelope in events:
            batch.append((await taken(topic, envelope, following[topic.name])).projected)
            following[topic.name] += 1
        assert all(one.log is not None for one in batch)
        written = await writer.write(batch, expected)
        tables.update(written.rows)

    # Hypothesis runs plain functions; the connection lives on this loop.
    def inserted(events: list[tuple[Topic, Envelope]]) -> None:
        asyncio.run_coroutine_threadsafe(write(events), loop).result()

    def check() -> None:
        drawn(EXAMPLES, st.lists(any_event(), min_size=6, max_size=10))(inserted)()
        # No kind is left to chance: some tables have a single source.
        for kind in KINDS:
            drawn(EXAMPLES_OF_EACH, st.lists(any_event([kind]), min_size=4, max_size=4))(inserted)()

    try:
        await asyncio.to_thread(check)
    finally:
        await writer.close()
    # Else the examples would prove nothing.
    assert {table.name for table in TABLES} == {name for name, count in tables.items() if count > 0}
