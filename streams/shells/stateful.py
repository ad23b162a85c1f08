"""The shells with state, and how one is built: its app, its table, its log and the protocol."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from processors.decider import Decider, Timer
from schemas.envelope import Fact
from schemas.events.inputs import SentFact
from schemas.events.schedules import ScheduleDue
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.kafka_log import log_of
from streams.engine.table import table_of
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Log
from streams.stateful.changelog import check_stored
from streams.stateful.marks import home_of
from streams.stateful.shell import StatefulShell
from streams.stateful.ticker import timer_fired
from topics.catalog import USER_INPUTS, Topic, read_by, topic_of
from topics.shells import ACCOUNT, CAPABILITY, SCHEDULE, SESSION
from topics.tables import ACCOUNT_STATES, CAPABILITY_STATES, SCHEDULE_STATES, SESSION_STATES

State = TypeVar("State")
SCHEDULE_RETENTION_MS: Final = 30 * 86_400_000
"""Of a schedule of which nothing comes any more."""
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
    topic_for: Callable[[Fact], Topic] = topic_of
    """Where what is caused goes to."""
    timer_told_as: Callable[[Timer], Fact] = timer_fired
    """Makes the fact that tells the decider of a timer."""


SESSION_SPEC: Final = StatefulSpec(name=SESSION, table=SESSION_STATES, sources=read_by(SESSION))
ACCOUNT_SPEC: Final = StatefulSpec(
    name=ACCOUNT, table=ACCOUNT_STATES, sources=read_by(ACCOUNT), retention_ms=ACCOUNT_RETENTION_MS
)


def _spoken_to(fact: Fact) -> Topic:
    """Let schedules speak where everybody does."""
    return USER_INPUTS if isinstance(fact, SentFact) else topic_of(fact)


def _due(timer: Timer) -> Fact:
    return ScheduleDue(timer_id=timer.timer_id, due_at_ms=timer.due_at_ms)


SCHEDULE_SPEC: Final = StatefulSpec(
    name=SCHEDULE,
    table=SCHEDULE_STATES,
    sources=read_by(SCHEDULE),
    retention_ms=SCHEDULE_RETENTION_MS,
    topic_for=_spoken_to,
    timer_told_as=_due,
)
CAPABILITY_SPEC: Final = StatefulSpec(name=CAPABILITY, table=CAPABILITY_STATES, sources=read_by(CAPABILITY))


def build_stateful(
    context: ShellContext,
    spec: StatefulSpec,
    decider: Decider[State],
    beside: Callable[[StatefulShell[State], Log], Sequence[Callable[[], Awaitable[None]]]] | None = None,
) -> FaustShell:
    """Build a shell that drives `decider`; nothing connects until its app starts.

    Args:
        context: what the shells of a process share.
        spec: which shell it is.
        decider: what decides.
        beside: makes what runs beside it, of the shell and of what it writes to.
    """
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
        topic_for=spec.topic_for,
        timer_told_as=spec.timer_told_as,
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
        tasks=[shell.ticker.run, *(beside(shell, log) if beside is not None else ())],
    )
