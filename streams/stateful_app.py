"""Builds a shell with state: its app, its table, its log and the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from processors.decider import Decider
from streams.app import ShellApp
from streams.context import ShellContext
from streams.departures import home_of
from streams.faust_shell import FaustShell
from streams.kafka_log import KafkaLog
from streams.metrics import ShellMetrics
from streams.stateful_shell import StatefulShell
from streams.table import table_of
from topics.catalog import Topic

State = TypeVar("State")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatefulSpec:
    """What distinguishes one shell with state from another."""

    name: str
    table: str
    sources: Sequence[Topic]
    retention_ms: int | None = None
    """How long after its end a key's state stays; None: for ever."""


def build_stateful(context: ShellContext, spec: StatefulSpec, decider: Decider[State]) -> FaustShell:
    """Build a shell that drives `decider`; nothing connects until its app starts."""
    app = ShellApp(context.app_settings(spec.name))
    table = table_of(
        context,
        app,
        shell=spec.name,
        name=spec.table,
        partition_of=lambda key: home_of(key, context.partitions),
    )
    metrics = ShellMetrics(context.metrics, spec.name)
    log = KafkaLog(
        app, topic_prefix=context.topic_prefix, fence=context.fence, on_published=context.on_published
    )
    log.keep(table.changelog, table)
    shell = StatefulShell(
        decider,
        name=spec.name,
        codec=context.codec,
        log=log,
        table=table,
        partitions=context.partitions,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        now_ms=context.now_ms,
        retention_ms=spec.retention_ms,
    )
    log.owned_by(shell.is_owner)
    return FaustShell(
        app,
        shell,
        name=spec.name,
        sources=[source.name for source in spec.sources],
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        table=table,
        tasks=[shell.ticker.run],
    )
