"""Metrics: what a shell tells while it owns a partition, and no longer."""

from streams.process.metrics import Metrics, ShellMetrics


def test_the_lag_of_a_partition_that_was_taken_away_is_told_no_more() -> None:
    metrics = Metrics()
    shell = ShellMetrics(metrics, "session")
    shell.lag("session.inputs", 0, 7)
    shell.lag("session.inputs", 1, 9)

    shell.forget_lag("session.inputs", 0)
    shell.forget_lag("session.inputs", 5)

    told = {
        sample.labels["partition"]: sample.value
        for metric in metrics.lag_records.collect()
        for sample in metric.samples
    }
    assert told == {"1": 9}
