"""Sessions that an outside producer posts all the while, with three versions of the inputs' schema."""

import json
import random
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tests.chaos.injector import QUIET
from tests.pipeline.outsider import Record, message

TOPIC: Final = "user.inputs"
REQUESTS: Final = (
    "What does the ingress shell do?",
    "1. Find out how budgets work. 2. Find out how retries work. 3. Then write a summary of both.",
    "Write a note with book_seat for Ada. Then stamp it with stamp_paper.",
    "Write a short greeting.",
)
_BUDGET_TOKENS: Final = 6_000
"""Soon spent; every seventh session has no more."""
_ANSWER_S: Final = 300
_RECENT: Final = 60


class Load:
    """Keeps a number of sessions open; what Kafka has not acknowledged is posted again."""

    def __init__(
        self,
        bootstrap: str,
        registry_url: str,
        *,
        seed: int,
        open_max: int,
        pause_s: float,
        ended: Callable[[], set[str]],
    ) -> None:
        """Register the versions of the schema; nothing is posted yet.

        Args:
            bootstrap: Kafka's address.
            registry_url: the registry's, which has to run.
            seed: of texts and versions.
            open_max: sessions that may be open at once.
            pause_s: between two sessions.
            ended: tells which sessions have ended.
        """
        self._chance = random.Random(seed)
        self._open_max = open_max
        self._pause_s = pause_s
        self._ended = ended
        self._producer = Producer(
            {"bootstrap.servers": bootstrap, "acks": "all", "message.timeout.ms": _ANSWER_S * 1_000, **QUIET}
        )
        self._registry = SchemaRegistryClient({"url": registry_url})
        self._serializers = _serializers(self._registry)
        self._count = 0
        self._lock = threading.Lock()
        self._sent: dict[str, str] = {}
        self._recent: list[tuple[str, bytes, str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)

    def start(self) -> None:
        """Begin to post."""
        self._thread.start()

    def stop(self) -> None:
        """Post no more, and return when Kafka has acknowledged all."""
        self._stopping.set()
        self._thread.join(_ANSWER_S)
        assert self._producer.flush(_ANSWER_S) == 0, "Kafka does not acknowledge inputs"
        self._registry.close()

    def sent(self) -> dict[str, str]:
        """Return the session by event id, of each input that was acknowledged."""
        with self._lock:
            return dict(self._sent)

    def post_again(self, count: int) -> int:
        """Post the latest inputs once more; returns how many."""
        with self._lock:
            again = self._recent[-count:]
        for event_id, value, session in again:
            self._produce(event_id, value, session)
        return len(again)

    def _run(self) -> None:
        while not self._stopping.wait(self._pause_s):
            self._producer.poll(0)
            sessions = set(self.sent().values())
            if len(sessions - self._ended()) < self._open_max:
                self._post_session()

    def _post_session(self) -> None:
        self._count += 1
        budget_tokens = _BUDGET_TOKENS if self._count % 7 == 0 else None
        asked = message(self._chance.choice(REQUESTS), budget_tokens=budget_tokens)
        self._post(asked)
        if self._chance.random() < 0.1:
            self._post(asked)
        if self._chance.random() < 0.08:
            body = ("cartrita.events.SessionCancelled", {"reason": "enough"})
            self._post({"event_id": str(uuid.uuid4()), "session_id": asked["session_id"], "body": body})

    def _post(self, record: Record) -> None:
        serialize = self._chance.choice(self._serializers)
        value = serialize(record, SerializationContext(TOPIC, MessageField.VALUE))
        assert isinstance(value, bytes)
        with self._lock:
            self._recent = [*self._recent[-_RECENT:], (record["event_id"], value, record["session_id"])]
        self._produce(record["event_id"], value, record["session_id"])

    def _produce(self, event_id: str, value: bytes, session: str) -> None:
        def acknowledged(error: KafkaError | None, _: object) -> None:
            if error is not None:
                self._produce(event_id, value, session)
                return
            with self._lock:
                self._sent[event_id] = session

        # One key for a session's inputs, so that a cancellation does not overtake what it cancels.
        self._producer.produce(TOPIC, value, key=session.encode(), on_delivery=acknowledged)


def _serializers(registry: SchemaRegistryClient) -> list[AvroSerializer]:
    # Asked for each record again otherwise, also while the registry is away.
    settings = {"auto.register.schemas": True, "normalize.schemas": False}
    current = registry.get_latest_version(f"{TOPIC}-value").schema.schema_str
    assert current is not None
    versions = (json.loads(current), newer(json.loads(current)), older(json.loads(current)))
    serializers = []
    for version in versions:
        text = json.dumps(version)
        registry.register_schema(f"{TOPIC}-value", Schema(text, schema_type="AVRO"))
        serializers.append(AvroSerializer(registry, text, conf=settings))
    return serializers


def newer(schema: dict[str, Any]) -> Mapping[str, object]:  # Any: JSON
    """Return a later version of the inputs' schema: one more field, which no reader of today knows."""
    field = {"name": "client_version", "type": "string", "default": "2.0"}
    return {**schema, "fields": [field, *schema["fields"]]}


def older(schema: dict[str, Any]) -> Mapping[str, object]:  # Any: JSON
    """Return an earlier version: without fields that were added for others than producers of inputs."""
    absent = ("evidence_ids", "versions", "traceparent", "correlation_id")
    return {**schema, "fields": [field for field in schema["fields"] if field["name"] not in absent]}
