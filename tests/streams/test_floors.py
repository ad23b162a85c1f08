"""What a shell without state has taken in it takes in once, whatever becomes of its group's offsets."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from schemas.configuration import Limits, Policy
from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from streams.records.delivery import REDRIVEN_HEADER, Delivery, OwnershipLost
from streams.records.floors import RANGES_MAX, Floors, FloorsFound
from streams.records.framing import RecordNewer, framed
from streams.shells.ingress import IngressShell
from tests.streams.twin import CODEC, Crash, Kafka, TwinLog, event, metrics
from topics.catalog import DEAD_LETTERS, SESSION_INPUTS, USER_INPUTS

TOPIC = USER_INPUTS.name
PLACE = (TOPIC, 0)


def delivery(offset: int, partition: int = 0) -> Delivery:
    return Delivery(
        topic=TOPIC, partition=partition, offset=offset, key=None, value=b"", headers=(), timestamp_ms=0
    )


def begun(
    records: Mapping[bytes, bytes], start: int, *, end: int = 1_000, topic_id: str = "a", partition: int = 0
) -> Floors:
    floors = Floors("ingress")
    found = FloorsFound(records=records, topic_ids={TOPIC: topic_id})
    floors.begin(found, {(TOPIC, partition): end}, {(TOPIC, partition): start})
    return floors


def take(records: dict[bytes, bytes], start: int, *offsets: int, topic_id: str = "a") -> None:
    """Let one process begin at `start` and take the offsets, one after the other."""
    floors = begun(records, start, topic_id=topic_id)
    for offset in offsets:
        for entry in floors.take([delivery(offset)]):
            assert entry.value is not None
            records[entry.key] = entry.value


def taken(records: dict[bytes, bytes], most: int = 30, topic_id: str = "a") -> list[int]:
    floors = begun(records, 0, topic_id=topic_id)
    return [offset for offset in range(most) if floors.is_taken(delivery(offset))]


def test_what_was_taken_is_known_after_a_restart_and_what_is_new_is_not() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0, 1, 2)
    take(records, 3, 3, 4)

    assert taken(records) == [0, 1, 2, 3, 4]
    assert len(records) == 1


def test_holes_that_kafka_itself_has_are_passed() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 1, 5, 6)
    take(records, 9, 12)

    assert taken(records) == [*range(7), *range(9, 13)]
    take(records, 7, 8, 11)
    assert taken(records) == list(range(13))


def test_what_a_group_skipped_is_taken_when_it_is_set_back() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0, 1)
    take(records, 10, 10, 11)

    assert taken(records) == [0, 1, 10, 11]
    take(records, 2, *range(2, 12))
    assert taken(records) == list(range(12))


def test_many_gaps_cost_bounded_room_and_the_lowest_is_forgotten() -> None:
    records: dict[bytes, bytes] = {}
    for number in range(2 * RANGES_MAX):
        take(records, 3 * number, 3 * number)

    found = taken(records, 6 * RANGES_MAX)
    assert found == [3 * number for number in range(RANGES_MAX, 2 * RANGES_MAX)]
    (value,) = records.values()
    assert len(value) < 20 * RANGES_MAX


def test_of_a_topic_that_was_made_again_nothing_was_taken() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0, 1, 2)

    assert taken(records, topic_id="b") == []
    take(records, 0, 0, topic_id="b")
    assert taken(records, topic_id="b") == [0]


def test_what_lies_beyond_the_end_of_a_log_that_lost_records_was_not_taken() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, *range(10))
    floors = begun(records, 4, end=4)

    assert floors.is_taken(delivery(3))
    assert not floors.is_taken(delivery(4))


def test_partitions_and_shells_are_kept_apart() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0, 1)

    assert not begun(records, 0, partition=1).is_taken(delivery(0, partition=1))
    other = Floors("fork")
    other.begin(FloorsFound(records=records, topic_ids={TOPIC: "a"}), {PLACE: 9}, {PLACE: 0})
    assert not other.is_taken(delivery(0))


@pytest.mark.parametrize("data", [b"", b"garbage", framed(1, b"\x00" * 15)])
def test_a_floor_that_cannot_be_read_stops_nothing(data: bytes) -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0)
    (key,) = records

    assert taken({key: data}) == []


def test_a_floor_of_a_newer_program_stops_this_one() -> None:
    records: dict[bytes, bytes] = {}
    take(records, 0, 0)
    (key,) = records

    with pytest.raises(RecordNewer):
        taken({key: framed(2, b"")})


def shell_on(log: TwinLog) -> IngressShell:
    return IngressShell(
        codec=CODEC,
        log=log,
        floors=log.floors,
        tokenizer=len,
        limits=Limits(),
        policy=Policy(rules=()),
        topic_prefix="",
        metrics=metrics("ingress"),
        now_ms=lambda: 5_000,
    )


async def run(kafka: Kafka, *, batch: int = 3, crash_at: int | None = None) -> int:
    log = TwinLog(kafka, crash_at)
    try:
        shell = shell_on(log)
        await shell.own(kafka.ends(), kafka.committed)
        while waiting := kafka.waiting():
            await shell.process(waiting[:batch])
    except Crash:
        pass
    return log.steps


def sent(kafka: Kafka, count: int, first: int = 0) -> list[Envelope]:
    events = [
        event(MessageReceived(text=f"say {number}"), session=number % 3, number=number)
        for number in range(first, first + count)
    ]
    for one in events:
        kafka.send(one, USER_INPUTS)
    return events


async def test_a_reset_of_the_group_takes_nothing_in_again() -> None:
    kafka = Kafka()
    sent(kafka, 10)
    # Neither is a record that was refused put aside a second time, nor one whose id follows from its place.
    kafka.send(event(MessageReceived(text=" ")), USER_INPUTS)
    kafka.send(Envelope(body=MessageReceived(text="no id")), USER_INPUTS)
    await run(kafka)
    before = [*kafka.published]

    for _ in range(2):
        kafka.committed.clear()
        await run(kafka)

    assert kafka.published == before
    assert len(kafka.events(SESSION_INPUTS)) == 11
    assert len(kafka.events(DEAD_LETTERS)) == 1
    assert kafka.waiting() == []
    new = sent(kafka, 2, first=10)
    await run(kafka)
    assert [one.event_id for one in kafka.events(SESSION_INPUTS)[11:]] == [one.event_id for one in new]


async def test_a_redriven_record_is_taken_in() -> None:
    kafka = Kafka()
    (one,) = sent(kafka, 1)
    await run(kafka)

    kafka.send(one, USER_INPUTS, headers=((REDRIVEN_HEADER, f"{TOPIC}/0/0".encode()),))
    await run(kafka)

    assert len(kafka.events(SESSION_INPUTS)) == 2


async def test_a_topic_that_was_made_again_is_taken_in() -> None:
    kafka = Kafka()
    sent(kafka, 5)
    await run(kafka)

    kafka.topic_ids[TOPIC] = "2"
    kafka.sources.clear()
    kafka.committed.clear()
    sent(kafka, 3, first=5)
    await run(kafka)

    assert len(kafka.events(SESSION_INPUTS)) == 8


async def test_no_crash_loses_an_input_and_a_repeat_has_the_same_id() -> None:
    kafka = Kafka()
    events = sent(kafka, 8)
    steps = await run(kafka)

    for crash_at in range(steps):
        kafka = Kafka()
        sent(kafka, 8)
        await run(kafka, crash_at=crash_at)
        # As after a reset, or when the group's offsets have expired.
        kafka.committed.clear()
        await run(kafka)
        counts = Counter(one.event_id for one in kafka.events(SESSION_INPUTS))
        assert counts.keys() == {one.event_id for one in events}
        # At most the batch that was under way is published again.
        assert sum(counts.values()) <= len(events) + 3


async def test_a_batch_whose_partitions_are_revoked_writes_no_floor() -> None:
    kafka = Kafka()
    sent(kafka, 3)
    log = TwinLog(kafka)
    shell = shell_on(log)
    await shell.own(kafka.ends(), kafka.committed)
    log.on_step = shell.disown

    with pytest.raises(OwnershipLost):
        await shell.process(kafka.waiting())

    assert kafka.changelog == []
    kafka.published.clear()
    await run(kafka)
    assert len(kafka.events(SESSION_INPUTS)) == 3


async def test_two_that_differ_in_their_times_alone_are_one_input() -> None:
    kafka = Kafka()
    (one,) = sent(kafka, 1)
    again = kafka.send(one, USER_INPUTS)
    kafka.sources[again.topic, again.partition][-1] = again._replace(timestamp_ms=9_000)

    await run(kafka)

    first, second = kafka.events(SESSION_INPUTS)
    assert replace(second, occurred_at_ms=first.occurred_at_ms) == first
