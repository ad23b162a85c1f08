"""The more comes, the longer the sink's fetches wait; when nothing comes, the first record ends the wait."""

from sinks.pace import LITTLE, MUCH, MUCH_PER_S, QUIET, WINDOW_S, Pacing


def test_a_sink_that_starts_expects_a_little() -> None:
    assert Pacing(100.0).after(0, 100.5) == LITTLE


def test_when_nothing_comes_the_first_record_is_waited_for() -> None:
    pacing = Pacing(100.0)

    assert pacing.after(0, 100.0 + WINDOW_S + 0.1) == QUIET
    assert QUIET.min_bytes == 1


def test_the_first_record_after_a_quiet_time_ends_it() -> None:
    pacing = Pacing(0.0)
    pacing.after(0, 60.0)

    assert pacing.after(1, 60.1) == LITTLE


def test_fetches_wait_for_more_while_much_comes() -> None:
    pacing = Pacing(0.0)

    paces = [pacing.after(MUCH_PER_S // 4, second / 4) for second in range(1, 13)]

    assert paces[0] == LITTLE
    assert paces[-1] == MUCH


def test_after_much_comes_little_again() -> None:
    pacing = Pacing(0.0)
    pacing.after(100 * MUCH_PER_S, 1.0)

    assert pacing.after(1, 1.0 + WINDOW_S + 0.1) == LITTLE


def test_postgres_lags_by_less_than_a_second_whatever_comes() -> None:
    # What was written just after a fetch began waits for all of it, and then to be written.
    assert max(pace.wait_ms for pace in (LITTLE, MUCH)) <= 750
