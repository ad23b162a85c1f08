"""A producer and consumer that know only Kafka, the registry and the documentation."""

import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

Record = dict[str, Any]  # Any: as Avro gives it


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One decoded record."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: Record


class Outsider:
    """Speaks librdkafka's dialect: CRC32 partitioner, Confluent's serializers."""

    def __init__(self, bootstrap: str, registry_url: str) -> None:
        self._bootstrap = bootstrap
        self._registry = SchemaRegistryClient({"url": registry_url})

    def close(self) -> None:
        """Close the registry's connections."""
        self._registry.close()

    def post(self, messages: Iterable[Record], *, topic: str = "user.inputs", topic_prefix: str = "") -> None:
        """Post inputs, with keys that mean nothing."""
        topic = topic_prefix + topic
        schema = self._registry.get_latest_version(f"{topic}-value").schema.schema_str
        serialize = AvroSerializer(self._registry, schema, conf={"auto.register.schemas": False})
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        failures: list[KafkaError] = []
        for number, message in enumerate(messages):
            producer.produce(
                topic,
                serialize(message, SerializationContext(topic, MessageField.VALUE)),
                key=f"key-{number % 7}".encode() if number % 3 else None,
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        assert not failures

    def post_bytes(
        self, value: bytes | None, *, key: bytes | None = None, topic: str = "user.inputs"
    ) -> None:
        """Post bytes as they are."""
        producer = Producer({"bootstrap.servers": self._bootstrap, "acks": "all"})
        producer.produce(topic, value, key=key)
        assert producer.flush(60) == 0

    def wait_for(self, topic: str, wanted: Callable[[Record], bool]) -> None:
        """Wait until a topic has a record that is wanted."""
        deadline_s = time.monotonic() + 120
        while not any(wanted(placed.value) for placed in self.read_all([topic])):
            assert time.monotonic() < deadline_s, f"{topic} never had it"

    def read_all(self, topics: Iterable[str]) -> list[Placed]:
        """Read topics from their beginnings to their ends as of now."""
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": f"outsider-{uuid.uuid4()}",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        deserialize = AvroDeserializer(self._registry, return_record_name=True)
        try:
            ends = _ends(consumer, topics)
            consumer.assign([TopicPartition(topic, number, 0) for topic, number in ends])
            return _read(consumer, ends, deserialize)
        finally:
            consumer.close()


def _ends(consumer: Consumer, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    ends = {}
    for topic in topics:
        metadata = consumer.list_topics(topic, timeout=20)
        for number in metadata.topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=20)
            ends[topic, number] = end
    return ends


def _read(
    consumer: Consumer, ends: Mapping[tuple[str, int], int], deserialize: AvroDeserializer
) -> list[Placed]:
    open_places = {place for place, end in ends.items() if end > 0}
    read: list[Placed] = []
    deadline_s = time.monotonic() + 120
    while open_places:
        assert time.monotonic() < deadline_s, f"these do not end: {open_places}"
        for record in consumer.consume(500, timeout=1.0):
            assert record.error() is None, record.error()
            topic, partition, offset = str(record.topic()), record.partition() or 0, record.offset() or 0
            if offset + 1 >= ends[topic, partition]:
                open_places.discard((topic, partition))
            if offset >= ends[topic, partition]:
                continue
            if topic == "user.inputs" and not (record.value() or b"").startswith(b"\x00"):
                continue  # anybody may post anything there
            context = SerializationContext(topic, MessageField.VALUE)
            value: Any = deserialize(record.value(), context)  # Any: as Avro gives it
            read.append(
                Placed(topic=topic, partition=partition, offset=offset, key=record.key(), value=value)
            )
    return read


def message(text: str, *, session_id: str | None = None, **body: object) -> Record:
    """Return a message as the documentation says: a session, a message id, and a body."""
    return {
        "event_id": str(uuid.uuid4()),
        "session_id": session_id or str(uuid.uuid4()),
        "body": ("cartrita.events.MessageReceived", {"text": text, **body}),
    }


def body_of(record: Record) -> tuple[str, Record]:
    """Return a record's fact by name and fields."""
    body = record["body"]
    if isinstance(body, tuple):
        return body[0].rpartition(".")[2], body[1]
    return str(record["type"]), body
