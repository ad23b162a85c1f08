"""What is fetched reaches a shell without holes, whatever a seek did in between."""

from types import SimpleNamespace
from typing import cast

from faust.types import TP

from streams.engine.feeding import BatchFeeding

PLACE = TP("model.results", 2)


class Consumer(SimpleNamespace):
    """As much of a consumer as feeding asks for."""

    def __init__(self, read_offset: int | None, earliest: int = 0) -> None:
        super().__init__(
            app=SimpleNamespace(consumer_generation_id=1),
            flow_active=True,
            _read_offset={PLACE: read_offset},
            _buffered_partitions=set(),
            _holes={},
            _begins_at=lambda tp, record: BatchFeeding._begins_at(cast("BatchFeeding", self), tp, record),
        )
        self.earliest = earliest
        self.fed: list[int] = []
        self.sought: list[int] = []

    def _is_changelog_tp(self, tp: TP) -> bool:
        return False

    async def earliest_offsets(self, *partitions: TP) -> dict[TP, int]:
        return dict.fromkeys(partitions, self.earliest)

    async def seek_wait(self, partitions: dict[TP, int]) -> None:
        self.sought += partitions.values()

    async def _feed_stream(self, tp: TP, records: list[SimpleNamespace]) -> None:
        self.fed += [record.offset for record in records]


async def fetched(consumer: Consumer, *offsets: int) -> None:
    records = {PLACE: [SimpleNamespace(offset=offset) for offset in offsets]}
    await BatchFeeding._feed(cast("BatchFeeding", consumer), records, {PLACE})


async def test_records_that_follow_each_other_are_fed() -> None:
    consumer = Consumer(read_offset=53)

    await fetched(consumer, 53, 54)
    await fetched(consumer, 55)

    assert consumer.fed == [53, 54, 55]
    assert not consumer.sought


async def test_records_fetched_before_a_seek_are_not_fed_in_the_place_of_what_it_went_back_for() -> None:
    consumer = Consumer(read_offset=53)

    await fetched(consumer, 55, 56)
    await fetched(consumer, 53, 54, 55, 56)

    assert consumer.sought == [53]
    assert consumer.fed == [53, 54, 55, 56]


async def test_a_hole_that_kafka_shows_again_is_passed() -> None:
    consumer = Consumer(read_offset=53)

    for _ in range(2):
        await fetched(consumer, 55, 57)
    await fetched(consumer, 58)

    assert consumer.sought == [53]
    assert consumer.fed == [55, 57, 58]


async def test_each_hole_has_to_be_shown_again_before_it_is_passed() -> None:
    consumer = Consumer(read_offset=53)

    await fetched(consumer, 55)
    await fetched(consumer, 54)
    await fetched(consumer, 54)
    await fetched(consumer, 56)
    await fetched(consumer, 56)

    assert consumer.sought == [53, 53, 55]
    assert consumer.fed == [54, 56]


async def test_what_was_fetched_before_a_seek_is_not_fed_although_the_same_was_skipped_elsewhere() -> None:
    consumer = Consumer(read_offset=53)

    await fetched(consumer, 55)
    consumer._read_offset[PLACE] = 50
    await fetched(consumer, 55)
    await fetched(consumer, *range(50, 56))

    assert consumer.fed == [*range(50, 56)]


async def test_records_that_were_fed_are_not_fed_again_without_a_seek() -> None:
    consumer = Consumer(read_offset=53)

    await fetched(consumer, 53, 54)
    await fetched(consumer, 53, 54, 55)

    assert consumer.fed == [53, 54, 55]


async def test_what_retention_took_away_is_no_hole() -> None:
    consumer = Consumer(read_offset=53, earliest=60)

    await fetched(consumer, 60, 61)

    assert consumer.fed == [60, 61]
    assert not consumer.sought


async def test_without_a_committed_offset_feeding_begins_where_the_fetch_does() -> None:
    consumer = Consumer(read_offset=None)

    await fetched(consumer, 7)

    assert consumer.fed == [7]
