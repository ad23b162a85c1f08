"""Whatever a valid record holds, its rows insert."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.projections.rows import Place
from schemas.codec import Codec
from schemas.envelope import Envelope
from sinks.intake import Delivery, Taken, take
from sinks.writer import Writer
from tests.projections.envelopes import any_event
from topics.catalog import Topic
from topics.routing import key_of

pytestmark = pytest.mark.stack

CODEC = Codec.offline()


async def taken(topic: Topic, envelope: Envelope, offset: int) -> Taken:
    """Take an event as it comes from Kafka, key and all."""
    delivery = Delivery(
        place=Place(topic=topic.name, partition=0, offset=offset, timestamp_ms=1),
        key=key_of(topic, envelope),
        value=CODEC.encode(topic, envelope),
        headers=tuple(CODEC.headers(topic, envelope)),
    )
    return await take(delivery, CODEC)


@pytest.fixture
async def writer(dsn: str) -> Writer:
    """A writer on an empty database."""
    return await Writer.connect(dsn, "any")


async def test_any_valid_events_project_to_rows_that_insert(dsn: str) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    writer = await Writer.connect(dsn, "any")
    offsets: dict[str, int] = {}

    async def write(events: list[tuple[Topic, Envelope]]) -> None:
        batch = []
        expected = {}
        for topic, envelope in events:
            offset = offsets.setdefault(topic.name, 0)
            expected.setdefault((topic.name, 0), offset)
            batch.append((await taken(topic, envelope, offset)).projected)
            offsets[topic.name] = offset + 1
        await writer.write(batch, expected)
        assert all(one.log is not None for one in batch)

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(any_event(), min_size=1, max_size=6))
    def check(events: list[tuple[Topic, Envelope]]) -> None:
        asyncio.run_coroutine_threadsafe(write(events), loop).result(20)

    import uuid
    from topics.catalog import TOPICS
    await writer.positions({(t.name, 0): uuid.uuid4() for t in TOPICS})
    await asyncio.to_thread(check)
    await writer.close()
