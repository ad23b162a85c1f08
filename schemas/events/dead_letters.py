"""Records that could not be used: the facts of `dead.letters`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """One header of a Kafka record."""

    name: str
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRejected:
    """A record was put aside with its bytes, its place and the reason; its neighbours went on."""

    topic: str
    """Full name, with the configured prefix."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[RecordHeader, ...]
    code: str
    """Such as not_avro, unknown_schema, no_value, key_mismatch, too_large, invalid_input or quarantined."""
    reason: str
    """One sentence for a person."""
    shell: str


DeadLetterFact = RecordRejected
