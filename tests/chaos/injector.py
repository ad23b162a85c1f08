"""Faults that are records: written again, or unusable."""

import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tests.chaos.forger import Forger
from topics.catalog import topic_of

QUIET: Final = {"log_level": 2}
"""librdkafka tells of every refused connection otherwise, and a killed broker refuses many."""
_WAIT_S: Final = 30.0
_UNKNOWN_SCHEMA: Final = b"\x00\x00\x0f\x42\x3f\x02\x04"
"""The Confluent frame of schema 999,999."""


class Injector:
    """Writes to the log as nobody should."""

    def __init__(self, bootstrap: str, *, seed: int) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._forger = Forger(seed)
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", **QUIET})

    def replay(self, topic: str, partition: int, count: int) -> int:
        """Write the latest records of a partition once more, as they are; returns how many."""
        records = self._latest(topic, partition, count)
        for record in records:
            self._producer.produce(
                topic,
                record.value(),
                key=record.key(),
                partition=partition,
                headers=record.headers() or [],
            )
        self._flush()
        return len(records)

    def poison(self, topic: str, partition: int, kind: str) -> int:
        """Write a record that nobody can use; returns how many were written."""
        latest = self._latest(topic, partition, 1)
        sound = latest[0].value() or b"" if latest else b""
        key = latest[0].key() if latest else None
        match kind:
            case "text":
                self._producer.produce(topic, b"this is no Avro", key=key, partition=partition)
            case "unknown_schema":
                self._producer.produce(topic, _UNKNOWN_SCHEMA, key=key, partition=partition)
            case "cut_off":
                self._producer.produce(topic, sound[: len(sound) // 2], key=key, partition=partition)
            case "null":
                self._producer.produce(topic, None, key=key, partition=partition)
            case _:
                self._producer.produce(topic, sound, key=None, partition=partition)
        self._flush()
        return 1

    def forge(self, topic: str, partition: int) -> int:
        """Tell an outcome of the latest call of a partition, or the latest outcome again; return how many."""
        latest = self._values(topic, partition)
        event = self._forger.forged(topic, latest[-1]) if latest else None
        if event is None:
            return 0
        to = topic_of(event.body).name
        value = self._forger.value(to, event, self._values(to, partition))
        if value is None:
            return 0
        # Twice: a stranger's producer may retry, too.
        for _ in range(2):
            self._producer.produce(to, value, key=event.session_id.encode(), partition=partition)
        self._flush()
        return 2

    def _values(self, topic: str, partition: int) -> list[bytes]:
        return [value for one in self._latest(topic, partition, 1) if (value := one.value())]

    def _latest(self, topic: str, partition: int, count: int) -> Sequence[Message]:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "injector",
                "enable.auto.commit": False,
                **QUIET,
            }
        )
        try:
            place = TopicPartition(topic, partition)
            first, end = consumer.get_watermark_offsets(place, timeout=_WAIT_S)
            begin = max(first, end - count)
            consumer.assign([TopicPartition(topic, partition, begin)])
            found: list[Message] = []
            deadline_s = time.monotonic() + _WAIT_S
            while len(found) < end - begin and time.monotonic() < deadline_s:
                found += [record for record in consumer.consume(count, timeout=0.5) if record.error() is None]
            return [record for record in found if (record.offset() or 0) < end]
        finally:
            consumer.close()

    def _flush(self) -> None:
        assert self._producer.flush(_WAIT_S * 2) == 0, "Kafka took no records"
