"""What a sink tells Prometheus."""

from typing import Final

from prometheus_client import CollectorRegistry

from sinks.census import CENSUS_METRICS
from sinks.described import Described
from sinks.work_metrics import WORK_METRICS, WorkMetrics

LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


_OWN: Final = (
    Described(
        name="cartrita_sink_events_total",
        kind="counter",
        labels=("topic", "outcome"),
        text="Records taken in: applied, repeated (logged before), not_applied (logged only) or put_aside.",
    ),
    Described(
        name="cartrita_sink_rows_total",
        kind="counter",
        labels=("table",),
        text="Rows inserted or updated.",
    ),
    Described(
        name="cartrita_sink_batch_records",
        kind="histogram",
        labels=(),
        text="Records that shared one transaction.",
    ),
    Described(
        name="cartrita_sink_batch_seconds",
        kind="histogram",
        labels=(),
        text="How long one transaction took.",
    ),
    Described(
        name="cartrita_sink_latency_seconds",
        kind="histogram",
        labels=(),
        text="From when a record was written to Kafka until it is in Postgres; the oldest of each batch.",
    ),
    Described(
        name="cartrita_sink_lag_records",
        kind="gauge",
        labels=("topic", "partition"),
        text="Records in Kafka that are not in Postgres.",
    ),
    Described(
        name="cartrita_sink_dead_letters_total",
        kind="counter",
        labels=("topic", "code"),
        text="Records put aside.",
    ),
    Described(
        name="cartrita_sink_retries_total",
        kind="counter",
        labels=("reason",),
        text="Tries that failed and are made again: postgres, kafka, registry or offsets_moved.",
    ),
    Described(
        name="cartrita_sink_sequence_conflicts_total",
        kind="counter",
        labels=(),
        text="Numbers of a session that two events have: two owners decided for it at once. Alarm on any.",
    ),
)
METRICS: Final = (*_OWN, *WORK_METRICS, *CENSUS_METRICS)


class SinkMetrics:
    """The metrics of one sink, in the registry that its process serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register every metric."""
        named = {one.name.removeprefix("cartrita_sink_"): one for one in _OWN}
        self.events = named["events_total"].counter(registry)
        self.rows = named["rows_total"].counter(registry)
        self.batch_records = named["batch_records"].histogram(registry, _BATCH)
        self.batch_seconds = named["batch_seconds"].histogram(registry, LATENCY_S)
        self.latency_seconds = named["latency_seconds"].histogram(registry, LATENCY_S)
        self.lag_records = named["lag_records"].gauge(registry)
        self.dead_letters = named["dead_letters_total"].counter(registry)
        self.retries = named["retries_total"].counter(registry)
        self.sequence_conflicts = named["sequence_conflicts_total"].counter(registry)
        self.work = WorkMetrics(registry)
