"""Records on their way in and out of a shell, free of Faust and of Kafka's clients.

Named tuples, for each input makes several, and a frozen dataclass takes three times as long to make.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from schemas.envelope import Envelope
from schemas.surrogates import mended
from schemas.wire.codec import Codec, Headers, UnencodableError
from topics.catalog import BY_NAME, Topic, topic_of
from topics.routing import key_of

Place = tuple[str, int]
"""Topic, without the configured prefix, and partition."""
NOWHERE: Final[Mapping[Place, int]] = MappingProxyType({})
REDRIVEN_HEADER = "cartrita_redriven"
"""On a record that was put aside and is tried again: topic/partition/offset of the record put aside."""


class Delivery(NamedTuple):
    """One record that Kafka delivered."""

    topic: str
    """Name in the catalogue, without the configured prefix."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    """When its producer wrote it."""

    @property
    def coordinates(self) -> str:
        """Name the record's place."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    def header(self, name: str) -> bytes | None:
        """Return the value of the first header of that name."""
        return next((value for header, value in self.headers if header == name), None)


class Outgoing(NamedTuple):
    """One record to publish."""

    topic: Topic
    key: bytes
    """Empty: the record has none, and may go anywhere."""
    value: bytes
    headers: Headers
    event: Envelope

    @property
    def size_bytes(self) -> int:
        """Return what the broker counts against `max.message.bytes`, rounded up."""
        size_bytes = RECORD_OVERHEAD_BYTES + len(self.key) + len(self.value)
        for name, value in self.headers:
            size_bytes += len(name) + len(value) + 8
        return size_bytes


RECORD_OVERHEAD_BYTES = 128
"""A batch's header (61 bytes) and a record's own fields."""


class Entry(NamedTuple):
    """One record of a table's changelog."""

    key: bytes
    value: bytes | None
    """None removes the key."""
    partition: int


class Log(Protocol):
    """What a shell writes to; the real one is Kafka, its twin keeps lists."""

    async def store(self, entries: Sequence[Entry]) -> None:
        """Write to the table's changelog, wait until it is durable there, and put it into the table."""
        ...

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Publish records and wait until they are durable."""
        ...

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Note that these deliveries need not come again."""
        ...


class OwnershipLost(Exception):
    """The partitions were revoked while a batch was on its way; whoever owns them now begins it again."""


def outgoing(codec: Codec, event: Envelope, topic: Topic | None = None) -> Outgoing:
    """Encode an event for its topic; halves of characters, which providers send, are joined or replaced.

    Raises:
        UnencodableError: it holds what its class does not allow.
    """
    to = topic or topic_of(event.body)
    try:
        value = codec.encode(to, event)
    except UnencodableError:
        event = mended(event)
        value = codec.encode(to, event)
    return Outgoing(
        topic=to, key=key_of(to, event), value=value, headers=codec.headers(to, event), event=event
    )


async def restored(codec: Codec, topic_name: str, value: bytes) -> Outgoing:
    """Make a record again of what an outbox kept of it."""
    topic = BY_NAME[topic_name]
    event = await codec.decode(value)
    return Outgoing(
        topic=topic, key=key_of(topic, event), value=value, headers=codec.headers(topic, event), event=event
    )
