"""Records that could not be used: the facts of `dead.letters`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal, PersonalBytes
from schemas.words import Word


class RejectionCode(Word):
    """Why a record cannot be used."""

    NO_VALUE = "no_value"
    """The record has no value."""
    NOT_AVRO = "not_avro"
    """The value is no event in Confluent's wire format, or a field is not of the type that is promised."""
    UNKNOWN_SCHEMA = "unknown_schema"
    """The registry has no schema of the id in the value."""
    WRONG_TOPIC = "wrong_topic"
    """The topic does not carry such a fact."""
    KEY_MISSING = "key_missing"
    """The record has no key."""
    KEY_MISMATCH = "key_mismatch"
    """The key is not what the value names."""
    INVALID_INPUT = "invalid_input"
    """The event says what no event may say."""
    TOO_LARGE = "too_large"
    """What it causes is too large for the log."""
    QUARANTINED = "quarantined"
    """The decider failed on it or an earlier input of the same key, or the key's record is damaged."""
    ENDED = "ended"
    """The session ended long ago, and its state has left."""
    NOT_OWNER = "not_owner"
    """The session belongs to somebody else than whoever sent it."""
    UNEXPECTED_OUTCOME = "unexpected_outcome"
    """No call of the session waits for such an outcome."""
    NOT_PROJECTABLE = "not_projectable"
    """No rows can be made of it."""
    ROW_REFUSED = "row_refused"
    """Postgres refuses its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHeader:
    """One header of a Kafka record."""

    name: Impersonal
    value: PersonalBytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRejected:
    """A record was put aside with its bytes, its place and the reason; its neighbours went on."""

    topic: Impersonal
    """Full name, with the configured prefix."""
    partition: int
    offset: int
    key: PersonalBytes | None
    value: PersonalBytes | None
    headers: tuple[RecordHeader, ...]
    code: RejectionCode
    reason: Personal
    """One sentence for a person."""
    shell: Impersonal


DeadLetterFact = RecordRejected
