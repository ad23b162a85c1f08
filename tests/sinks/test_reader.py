"""A sink's fetch waits for a first record, ends when it is stirred, and tells Kafka how long to wait."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types

from sinks.pace import LITTLE, QUIET, WINDOW_S, Pacing
from sinks.reader import Reader

PLACE = TopicPartition("plans", 0)
Fetched = dict[TopicPartition, Sequence[SimpleNamespace]]


def record(offset: int) -> SimpleNamespace:
    return SimpleNamespace(offset=offset, timestamp=1, key=b"k", value=b"v", headers=())


class Consumer:
    """As much of a consumer as the reader asks for."""

    def __init__(self, *answers: Callable[[], Awaitable[Fetched]]) -> None:
        self._answers = list(answers)
        self.waits_ms: list[int] = []
        self._fetcher = SimpleNamespace(_fetch_min_bytes=0, _fetch_max_wait_ms=0)

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Fetched:
        assert max_records >= 1
        self.waits_ms.append(timeout_ms)
        return await self._answers.pop(0)()


def answer(*offsets: int) -> Callable[[], Awaitable[Fetched]]:
    async def now() -> Fetched:
        return {PLACE: [record(one) for one in offsets]} if offsets else {}

    return now


async def never() -> Fetched:
    await asyncio.Event().wait()
    raise AssertionError


def reader_of(consumer: Consumer) -> Reader:
    reader = Reader(bootstrap="", group="", topic_prefix="", topics=("plans",), session_timeout_ms=10_000)
    reader._consumer = consumer
    return reader


async def test_a_fetch_waits_long_for_the_first_record_and_shortly_for_more() -> None:
    consumer = Consumer(answer(1), answer(2), answer())

    found = await reader_of(consumer).fetch(records_max=10, wait_ms=50)

    assert [one.place.offset for one in found] == [1, 2]
    assert consumer.waits_ms[0] == 1_000
    assert max(consumer.waits_ms[1:]) <= 50


async def test_a_fetch_returns_when_there_are_as_many_as_are_wanted() -> None:
    consumer = Consumer(answer(1, 2), answer(3), never)

    found = await reader_of(consumer).fetch(records_max=3, wait_ms=60_000)

    assert len(found) == 3


async def test_a_fetch_that_nothing_comes_to_returns_with_nothing() -> None:
    assert await reader_of(Consumer(answer())).fetch(records_max=10, wait_ms=50) == []


async def test_whoever_stirs_a_reader_ends_its_wait() -> None:
    reader = reader_of(Consumer(never))

    fetching = asyncio.create_task(reader.fetch(records_max=10, wait_ms=50))
    await asyncio.sleep(0)
    reader.stir()

    async with asyncio.timeout(5):
        assert await fetching == []


async def test_partitions_that_come_or_go_end_the_wait_for_a_first_record() -> None:
    reader = reader_of(Consumer(never))

    fetching = asyncio.create_task(reader.fetch(records_max=10, wait_ms=50))
    await asyncio.sleep(0)
    reader.relocate()

    async with asyncio.timeout(5):
        assert await fetching == []
    assert reader.moved


async def test_kafka_is_told_how_long_to_wait_by_what_came() -> None:
    consumer = Consumer(answer(), answer(1), answer())
    reader = reader_of(consumer)
    reader._pacing = Pacing(-2 * WINDOW_S)

    await reader.fetch(records_max=10, wait_ms=50)
    quiet = consumer._fetcher._fetch_max_wait_ms
    await reader.fetch(records_max=1, wait_ms=50)

    assert (quiet, consumer._fetcher._fetch_max_wait_ms) == (QUIET.wait_ms, LITTLE.wait_ms)
