"""The worker: builds the shells that it was asked for and runs them in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from connectors.models.tokens import VocabularyMissing
from processors.accounts import AccountDecider
from processors.capabilities import CapabilityDecider
from processors.schedules.decider import ScheduleDecider
from processors.schedules.state import ScheduleState
from processors.session import SessionDecider
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from streams.configuration.checking import demand_tools
from streams.configuration.loading import ConfigurationInvalid
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.heartbeat import now_ms
from streams.process import failpoints
from streams.process.ending import ExitCode, ShellStopped
from streams.process.identity import IdentityLock
from streams.process.logs import set_up_logs
from streams.process.metrics import Metrics
from streams.process.metrics_server import MetricsServer
from streams.process.settings import Settings
from streams.process.startup import check_topics, connect_codec
from streams.records.delivery import Log
from streams.records.reader import RecordReader
from streams.shells.effect import EffectSpec, build_effect
from streams.shells.firings import FiringWatch
from streams.shells.fork import build_fork
from streams.shells.ingress import CALENDAR, build_ingress
from streams.shells.model import ModelExecutor
from streams.shells.pasts import ImportedPasts
from streams.shells.stateful import (
    ACCOUNT_SPEC,
    CAPABILITY_SPEC,
    SCHEDULE_SPEC,
    SESSION_SPEC,
    build_stateful,
)
from streams.shells.tool import ToolExecutor
from streams.stateful.shell import StatefulShell
from streams.worker.providers import Providers, make_providers
from streams.worker.redriving import Redriving
from streams.worker.restraining import Restraining
from streams.worker.runner import run_shells
from streams.worker.startup import check_clock_and_publish
from topics.shells import ACCOUNT, CAPABILITY, FORK, INGRESS, MODEL, SCHEDULE, SESSION, SHELLS, TOOL
from topics.tables import MODEL_LEDGER, TOOL_LEDGER

if TYPE_CHECKING:
    from connectors.mcp.servers import Found

_log = structlog.get_logger()


def run_worker(
    settings: Settings,
    shells: Collection[str] = SHELLS,
    make: Callable[[Settings], Awaitable[Providers]] = make_providers,
) -> ExitCode:
    """Run shells until SIGTERM, SIGINT or a failure; return the exit code.

    Args:
        settings: of the process.
        shells: names out of SHELLS.
        make: makes models and tools; benchmarks have some that answer at once.
    """
    unknown = set(shells) - set(SHELLS)
    if unknown or not shells:
        raise ValueError(
            f"there is no shell named {', '.join(sorted(unknown))}; there are {', '.join(SHELLS)}"
        )
    set_up_logs(log_format=settings.log_format, level=settings.log_level)
    try:
        return asyncio.run(_Worker(settings, [name for name in SHELLS if name in shells], make).run())
    except ShellStopped as stopped:
        _log.error("worker_stopped", exit_code=int(stopped.code), reason=stopped.reason)
        return stopped.code
    except (ConfigurationInvalid, VocabularyMissing) as error:
        _log.error("configuration_invalid", reason=str(error))
        return ExitCode.USAGE


class _Worker:
    def __init__(
        self, settings: Settings, names: Sequence[str], make: Callable[[Settings], Awaitable[Providers]]
    ) -> None:
        self._settings = settings
        self._names = names
        self._make = make
        self._shells: list[FaustShell] = []
        self._metrics = Metrics()

    async def run(self) -> ExitCode:
        settings = self._settings
        failpoints.arm(failpoints.parse(settings.failpoint) if settings.failpoint else None)
        server = MetricsServer(
            self._metrics.registry,
            host=settings.metrics_host,
            port=settings.metrics_port,
            is_ready=lambda: bool(self._shells) and all(shell.ready for shell in self._shells),
        )
        lock = IdentityLock(settings.data_directory, settings.identity or "worker")
        registry = SchemaRegistry(settings.registry_url)
        try:
            port = await server.start()
            _log.info("worker_starting", shells=list(self._names), metrics_port=port)
            if settings.identity:
                await lock.acquire(settings.startup_timeout_ms / 1_000)
            providers = await self._make(settings)
            known = (*providers.tools.specs, *providers.absent_tools)
            demand_tools(providers.configuration, known, settings.configuration_directory)
            await check_topics(settings)
            codec = await connect_codec(settings, registry)
            await check_clock_and_publish(settings, codec, providers.configuration)
            return await self._serve(providers, codec)
        finally:
            await registry.close()
            await server.stop()
            lock.release()
            _log.info("worker_ended")

    async def _serve(self, providers: Providers, codec: Codec) -> ExitCode:
        settings = self._settings
        reader = RecordReader(
            kafka_bootstrap=settings.kafka_bootstrap,
            topic_prefix=settings.topic_prefix,
            codec=codec,
            cache_bytes=settings.reader_cache_bytes,
            metrics=self._metrics,
        )
        restraining = Restraining(settings, codec, now_ms)
        limits = providers.configuration.limits
        redriving = Redriving(settings, codec, providers.tokenizer, limits, now_ms)
        if providers.servers is not None:
            providers.servers.tell = lambda found, withheld: self._tell(restraining, found, withheld)
        try:
            if TOOL in self._names:
                await restraining.start()
            await providers.open(tools=TOOL in self._names)
            context = context_of(settings, codec, self._metrics, reader)
            parts = _Parts(providers=providers, reader=reader, settings=settings, restraining=restraining)
            self._shells = [build(context, parts) for build in map(_BUILDERS.__getitem__, self._names)]
            if INGRESS in self._names:
                redriving.start()
            return await run_shells(self._shells)
        finally:
            await redriving.stop()
            await restraining.stop()
            await reader.stop()
            await providers.close()

    def _tell(self, restraining: Restraining, found: "Found", withheld: int) -> None:
        self._metrics.mcp_tools_withheld.labels(found.server, found.tenant).set(withheld)
        restraining.find(found)


def context_of(settings: Settings, codec: Codec, metrics: Metrics, reader: RecordReader) -> ShellContext:
    """Return what the shells of this process share."""
    return ShellContext(
        kafka_bootstrap=settings.kafka_bootstrap,
        topic_prefix=settings.topic_prefix,
        app_id=settings.app_id,
        partitions=settings.partitions,
        data_directory=settings.data_directory,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        produce_timeout_ms=settings.produce_timeout_ms,
        commit_interval_ms=settings.commit_interval_ms,
        worker_identity=settings.identity or None,
        tables_on_disk=settings.table_store == "rocksdb",
        codec=codec,
        metrics=metrics,
        on_published=reader.remember,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What shells are built of, beside the context."""

    providers: Providers
    reader: RecordReader
    settings: Settings
    restraining: Restraining


