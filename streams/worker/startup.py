"""What a worker does once Kafka and the registry answer, before its shells run."""

from typing import Final

from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from streams.configuration.loading import configuration_facts
from streams.engine.heartbeat import now_ms
from streams.process.ending import ExitCode, ShellStopped
from streams.process.settings import Settings
from streams.process.startup import wait_for
from streams.records.delivery import outgoing
from topics.catalog import CONFIGURATION
from topics.clients import producer_of
from topics.tables import CLOCK_PROBE

_PROBES: Final = 3


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
