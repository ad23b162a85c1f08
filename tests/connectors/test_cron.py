"""Due times of cron expressions, on the days on which clocks are set forward and back, too."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.calendar.cron import CronCalendar
from schemas.ports.calendar import CalendarInvalid

CALENDAR = CronCalendar()
BERLIN = "Europe/Berlin"
# Clocks were set forward on 2026-03-29 from 2:00 to 3:00, and are set back on 2026-10-25 from 3:00 to 2:00.


def ms(text: str) -> int:
    """Return a time with its offset in milliseconds since 1970."""
    return int(datetime.fromisoformat(text).timestamp()) * 1_000


def following(cron: str, zone: str, after: str, count: int) -> list[str]:
    """Return due times behind a moment as the zone's clocks show them."""
    at_ms, found = ms(after), []
    for _ in range(count):
        due_ms = CALENDAR.next_after_ms(cron, zone, at_ms)
        assert due_ms is not None
        found.append(datetime.fromtimestamp(due_ms / 1_000, ZoneInfo(zone)).isoformat(timespec="minutes"))
        at_ms = due_ms
    return found


def test_a_time_of_day_is_the_zones_in_winter_and_in_summer() -> None:
    assert following("30 7 * * MON-FRI", BERLIN, "2026-03-27T12:00+01:00", 2) == [
        "2026-03-30T07:30+02:00",
        "2026-03-31T07:30+02:00",
    ]


def test_a_time_that_does_not_exist_is_made_up_for_right_behind_the_gap_and_once() -> None:
    assert following("0,30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", 3) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_a_time_that_comes_twice_counts_the_first_time() -> None:
    assert following("30 2 * * *", BERLIN, "2026-10-24T12:00+02:00", 2) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]
    # Also for whoever asks between the two.
    assert following("30 2 * * *", BERLIN, "2026-10-25T02:10+01:00", 1) == ["2026-10-26T02:30+01:00"]


def test_what_is_due_all_the_time_goes_on_through_both() -> None:
    assert following("*/30 * * * *", BERLIN, "2026-03-29T01:00+01:00", 2) == [
        "2026-03-29T01:30+01:00",
        "2026-03-29T03:00+02:00",
    ]
    assert following("*/30 * * * *", BERLIN, "2026-10-25T02:00+02:00", 4) == [
        "2026-10-25T02:30+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T02:30+01:00",
        "2026-10-25T03:00+01:00",
    ]


def test_nothing_is_left_out_where_clocks_are_set_by_half_an_hour() -> None:
    assert following("0 */6 * * *", "Australia/Lord_Howe", "2025-10-04T23:00+10:30", 3) == [
        "2025-10-05T00:00+10:30",
        "2025-10-05T06:00+11:00",
        "2025-10-05T12:00+11:00",
    ]


@pytest.mark.parametrize("zone", ["UTC", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Kathmandu"])
def test_zones_of_other_offsets_are_read(zone: str) -> None:
    assert len(set(following("15 9 1 * *", zone, "2026-01-15T00:00+00:00", 12))) == 12


@pytest.mark.parametrize(
    ("cron", "zone", "reason"),
    [
        ("* * * *", "UTC", "5 fields"),
        ("0 0 0 * * *", "UTC", "has 6"),
        ("61 * * * *", "UTC", "Bad minute"),
        ("0 0 30 2 *", "UTC", "Bad day-of-month"),
        ("@daily", "UTC", "5 fields"),
        ("0 0 * * *", "Mars/Olympus", "there is no zone"),
        ("0 0 * * *", "../../etc/passwd", "there is no zone"),
        ("0 0 * * *", "", "there is no zone"),
        ("0 0 * * \0", "UTC", "Bad day-of-week"),
    ],
)
def test_what_cannot_be_read_is_said(cron: str, zone: str, reason: str) -> None:
    with pytest.raises(CalendarInvalid, match=reason):
        CALENDAR.check(cron, zone)


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "*/7", "*", "5,35"]),
    st.sampled_from(["2", "*", "1-3", "*/6", "0"]),
    st.sampled_from(["*", "1", "L", "29"]),
    st.sampled_from(["*", "3", "10,11"]),
    st.sampled_from(["*", "SUN", "MON-FRI", "7#5"]),
).map(" ".join)
MOMENTS = st.integers(ms("2025-01-01T00:00+00:00"), ms("2027-12-31T00:00+00:00"))


@settings(max_examples=150)
@given(FIELDS, st.sampled_from([BERLIN, "UTC", "America/New_York", "Australia/Lord_Howe"]), MOMENTS)
def test_due_times_go_forward_and_back_alike(cron: str, zone: str, at_ms: int) -> None:
    times = [at_ms]
    for _ in range(4):
        due_ms = CALENDAR.next_after_ms(cron, zone, times[-1])
        if due_ms is None:
            break
        assert datetime.fromtimestamp(due_ms / 1_000, UTC).second == 0
        times.append(due_ms)

    assert times == sorted(set(times))
    for before, after in pairwise(times[1:]):
        assert CALENDAR.last_before_ms(cron, zone, after) == before
