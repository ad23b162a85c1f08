"""Whatever a valid record holds, its rows insert."""

import asyncio
import uuid
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.projections.tables import TABLES
from schemas.envelope import Envelope
from sinks.writer import Slot, Writer
from tests.projections.envelopes import any_event
from tests.sinks.records import taken
from topics.catalog import TOPICS, Topic

pytestmark = pytest.mark.stack

EXAMPLES = 80
WRITE_TIMEOUT_S = 20


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
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.lists(any_event(), min_size=6, max_size=10))
    def check(events: list[tuple[Topic, Envelope]]) -> None:
        asyncio.run_coroutine_threadsafe(write(events), loop).result(WRITE_TIMEOUT_S)

    try:
        await asyncio.to_thread(check)
    finally:
        await writer.close()
    # Else the examples would prove nothing.
    assert {table.name for table in TABLES} == {name for name, count in tables.items() if count > 0}
