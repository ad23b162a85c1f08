"""Departures: what is kept of keys that left, through any number of records and restarts."""

import pytest

from streams.records.delivery import Delivery
from streams.records.framing import RecordUnreadable
from streams.stateful.departures import Departures
from streams.stateful.marks import MARKS_MAX, home_of, is_marks
from tests.streams.twin import session_id
from topics.routing import partition_of

TOPIC = "session.inputs"


def key(number: int) -> bytes:
    return session_id(number).encode()


def delivery(offset: int, *, partition: int = 0) -> Delivery:
    return Delivery(
        topic=TOPIC,
        partition=partition,
        offset=offset,
        key=None,
        value=None,
        headers=(),
        timestamp_ms=0,
    )


def leave(departures: Departures, table: dict[bytes, bytes], numbers: range, partition: int = 0) -> None:
    """Let keys leave, each with its number as its last offset."""
    entries = departures.leave([(key(number), partition, {TOPIC: number}) for number in numbers])
    for entry in entries:
        assert entry.value is not None
        assert entry.partition == partition
        table[entry.key] = entry.value


def restarted(table: dict[bytes, bytes]) -> Departures:
    departures = Departures()
    departures.begin(table, {})
    return departures


def test_whoever_left_is_known_after_a_restart_and_nobody_else_is() -> None:
    table: dict[bytes, bytes] = {}
    leave(Departures(), table, range(100))

    departures = restarted(table)

    assert all(departures.has_left(key(number)) for number in range(100))
    assert not any(departures.has_left(key(number)) for number in range(100, 1_000))
    assert all(is_marks(one) for one in table)


def test_floors_are_by_partition_and_never_sink() -> None:
    table: dict[bytes, bytes] = {}
    departures = Departures()
    leave(departures, table, range(50, 51))
    leave(departures, table, range(7, 8))
    leave(departures, table, range(3, 4), partition=1)

    departures = restarted(table)

    assert departures.is_past(delivery(50))
    assert not departures.is_past(delivery(51))
    assert departures.is_past(delivery(3, partition=1))
    assert not departures.is_past(delivery(4, partition=1))
    assert not departures.is_past(delivery(0, partition=2))


def test_many_that_left_fill_record_after_record_of_bounded_size() -> None:
    table: dict[bytes, bytes] = {}
    count = 5 * MARKS_MAX
    departures = Departures()
    for begin in range(0, count, 700):
        leave(departures, table, range(begin, min(begin + 700, count)))
        if begin % 2_100 == 0:
            departures = restarted(table)

    departures = restarted(table)

    assert len(table) == 5
    assert max(len(value) for value in table.values()) < 9 * MARKS_MAX
    assert all(departures.has_left(key(number)) for number in range(count))
    assert not departures.has_left(key(count))


def test_a_key_that_leaves_again_after_a_crash_is_noted_once() -> None:
    table: dict[bytes, bytes] = {}
    leave(Departures(), table, range(10))
    before = dict(table)

    leave(restarted(table), table, range(10))

    assert table == before


def test_a_key_may_leave_once_everything_before_its_last_input_is_applied() -> None:
    departures = Departures()
    departures.begin({}, {(TOPIC, 0): 5})

    assert departures.may_leave({TOPIC: 4}, 0)
    assert not departures.may_leave({TOPIC: 5}, 0)
    assert not departures.may_leave({TOPIC: 4}, 1)
    departures.applied([delivery(5), delivery(6)])
    assert departures.may_leave({TOPIC: 6}, 0)


def test_records_of_who_left_stand_in_the_partition_that_they_are_about() -> None:
    departures = Departures()
    entries = departures.leave([(key(number), number % 4, {TOPIC: number}) for number in range(8)])

    assert {entry.partition for entry in entries} == {0, 1, 2, 3}
    assert all(home_of(entry.key, 4) == entry.partition for entry in entries)
    assert home_of(key(0), 4) == partition_of(key(0), 4)


@pytest.mark.parametrize("data", [b"", b"\x02\x00\x00\x00\x00\x00\x00", b"\x01\x00\x01\x00\x00\x00\x01\x00"])
def test_a_record_that_cannot_be_read_is_refused(data: bytes) -> None:
    with pytest.raises(RecordUnreadable):
        restarted({b"\x00departed/0/0": data})
