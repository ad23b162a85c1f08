"""A log in memory that breaks on demand, and a source that delivers again what was not acknowledged."""

import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.envelope import Envelope, Fact
from schemas.events.tools import ToolCallFailed, ToolFailureKind
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from streams.effects.recall import OnTheLog
from streams.process.metrics import Metrics, ShellMetrics
from streams.records.delivery import Delivery, Entry, Outgoing
from streams.records.floors import FloorsFound
from topics.catalog import SESSION_INPUTS, TOPICS, Topic
from topics.routing import key_of, partition_of

PARTITIONS: Final = 4
CODEC: Final = Codec.offline(TOPICS)


class Crash(BaseException):
    """The process ends here, as by kill -9."""


def metrics(shell: str = "session") -> ShellMetrics:
    """Return metrics that nobody reads."""
    return ShellMetrics(Metrics(), shell)


@dataclass(slots=True, kw_only=True)
class Kafka:
    """What survives a crash."""

    changelog: list[Entry] = field(default_factory=list)
    published: list[Outgoing] = field(default_factory=list)
    committed: dict[tuple[str, int], int] = field(default_factory=dict)
    sources: dict[tuple[str, int], list[Delivery]] = field(default_factory=dict)
    topic_ids: dict[str, str] = field(default_factory=lambda: {topic.name: "1" for topic in TOPICS})

    def send(
        self,
        event: Envelope,
        topic: Topic = SESSION_INPUTS,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        keyless: bool = False,
        valueless: bool = False,
        headers: tuple[tuple[str, bytes | None], ...] = (),
    ) -> Delivery:
        """Write an event to a source topic; what is given replaces what the codec makes."""
        own_key = key_of(topic, event)
        partition = partition_of(own_key, PARTITIONS)
        records = self.sources.setdefault((topic.name, partition), [])
        delivery = Delivery(
            topic=topic.name,
            partition=partition,
            offset=len(records),
            key=None if keyless else (own_key if key is None else key),
            value=None if valueless else (CODEC.encode(topic, event) if value is None else value),
            headers=headers,
            timestamp_ms=1_000,
        )
        records.append(delivery)
        return delivery

    def waiting(self, seed: int = 0) -> list[Delivery]:
        """Return what is not acknowledged: each partition in order, mixed as Kafka may mix them."""
        left = [deque(records[self.committed.get(place, 0) :]) for place, records in self.sources.items()]
        generator = random.Random(seed)
        mixed: list[Delivery] = []
        while left := [records for records in left if records]:
            mixed.append(generator.choice(left).popleft())
        return mixed

    def table(self) -> dict[bytes, bytes]:
        """Recover the table."""
        table: dict[bytes, bytes] = {}
        for entry in self.changelog:
            if entry.value is None:
                table.pop(entry.key, None)
            else:
                table[entry.key] = entry.value
        return table

    def ends(self) -> dict[tuple[str, int], int]:
        """Return where each source topic's partition ends."""
        return {place: len(records) for place, records in self.sources.items()}

    def events(self, topic: Topic) -> list[Envelope]:
        """Return what was published to a topic, in order."""
        return [record.event for record in self.published if record.topic is topic]


class TwinLogOfCalls:
    """What the topics of calls and of their outcomes hold."""

    def __init__(self, kafka: Kafka, source: Topic) -> None:
        """Take the topics, and which is the calls'."""
        self.kafka = kafka
        self.source = source
        self.faults: list[Exception] = []
        """Raised, one at a time, before anything is found."""

    async def find(self, partition: int, call_ids: Collection[str]) -> OnTheLog:
        """Look through everything."""
        if self.faults:
            raise self.faults.pop(0)
        named = [call_id.encode() for call_id in call_ids]
        asked = [
            one
            for one in self.kafka.sources.get((self.source.name, partition), [])
            if any(call_id in (one.value or b"") for call_id in named)
        ]
        told = {getattr(record.event.body, "call_id", "") for record in self.kafka.published}
        return OnTheLog(asked=asked, ended=frozenset(told & set(call_ids)))


class TwinLog:
    """One process's view of it; breaks before the `crash_at`-th single write."""

    def __init__(self, kafka: Kafka, crash_at: int | None = None) -> None:
        """Take what survives, and when to break."""
        self.kafka = kafka
        self.table = kafka.table()
        self.steps = 0
        self.on_step: Callable[[], None] = lambda: None
        self._crash_at = crash_at

    async def store(self, entries: Sequence[Entry]) -> None:
        """Write entry by entry, as Kafka may."""
        for entry in entries:
            self._step()
            self.kafka.changelog.append(entry)
        self._step()
        for entry in entries:
            if entry.value is None:
                self.table.pop(entry.key, None)
            else:
                self.table[entry.key] = entry.value

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish record by record."""
        for record in records:
            self._step()
            self.kafka.published.append(record)
        self._step()

    async def floors(self) -> FloorsFound:
        """Read the floors that are on the changelog."""
        return FloorsFound(records=self.kafka.table(), topic_ids=self.kafka.topic_ids)

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Commit; acknowledgements are lost with a crash before it, which the source's order hides."""
        self._step()
        for delivery in deliveries:
            self.kafka.committed[delivery.topic, delivery.partition] = delivery.offset + 1

    def _step(self) -> None:
        self.steps += 1
        self.on_step()
        if self._crash_at is not None and self.steps > self._crash_at:
            raise Crash


def session_id(number: int) -> str:
    """Return the id of a session."""
    return derived_id("session", str(number))


def event(body: Fact, *, session: int = 0, number: int = 0, occurred_at_ms: int = 1_000) -> Envelope:
    """Return an event about a session."""
    name = type(body).__name__
    return Envelope(
        event_id=derived_id("test", name, str(session), str(number)),
        type=name,
        session_id=session_id(session),
        tenant_id="tenant",
        user_id="user",
        occurred_at_ms=occurred_at_ms,
        producer="test",
        body=body,
    )


def tool_failed(*, session: int = 0, number: int = 0) -> Envelope:
    """Return the failure of a tool's call, one of its session's."""
    body = ToolCallFailed(
        call_id=f"call-{number}",
        task_id="task",
        tool_call_id="t",
        agent="a",
        tool="t",
        tool_version="1",
        kind=ToolFailureKind.TIMEOUT,
        message="late",
        retryable=True,
        maybe_effected=False,
        attempts=1,
        latency_ms=1,
    )
    return event(body, session=session, number=number)
