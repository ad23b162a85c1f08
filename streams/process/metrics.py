"""What every process tells Prometheus; the documentation is generated from these declarations."""

import contextlib
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from schemas.events.budgets import ReservationExceeded
from sinks.described import Described
from sinks.metrics import LATENCY_S

_BATCH: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Metrics:
    """All metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Register every metric."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # untyped in the library
        self.registry = CollectorRegistry()
        self.described: list[Described] = []
        self._describe_gateway()
        self._describe_servers()
        self.inputs = self._counter(
            "inputs", ("shell", "topic", "outcome"), "Records taken in, by what became of them."
        )
        self.outputs = self._counter("outputs", ("shell", "topic"), "Records published.")
        self.hop_latency_seconds = self._histogram(
            "hop_latency_seconds",
            ("shell",),
            "From the time an input was written to Kafka until all that it caused is published.",
            LATENCY_S,
        )
        self.batch_inputs = self._histogram(
            "batch_inputs", ("shell",), "Inputs that shared one write and one wait.", _BATCH
        )
        self.lag_records = self._gauge(
            "lag_records", ("shell", "topic", "partition"), "Records in Kafka that are not acknowledged."
        )
        self.table_keys = self._gauge("table_keys", ("shell",), "Keys in the table of this process.")
        self.outbox_records = self._gauge(
            "outbox_records", ("shell",), "Caused events that are stored and not yet known to be published."
        )
        self.quarantined_keys = self._gauge(
            "quarantined_keys", ("shell",), "Keys put aside because an input of theirs cannot be applied."
        )
        self.stopped_partitions = self._gauge(
            "stopped_partitions",
            ("shell",),
            "Partitions of which nothing is taken in: their table is damaged.",
        )
        self.dead_letters = self._counter("dead_letters", ("shell", "code"), "Records put aside.")
        self.timers_fired = self._counter("timers_fired", ("shell", "kind"), "Timers that came due.")
        self.recovery_seconds = self._gauge(
            "recovery_seconds", ("shell",), "How long the newest recovery of the table took."
        )
        self.recovered_bytes = self._gauge(
            "recovered_bytes", ("shell",), "What the newest recovery read of the table's changelog."
        )
        self.rebalances = self._counter("rebalances", ("shell",), "Assignments of partitions.")
        self.calls_in_flight = self._gauge("calls_in_flight", ("shell",), "Calls that run now.")
        self.calls_waiting = self._gauge("calls_waiting", ("shell",), "Accepted calls that wait for a place.")
        self.call_seconds = self._histogram(
            "call_seconds", ("shell", "name"), "How long calls of a model or tool took.", LATENCY_S
        )
        self.calls = self._counter(
            "calls",
            ("shell", "name", "outcome"),
            "Calls of a model or tool that ended: ok or a failure's kind.",
        )
        self.model_tokens = self._counter("model_tokens", ("model", "direction"), "Tokens used, in and out.")
        self.model_cost_dollars = self._counter("model_cost_dollars", ("model",), "Cost by model.")
        self.budget_tokens_reserved = self._counter(
            "budget_tokens_reserved", ("shell",), "Tokens reserved for calls that were taken in."
        )
        self.reservations_exceeded = self._counter(
            "reservations_exceeded", ("shell",), "Calls that used more than was set aside for them."
        )
        self.deltas_lost = self._counter(
            "deltas_lost",
            ("shell",),
            "Pieces of text that could not be published; they are no part of the truth.",
        )
        self.reader_fetches = self._counter(
            "reader_fetches", ("outcome",), "Texts resolved by reference: cached, fetched or missing."
        )

    def _describe_gateway(self) -> None:
        self.gateway_requests = self._counter(
            "gateway_requests", ("route", "status"), "Requests that the gateway answered, by HTTP status."
        )
        self.gateway_request_seconds = self._histogram(
            "gateway_request_seconds", ("route",), "Until the first byte of a request's answer.", LATENCY_S
        )
        self.gateway_followers = self._gauge(
            "gateway_followers", (), "WebSockets and streams that follow a session at this gateway."
        )

    def _describe_servers(self) -> None:
        self.mcp_tools_withheld = self._gauge(
            "mcp_tools_withheld",
            ("server", "tenant"),
            "Tools of an MCP server that differ from what a person accepted, and are not called.",
        )

    def _counter(self, name: str, labels: tuple[str, ...], text: str) -> Counter:
        self._describe(name + "_total", "counter", labels, text)
        return Counter(_full(name), text, labels, registry=self.registry)

    def _gauge(self, name: str, labels: tuple[str, ...], text: str) -> Gauge:
        self._describe(name, "gauge", labels, text)
        return Gauge(_full(name), text, labels, registry=self.registry)

    def _histogram(
        self, name: str, labels: tuple[str, ...], text: str, buckets: tuple[float, ...]
    ) -> Histogram:
        self._describe(name, "histogram", labels, text)
        return Histogram(_full(name), text, labels, registry=self.registry, buckets=buckets)

    def _describe(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> None:
        self.described.append(Described(name=_full(name), kind=kind, labels=labels, text=text))


class ShellMetrics:
    """The metrics of one shell, with its name filled in and children kept, as labels cost time to look up."""

    def __init__(self, metrics: Metrics, shell: str) -> None:
        """Bind the metrics to a shell."""
        self.all = metrics
        self._shell = shell
        self._children: dict[tuple[str, ...], MetricWrapperBase] = {}
        self.hop_latency_seconds = metrics.hop_latency_seconds.labels(shell)
        self.batch_inputs = metrics.batch_inputs.labels(shell)
        self.table_keys = metrics.table_keys.labels(shell)
        self.outbox_records = metrics.outbox_records.labels(shell)
        self.quarantined_keys = metrics.quarantined_keys.labels(shell)
        self.stopped_partitions = metrics.stopped_partitions.labels(shell)
        self.recovery_seconds = metrics.recovery_seconds.labels(shell)
        self.recovered_bytes = metrics.recovered_bytes.labels(shell)
        self.rebalances = metrics.rebalances.labels(shell)
        self.calls_in_flight = metrics.calls_in_flight.labels(shell)
        self.calls_waiting = metrics.calls_waiting.labels(shell)
        self.deltas_lost = metrics.deltas_lost.labels(shell)
        self.budget_tokens_reserved = metrics.budget_tokens_reserved.labels(shell)

    def input(self, topic: str, outcome: str, count: int = 1) -> None:
        """Count records taken in: applied, replayed, repeated, rejected, parked, unknown_fact or dropped."""
        self._child("inputs", self.all.inputs.labels, topic, outcome).inc(count)

    def output(self, topic: str, count: int = 1, *, fact: type | None = None) -> None:
        """Count records published; what their fact is matters where somebody is to be told of it."""
        self._child("outputs", self.all.outputs.labels, topic).inc(count)
        if fact is ReservationExceeded:
            self.all.reservations_exceeded.labels(self._shell).inc(count)

    def dead_letter(self, code: str) -> None:
        """Count one record put aside."""
        self._child("dead_letters", self.all.dead_letters.labels, code).inc()

    def timer_fired(self, kind: str) -> None:
        """Count one timer that came due."""
        self._child("timers_fired", self.all.timers_fired.labels, kind).inc()

    def call_ended(self, name: str, outcome: str, seconds: float) -> None:
        """Count one call that ended."""
        self._child("calls", self.all.calls.labels, name, outcome).inc()
        self.all.call_seconds.labels(self._shell, name).observe(seconds)

    def lag(self, topic: str, partition: int, records: int) -> None:
        """Set how far behind a partition is."""
        self.all.lag_records.labels(self._shell, topic, str(partition)).set(records)

    def forget_lag(self, topic: str, partition: int) -> None:
        """Drop the lag of a partition that was taken away: another process tells it now."""
        with contextlib.suppress(KeyError):  # it was never told
            self.all.lag_records.remove(self._shell, topic, str(partition))

    def _child(self, metric: str, labels: Callable[..., Counter], *values: str) -> Counter:
        key = (metric, *values)
        child = self._children.get(key)
        if not isinstance(child, Counter):
            child = labels(self._shell, *values)
            self._children[key] = child
        return child


def table() -> str:
    """Return the table of docs/metrics.md."""
    lines = ["| metric | kind | labels | what it tells |", "|---|---|---|---|"]
    lines += [
        f"| `{one.name}` | {one.kind} | {', '.join(one.labels) or '–'} | {one.text} |"
        for one in Metrics().described
    ]
    return "\n".join(lines) + "\n"


def _full(name: str) -> str:
    return f"cartrita_{name}"
