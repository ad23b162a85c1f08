"""The shells with state, and how one is built: its app, its table, its log and the protocol."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from processors.decider import Decider
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.kafka_log import log_of
from streams.engine.table import table_of
from streams.process.metrics import ShellMetrics
from streams.stateful.changelog import check_stored
from streams.stateful.marks import home_of
from streams.stateful.shell import StatefulShell
from topics.catalog import Topic, read_by
from topics.shells import ACCOUNT, CAPABILITY, SESSION
from topics.tables import ACCOUNT_STATES, CAPABILITY_STATES, SESSION_STATES

State = TypeVar("State")
ACCOUNT_RETENTION_MS: Final = 86_400_000
"""Of a token's account whose day or month is over; other accounts never end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatefulSpec:
    """What distinguishes one shell with state from another."""

    name: str
    table: str
    sources: Sequence[Topic]
    retention_ms: int | None = None
    """How long after its end a key's state stays; None: for ever."""


SESSION_SPEC: Final = StatefulSpec(name=SESSION, table=SESSION_STATES, sources=read_by(SESSION))
ACCOUNT_SPEC: Final = StatefulSpec(
    name=ACCOUNT, table=ACCOUNT_STATES, sources=read_by(ACCOUNT), retention_ms=ACCOUNT_RETENTION_MS
)
CAPABILITY_SPEC: Final = StatefulSpec(name=CAPABILITY, table=CAPABILITY_STATES, sources=read_by(CAPABILITY))


def build_stateful(context: ShellContext, spec: StatefulSpec, decider: Decider[State]) -> FaustShell:
    """Build a shell that drives `decider`; nothing connects until its app starts."""
    app = ShellApp(context.app_settings(spec.name))
    table = table_of(
        context,
        app,
        shell=spec.name,
        name=spec.table,
        partition_of=lambda key: home_of(key, context.partitions),
        check=partial(check_stored, partitions=context.partitions),
    )
    metrics = ShellMetrics(context.metrics, spec.name)
    log = log_of(context, app)
    log.keep(table.changelog, table)
    shell = StatefulShell(
        decider,
        name=spec.name,
        codec=context.codec,
        log=log,
        table=table,
        partitions=context.partitions,
        changelog=table.changelog,
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
