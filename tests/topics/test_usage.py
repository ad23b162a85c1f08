"""How fast the log grows, by what it says of itself."""

import pytest

from topics.log_directories import LogDirectory
from topics.usage import DAY_MS, Kept, LogUsage, TopicUsage, days_left

NOW_MS = 1_800_000_000_000
HOUR_MS = DAY_MS // 24


def topic(
    name: str, kept: Kept = Kept.FOR_EVER, *, records: int = 100, lately: int | None = 20
) -> TopicUsage:
    return TopicUsage(
        name=name,
        kept=kept,
        partitions=2,
        bytes=50_000,
        bytes_of_replicas=150_000,
        records=records,
        records_lately=lately,
        oldest_ms=NOW_MS - 30 * DAY_MS,
        newest_ms=NOW_MS,
    )


def log(*topics: TopicUsage, since_ms: int = NOW_MS - 2 * DAY_MS) -> LogUsage:
    return LogUsage(topics=topics, directories=(), since_ms=since_ms, at_ms=NOW_MS)


def test_a_topic_grows_by_its_latest_records_at_the_size_that_its_records_have() -> None:
    usage = log(topic("plans"))

    # 20 records in two days, 1,500 bytes each in all three copies.
    assert usage.growth_of(usage.topics[0]) == 15_000
    assert usage.events_per_day == 10


def test_what_the_log_does_not_tell_is_unknown() -> None:
    compacted = topic("configuration", Kept.NEWEST, lately=None)
    passing = topic("session.deltas", Kept.HOURS)
    usage = log(topic("plans"), compacted, passing)

    assert usage.growth_of(compacted) is None
    assert usage.growth_of(passing) is None
    assert usage.growth == usage.growth_of(usage.topics[0])


def test_a_log_of_less_than_an_hour_says_nothing_of_a_day() -> None:
    young = log(topic("plans"), since_ms=NOW_MS - HOUR_MS + 1)
    older = log(topic("plans"), since_ms=NOW_MS - HOUR_MS)

    assert (young.growth, young.events_per_day) == (None, None)
    assert older.events_per_day == 480


def test_a_topic_without_records_does_not_grow() -> None:
    empty = TopicUsage(
        name="plans",
        kept=Kept.FOR_EVER,
        partitions=2,
        bytes=0,
        bytes_of_replicas=0,
        records=0,
        records_lately=0,
        oldest_ms=None,
        newest_ms=None,
    )

    assert log(empty).growth == 0


def test_a_disk_grows_by_its_share_of_each_topic_and_other_deployments_are_not_ours() -> None:
    usage = log(topic("plans"))
    replicas = {("mine.plans", 0): 20_000, ("mine.plans", 1): 30_000, ("yours.plans", 0): 999}
    one = LogDirectory(broker=1, path="/a", volume_bytes=10**6, free_bytes=10**5, replicas=replicas)

    assert usage.own_bytes_in(one, "mine.") == 50_000
    assert usage.growth_in(one, "mine.") == 5_000


@pytest.mark.parametrize(
    ("left_bytes", "growth", "days"),
    [(100, 10.0, 10.0), (100, None, None), (100, 0.0, None), (-1, None, 0.0)],
)
def test_days_are_told_only_where_they_follow(
    left_bytes: int, growth: float | None, days: float | None
) -> None:
    assert days_left(left_bytes, growth) == days
