"""Turns Kafka records into what the writer takes, and puts aside what cannot be read."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from processors.projections.event_log import log_row, unknown_log_row
from processors.projections.project import project
from processors.projections.rows import Place
from processors.rejections import Refused, rejected
from schemas.envelope import Envelope
from schemas.wire.codec import UndecodableError, UnknownFactError
from sinks.writer import Projected
from topics.catalog import BY_NAME, DEAD_LETTERS, TOPICS, Keying
from topics.routing import key_of

SINK_ONLY_TOPICS: Final = frozenset(
    topic.name for topic in TOPICS if topic.is_truth and not topic.readers and topic is not DEAD_LETTERS
)
"""No shell reads these, so that a bad record on them is the sink's to put aside. What stands on the others
a shell has put aside, or will, and two dead letters for one record would only confuse; for one that stands
on dead.letters itself there is no better place."""
PRODUCER: Final = "sink"
YIELD_RECORDS: Final = 10
"""After so many are taken Postgres is listened to again; with 50 it often waited for more of a COPY."""


class Decoder(Protocol):
    """What reads values; `schemas.wire.codec.Codec` does."""

    async def decode(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()) -> Envelope:
        """Read a record's value; raises as the codec does."""
        ...


class Delivery(NamedTuple):
    """One record that Kafka delivered."""

    place: Place
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a record is put aside."""

    code: str
    reason: str


class Taken(NamedTuple):
    """A record as the writer takes it, and why it is put aside if it is."""

    delivery: Delivery
    projected: Projected
    refusal: Refusal | None = None


async def take(delivery: Delivery, decoder: Decoder) -> Taken:
    """Read and project one record.

    Raises:
        schemas.wire.registry.RegistryUnavailable: its schema cannot be had at present.
    """
    place = delivery.place
    try:
        envelope = await decoder.decode(delivery.value, delivery.headers)
    except UnknownFactError as error:
        return _stored(delivery, error.plain)
    except UndecodableError as error:
        return _aside(delivery, error.code, error.reason)
    try:
        refusal = _misplaced(delivery, envelope)
        log = log_row(envelope, place)
        changes = () if refusal is not None else project(envelope, place)
    except Exception as error:  # a projection is pure: what it raises on this record it would raise for ever
        return _aside(delivery, "not_projectable", f"{type(error).__name__}: {error}")
    return Taken(delivery, Projected(place, log, changes), refusal)


def without_changes(taken: Taken, refusal: Refusal) -> Taken:
    """Return the record as one to log and not to apply."""
    projected = Projected(place=taken.projected.place, log=taken.projected.log)
    return Taken(delivery=taken.delivery, projected=projected, refusal=refusal)


def without_tables(taken: Taken, tables: frozenset[str], refusal: Refusal) -> Taken:
    """Return the record as one to apply, but for its rows in these tables of V1."""
    projected = taken.projected._replace(leaves_out=taken.projected.leaves_out | tables)
    return Taken(delivery=taken.delivery, projected=projected, refusal=refusal)


def skipped(taken: Taken) -> Taken:
    """Return the record as one to go past without a trace in Postgres."""
    projected = Projected(place=taken.projected.place, log=None)
    return Taken(delivery=taken.delivery, projected=projected, refusal=taken.refusal)


def dead_letter(
    delivery: Delivery, refusal: Refusal, *, topic_prefix: str, now_ms: Callable[[], int]
) -> Envelope:
    """Make the event that puts a record aside; the same record, refused again, gives the same id."""
    place = delivery.place
    return rejected(
        Refused(
            topic=topic_prefix + place.topic,
            partition=place.partition,
            offset=place.offset,
            key=delivery.key,
            value=delivery.value,
            headers=delivery.headers,
            code=refusal.code,
            reason=refusal.reason,
        ),
        by=PRODUCER,
        now_ms=now_ms(),
    )


def _stored(delivery: Delivery, plain: Mapping[str, object]) -> Taken:
    """Take a fact of a newer program: stored, so that nothing is lost, and not applied."""
    try:
        log = unknown_log_row(plain, delivery.place)
    except Exception as error:  # its values may be of any type that Avro knows
        return _aside(delivery, "not_projectable", f"{type(error).__name__}: {error}")
    return Taken(delivery=delivery, projected=Projected(place=delivery.place, log=log))


def _aside(delivery: Delivery, code: str, reason: str) -> Taken:
    return Taken(
        delivery=delivery,
        projected=Projected(place=delivery.place, log=None),
        refusal=Refusal(code=code, reason=reason),
    )


def _misplaced(delivery: Delivery, envelope: Envelope) -> Refusal | None:
    """Tell why an event does not belong where it stands: no shell applies it, so no table shows it."""
    topic = BY_NAME[delivery.place.topic]
    if not isinstance(envelope.body, topic.facts):
        name = type(envelope.body).__name__
        return Refusal(code="wrong_topic", reason=f"{topic.name} does not carry the fact {name}")
    if topic.keying is not Keying.ANY and (delivery.key or b"") != key_of(topic, envelope):
        return Refusal(
            code="key_mismatch", reason=f"the record's key is not the {topic.keying} that its value names"
        )
    return None