def _ingress(context: ShellContext, parts: _Parts) -> FaustShell:
    providers = parts.providers
    configuration = providers.configuration
    pasts = ImportedPasts(providers.pool, providers.tokenizer)
    return build_ingress(context, providers.tokenizer, configuration.limits, configuration.policy, pasts)


def _fork(context: ShellContext, _parts: _Parts) -> FaustShell:
    return build_fork(context)


def _session(context: ShellContext, parts: _Parts) -> FaustShell:
    configuration = parts.providers.configuration
    spec = replace(SESSION_SPEC, retention_ms=configuration.limits.session_retention_ms)
    return build_stateful(context, spec, SessionDecider(configuration))


def _account(context: ShellContext, parts: _Parts) -> FaustShell:
    return build_stateful(context, ACCOUNT_SPEC, AccountDecider(parts.providers.configuration))


def _capability(context: ShellContext, _parts: _Parts) -> FaustShell:
    return build_stateful(context, CAPABILITY_SPEC, CapabilityDecider())


def _model(context: ShellContext, parts: _Parts) -> FaustShell:
    spec = EffectSpec(name=MODEL, table=MODEL_LEDGER, places=parts.settings.calls_in_flight_max)
    return build_effect(
        context,
        spec,
        lambda feed: ModelExecutor(
            parts.providers.model,
            parts.providers.embeddings,
            configuration=parts.providers.configuration,
            reader=parts.reader,
            feed=feed,
            metrics=context.metrics,
            now_ms=context.now_ms,
            redactor=parts.providers.redactor,
        ),
    )


def _tool(context: ShellContext, parts: _Parts) -> FaustShell:
    spec = EffectSpec(name=TOOL, table=TOOL_LEDGER, places=parts.settings.calls_in_flight_max)
    return build_effect(
        context,
        spec,
        lambda feed: ToolExecutor(
            parts.providers.tools,
            configuration=parts.providers.configuration,
            reader=parts.reader,
            feed=feed,
            tokenizer=parts.providers.tokenizer,
            now_ms=context.now_ms,
            stop_of=parts.restraining.restraints.stop_of,
            redactor=parts.providers.redactor,
        ),
        heed=parts.restraining.listen,
    )


def _schedule(context: ShellContext, parts: _Parts) -> FaustShell:
    def beside(shell: StatefulShell[ScheduleState], log: Log) -> Sequence[Callable[[], Awaitable[None]]]:
        return (FiringWatch(shell, log, context.codec, parts.providers.pool, context.now_ms).run,)

    return build_stateful(context, SCHEDULE_SPEC, ScheduleDecider(CALENDAR), beside)


_Builder = Callable[[ShellContext, _Parts], FaustShell]
_BUILDERS: Final[dict[str, _Builder]] = {
    INGRESS: _ingress,
    FORK: _fork,
    SESSION: _session,
    ACCOUNT: _account,
    CAPABILITY: _capability,
    MODEL: _model,
    TOOL: _tool,
    SCHEDULE: _schedule,
}
