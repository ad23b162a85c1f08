"""Holds PromQL against the metrics that the processes declare."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import promql_parser
from promql_parser import AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, VectorSelector

from sinks.metrics import METRICS
from streams.process.metrics import Metrics

TARGET_LABELS: Final = frozenset({"job", "instance"})
"""What Prometheus adds to every series that it scrapes."""
_RATES: Final = frozenset({"rate", "increase"})
_INTERVAL: Final = "5m"
"""Stands for Grafana's variable of the same purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One name under which samples are found."""

    kind: str
    labels: frozenset[str]


def metrics() -> set[str]:
    """Return the names of all metrics that workers and sinks declare."""
    return {one.name for one in Metrics().described} | {one.name for one in METRICS}


def declared() -> dict[str, Series]:
    """Return every series that workers and sinks serve, and `up`, which Prometheus makes itself."""
    found = {"up": Series(kind="gauge", labels=TARGET_LABELS)}
    for shell in Metrics().described:
        found |= _series_of(shell.name, shell.kind, shell.labels)
    for sink in METRICS:
        found |= _series_of(sink.name, sink.kind, sink.labels)
    return found


def faults(expression: str, known: Mapping[str, Series]) -> list[str]:
    """Tell what is wrong with an expression: syntax, names, labels, counters read as if they were gauges."""
    found: list[str] = []
    try:
        _each_selector(expression, lambda node, above: found.extend(_faults_of(node, above, known)))
    except ValueError as error:
        return [f"no PromQL: {error}"]
    return found


def names(expression: str) -> set[str]:
    """Return the names of the series that an expression reads."""
    found: set[str] = set()
    _each_selector(expression, lambda node, _above: found.add(node.name or ""))
    return found


def _series_of(name: str, kind: str, own_labels: Iterable[str]) -> dict[str, Series]:
    labels = TARGET_LABELS | set(own_labels)
    if kind != "histogram":
        return {name: Series(kind=kind, labels=labels)}
    return {
        f"{name}_bucket": Series(kind="counter", labels=labels | {"le"}),
        f"{name}_sum": Series(kind="counter", labels=labels),
        f"{name}_count": Series(kind="counter", labels=labels),
    }


def _each_selector(expression: str, visit: Callable[[VectorSelector, Sequence[Expr]], None]) -> None:
    """Call `visit` with each selector and the expressions that it stands in, outermost first."""
    above: list[Expr] = []

    def enter(node: Expr) -> bool:
        if isinstance(node, VectorSelector):
            visit(node, tuple(above))
        above.append(node)
        return True

    def leave(_node: Expr) -> bool:
        above.pop()
        return True

    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", _INTERVAL)), enter, leave)


def _faults_of(node: VectorSelector, above: Sequence[Expr], known: Mapping[str, Series]) -> list[str]:
    name = node.name or ""
    if name not in known:
        return [f"nobody serves {name}"]
    series = known[name]
    named = {matcher.name for matcher in node.matchers.matchers}
    for outer in above:
        if isinstance(outer, AggregateExpr) and outer.modifier is not None:
            named |= set(outer.modifier.labels)
    found = [f"{name} has no label {label}" for label in sorted(named - series.labels)]
    ranged = bool(above) and isinstance(above[-1], MatrixSelector)
    rated = any(isinstance(outer, Call) and outer.func.name in _RATES for outer in above)
    # Asked for its being there, not for its value.
    compared = any(isinstance(outer, BinaryExpr) and str(outer.op) == "unless" for outer in above)
    if series.kind == "counter" and not ranged and not compared:
        found.append(f"{name} is a counter and is read like a gauge")
    if series.kind == "gauge" and rated:
        found.append(f"{name} is a gauge and has no rate")
    return found
