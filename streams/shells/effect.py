"""Builds an effect shell: its app, its ledger, its log and its executor."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from streams.effects.changelog import check_noted
from streams.effects.executor import Executor
from streams.effects.feed import Feed
from streams.effects.recall import KafkaLogOfCalls
from streams.effects.shell import EffectShell
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.kafka_log import log_of
from streams.engine.table import table_of
from streams.process.metrics import ShellMetrics
from topics.catalog import read_by


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectSpec:
    """What distinguishes one effect shell from another."""

    name: str
    table: str
    places: int
    """Calls that run at once."""


def build_effect(
    context: ShellContext,
    spec: EffectSpec,
    executor: Callable[[Feed], Executor],
    *,
    heed: Callable[[Callable[[], None]], None] = lambda _: None,
) -> FaustShell:
    """Build a shell that runs the calls of the topic that it reads; nothing connects until its app starts.

    Args:
        context: of the process.
        spec: of the shell.
        executor: makes the executor, given where pieces of answers go.
        heed: given what is to be called whenever the executor begins to refuse calls that it did not refuse.
    """
    (source,) = read_by(spec.name)
    app = ShellApp(context.app_settings(spec.name))
    table = table_of(
        context,
        app,
        shell=spec.name,
        name=spec.table,
        check=partial(check_noted, source=source.name),
    )
    metrics = ShellMetrics(context.metrics, spec.name)
    log = log_of(context, app)
    log.keep(table.changelog, table)
    feed = Feed(codec=context.codec, log=log, metrics=metrics, now_ms=context.now_ms, producer=spec.name)
    shell = EffectShell(
        executor(feed),
        name=spec.name,
        source=source.name,
        codec=context.codec,
        log=log,
        table=table,
        changelog=table.changelog,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        now_ms=context.now_ms,
        owner=f"{socket.gethostname()}/{os.getpid()}",
        places=spec.places,
        calls=KafkaLogOfCalls(
            kafka_bootstrap=context.kafka_bootstrap,
            topic_prefix=context.topic_prefix,
            codec=context.codec,
            source=source.name,
        ),
    )
    log.owned_by(shell.is_owner)
    heed(shell.restrain)
    return FaustShell(
        app,
        shell,
        name=spec.name,
        sources=[source.name],
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        table=table,
        tasks=[shell.sweep],
    )
