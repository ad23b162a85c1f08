"""What every process does before it works: wait for what it needs, and refuse what would break a promise."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from schemas.wire.codec import Codec
from schemas.wire.registry import RegistryUnavailable, SchemaIncompatible, SchemaRegistry
from streams.process.ending import ExitCode, ShellStopped
from streams.process.settings import Settings
from topics import admin
from topics.admin import TopicsUnavailable
from topics.catalog import TOPICS

_log = structlog.get_logger()
_RETRY_S: Final = 0.5
_RETRY_S_MAX: Final = 5.0
T = TypeVar("T")


async def wait_for(
    what: str, attempt: Callable[[], Awaitable[T]], away: tuple[type[Exception], ...], timeout_s: float
) -> T:
    """Try until it works; tell of every failure.

    Raises:
        ShellStopped: it has not worked in time.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    delay_s = _RETRY_S
    while True:
        try:
            return await attempt()
        except away as error:
            reason = str(error) or repr(error)
        if asyncio.get_running_loop().time() + delay_s > deadline:
            raise ShellStopped(ExitCode.RESTART, f"{what} did not answer for {timeout_s:.0f} s: {reason}")
        _log.warning("waiting", what=what, reason=reason, retry_s=delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, _RETRY_S_MAX)


async def check_topics(settings: Settings) -> None:
    """Wait for Kafka, and see that every topic is as it has to be.

    Raises:
        ShellStopped: Kafka is away, or a topic is missing or different.
    """

    async def verify() -> admin.Report:
        return await admin.verify(
            settings.kafka_bootstrap,
            settings.topic_prefix,
            settings.partitions,
            settings.replication,
            settings.session_timeout_ms,
        )

    report = await wait_for("kafka", verify, (TopicsUnavailable,), settings.startup_timeout_ms / 1_000)
    for difference in report.differences:
        told = _log.error if difference.breaks else _log.warning
        told(
            "topic_differs",
            topic=difference.topic,
            setting=difference.setting,
            expected=difference.expected,
            actual=difference.actual,
            breaks=difference.breaks,
            repair=difference.repair,
        )
    if report.missing:
        raise ShellStopped(
            ExitCode.TOPICS,
            f"{len(report.missing)} topics are missing, such as {report.missing[0]}; "
            "`cartrita topics apply` makes them",
        )
    if report.faults:
        raise ShellStopped(
            ExitCode.TOPICS,
            f"{len(report.faults)} settings of topics break a promise, such as {report.faults[0].setting} of "
            f"{report.faults[0].topic}: {report.faults[0].breaks}; `cartrita topics verify` names repairs",
        )


async def connect_codec(settings: Settings, registry: SchemaRegistry) -> Codec:
    """Wait for the registry, and register the schemas with which this program writes.

    Raises:
        ShellStopped: the registry is away, or refuses a schema.
    """

    async def connect() -> Codec:
        return await Codec.connect(TOPICS, registry, settings.topic_prefix)

    return await registered(settings, connect)


async def registered(settings: Settings, connect: Callable[[], Awaitable[T]]) -> T:
    """Wait until the registry lets `connect` register its schemas, and return what that gives.

    Raises:
        ShellStopped: the registry is away, or refuses a schema.
    """
    try:
        return await wait_for(
            "registry", connect, (RegistryUnavailable,), settings.startup_timeout_ms / 1_000
        )
    except SchemaIncompatible as error:
        raise ShellStopped(ExitCode.FAILED, f"the registry refuses a schema: {error}") from error
