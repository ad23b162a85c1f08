"""Records as they come from Kafka, for tests of what stands behind it."""

from processors.projections.rows import Place
from schemas.envelope import Envelope
from schemas.wire.codec import Codec
from sinks.intake import Delivery, Taken, take
from tests.projections.envelopes import NOON_MS
from topics.catalog import TOPICS, Topic, topic_of
from topics.routing import key_of

CODEC = Codec.offline(TOPICS)


def delivery_of(
    envelope: Envelope,
    offset: int,
    topic: Topic | None = None,
    partition: int = 0,
    timestamp_ms: int = NOON_MS,
) -> Delivery:
    """Encode an event as the record of that offset, written at that time."""
    to = topic or topic_of(envelope.body)
    return Delivery(
        place=Place(topic=to.name, partition=partition, offset=offset, timestamp_ms=timestamp_ms),
        key=key_of(to, envelope),
        value=CODEC.encode(to, envelope),
        headers=tuple(CODEC.headers(to, envelope)),
    )


async def taken(topic: Topic, envelope: Envelope, offset: int, timestamp_ms: int = NOON_MS) -> Taken:
    """Take an event in as the sink does."""
    return await take(delivery_of(envelope, offset, topic, timestamp_ms=timestamp_ms), CODEC)
