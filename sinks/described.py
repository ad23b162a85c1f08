"""How a metric is described, for Prometheus and for the documentation."""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One metric as the documentation lists it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str

    def counter(self, registry: CollectorRegistry) -> Counter:
        """Register it as a counter."""
        return Counter(self.name.removesuffix("_total"), self.text, self.labels, registry=registry)

    def gauge(self, registry: CollectorRegistry) -> Gauge:
        """Register it as a gauge."""
        return Gauge(self.name, self.text, self.labels, registry=registry)

    def histogram(self, registry: CollectorRegistry, buckets: Sequence[float]) -> Histogram:
        """Register it as a histogram with these bounds."""
        return Histogram(self.name, self.text, self.labels, registry=registry, buckets=buckets)
