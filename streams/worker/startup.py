"""What a worker does before its shells run: wait for what it needs, and refuse what would break a promise."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from schemas.wire.registry import RegistryUnavailable, SchemaIncompatible, SchemaRegistry
from streams.configuration.loading import configuration_facts
from streams.engine.heartbeat import now_ms
from streams.process.ending import ExitCode, ShellStopped
from streams.process.settings import Settings
from streams.records.delivery import outgoing
from topics import admin
from topics.admin import TopicsUnavailable
from topics.catalog import CONFIGURATION, TOPICS
from topics.clients import producer_of
from topics.tables import CLOCK_PROBE

_log = structlog.get_logger()
_RETRY_S: Final = 0.5
_RETRY_S_MAX: Final = 5.0
_PROBES: Final = 3
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

    try:
        return await wait_for(
            "registry", connect, (RegistryUnavailable,), settings.startup_timeout_ms / 1_000
        )
    except SchemaIncompatible as error:
        raise ShellStopped(ExitCode.FAILED, f"the registry refuses a schema: {error}") from error


async def check_clock_and_publish(settings: Settings, codec: Codec, configuration: Configuration) -> None:
    """Compare clocks with Kafka, and put the configuration on the log.

    Raises:
        ShellStopped: the clocks are too far apart, or Kafka is away.
    """
    producer = producer_of(settings.kafka_bootstrap)
    await wait_for("kafka", producer.start, (KafkaError,), settings.startup_timeout_ms / 1_000)
    try:
        skew_ms = await _skew_ms(producer, settings.topic_prefix + CLOCK_PROBE)
        if abs(skew_ms) > settings.clock_skew_max_ms:
            raise ShellStopped(
                ExitCode.FAILED,
                f"this clock is {skew_ms} ms off Kafka's; the most is {settings.clock_skew_max_ms} ms",
            )
        for fact in configuration_facts(configuration):
            event = Envelope(
                event_id=derived_id("configuration", fact.kind, fact.content_hash),
                type=type(fact).__name__,
                occurred_at_ms=now_ms(),
                producer="worker",
                body=fact,
            )
            record = outgoing(codec, event)
            await producer.send_and_wait(
                settings.topic_prefix + CONFIGURATION.name, record.value, record.key, headers=record.headers
            )
    except KafkaError as error:
        raise ShellStopped(ExitCode.RESTART, f"Kafka did not take a record: {error!r}") from error
    finally:
        await producer.stop()


async def _skew_ms(producer: AIOKafkaProducer, topic: str) -> int:
    """Return how far this clock is ahead of Kafka's, by the probe with the shortest way."""
    probes = []
    for _ in range(_PROBES):
        before_ms = now_ms()
        metadata = await producer.send_and_wait(topic, b"")
        after_ms = now_ms()
        # Kafka's time lies between: off by at most half the way.
        probes.append((after_ms - before_ms, (before_ms + after_ms) // 2 - int(metadata.timestamp)))
    return min(probes)[1]
