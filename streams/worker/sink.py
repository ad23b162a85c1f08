"""The sink as a process: waits for what it needs, serves its metrics, and runs until it is told to stop."""

import asyncio
import gc

import psycopg
import structlog

from schemas.wire.registry import SchemaRegistry
from sinks.census import Census
from sinks.errors import MigrationRefused, SinkStopped
from sinks.mapping import MappingInvalid, read_mapping
from sinks.metrics import SinkMetrics
from sinks.migrator import pending
from sinks.sink import SinkSettings, run_sink
from streams.process import failpoints
from streams.process.ending import ExitCode, ShellStopped
from streams.process.logs import set_up_logs
from streams.process.metrics import Metrics
from streams.process.metrics_server import MetricsServer
from streams.process.settings import Settings
from streams.process.startup import check_topics, connect_codec, wait_for

_log = structlog.get_logger()


async def run_sink_process(settings: Settings, stop: asyncio.Event) -> ExitCode:
    """Run a sink until `stop` is set or a person must act; returns the exit code."""
    set_up_logs(log_format=settings.log_format, level=settings.log_level)
    failpoints.arm(failpoints.parse(settings.failpoint) if settings.failpoint else None)
    registry = SchemaRegistry(settings.registry_url)
    own = Metrics()
    ready = asyncio.Event()
    server = MetricsServer(
        own.registry, host=settings.metrics_host, port=settings.metrics_port, is_ready=ready.is_set
    )
    try:
        port = await server.start()
        _log.info("sink_starting", metrics_port=port)
        await check_topics(settings)
        codec = await connect_codec(settings, registry)
        await _check_tables(settings)
        ready.set()
        # What was imported stays: looking through it again and again took a quarter of the sink's time.
        gc.freeze()
        census = asyncio.create_task(Census(own.registry).keep(settings.postgres_dsn))
        try:
            await run_sink(_sink_settings(settings), codec, stop, SinkMetrics(own.registry), failpoints.reach)
        finally:
            census.cancel()
    except ShellStopped as stopped:
        _log.error("sink_stopped", exit_code=int(stopped.code), reason=stopped.reason)
        return stopped.code
    except MappingInvalid as error:
        _log.error("sink_stopped", exit_code=int(ExitCode.USAGE), reason=str(error))
        return ExitCode.USAGE
    except (SinkStopped, MigrationRefused) as error:
        _log.error("sink_stopped", exit_code=int(ExitCode.FAILED), reason=str(error))
        return ExitCode.FAILED
    finally:
        await registry.close()
        await server.stop()
        _log.info("sink_ended")
    return ExitCode.OK


async def _check_tables(settings: Settings) -> None:
    """Wait for Postgres, and see that its tables are those of this version.

    Raises:
        ShellStopped: Postgres is away, or lacks migrations.
    """

    async def lacking() -> int:
        connection = await psycopg.AsyncConnection.connect(settings.postgres_dsn, connect_timeout=10)
        async with connection:
            return len(await pending(connection))

    away = (psycopg.OperationalError,)
    count = await wait_for("postgres", lacking, away, settings.startup_timeout_ms / 1_000)
    if count:
        raise ShellStopped(ExitCode.USAGE, f"{count} migrations are not applied: run `cartrita migrate`")


def _sink_settings(settings: Settings) -> SinkSettings:
    return SinkSettings(
        bootstrap=settings.kafka_bootstrap,
        dsn=settings.postgres_dsn,
        topic_prefix=settings.topic_prefix,
        group=f"{settings.topic_prefix}{settings.app_id}-sink",
        session_timeout_ms=settings.session_timeout_ms,
        mapping=read_mapping(settings.version_one_tables),
    )
