"""Records that are put aside: the event that keeps one, with its bytes, its place and the reason.

Kafka bounds a record by its compressed size, and a sender's names by nothing. A letter always fits its topic
all the same: else the record that could not be used could not be put aside either, and came back for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from processors.redaction.masking import masked, texts_of
from processors.redaction.redactor import PATTERNS_ALONE
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordHeader, RecordRejected, RejectionCode
from schemas.ids import derived_id, is_uuid
from schemas.surrogates import mended
from topics.catalog import RECORD_BYTES_MAX

REASON_CHARACTERS_MAX: Final = 2_000
NAME_CHARACTERS_MAX: Final = 200
KEY_BYTES_MAX: Final = 10_000
HEADERS_BYTES_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A record as it came, and why it cannot be used."""

    topic: str
    """Full name, with the configured prefix."""
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    code: str
    reason: str
    event: Envelope | None = None
    """As far as it could be read."""


def rejected(record: Refused, *, by: str, now_ms: int) -> Envelope:
    """Make the event that puts a record aside; the same record, refused again, gives the same id.

    Whatever fits a record of its topic is kept whole; of more than that, the beginning. Credentials in it are
    written over by as many asterisks, so that what is read and redriven is of the same form.

    Args:
        record: what cannot be used.
        by: name of the shell or sink.
        now_ms: the time.
    """
    event = record.event
    headers = _kept([(name, None if text is None else masked(text)) for name, text in record.headers])
    key = None if record.key is None else masked(record.key)[:KEY_BYTES_MAX]
    room_bytes = RECORD_BYTES_MAX - len(key or b"") - _size_bytes(headers)
    texts = None if event is None else list(texts_of(event.body))
    value = None if record.value is None else masked(record.value, texts)[:room_bytes]
    reason = PATTERNS_ALONE.text(record.reason)[:REASON_CHARACTERS_MAX]
    if record.value is not None and value is not None and len(value) < len(record.value):
        reason += f" (only the first {len(value)} of its {len(record.value)} bytes are kept here)"
    if len(headers) < len(record.headers) or len(key or b"") < len(record.key or b""):
        reason += " (its key or headers are not kept whole)"
    return mended(
        Envelope(
            event_id=derived_id(record.topic, str(record.partition), str(record.offset), by, record.code),
            type=RecordRejected.__name__,
            session_id=event.session_id if event is not None and is_uuid(event.session_id) else "",
            tenant_id=event.tenant_id[:NAME_CHARACTERS_MAX] if event is not None else "default",
            user_id=event.user_id[:NAME_CHARACTERS_MAX] if event is not None else "anonymous",
            causation_id=event.event_id if event is not None and is_uuid(event.event_id) else None,
            correlation_id=event.correlation_id
            if event is not None and is_uuid(event.correlation_id or "")
            else None,
            occurred_at_ms=now_ms,
            producer=by,
            body=RecordRejected(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=key,
                value=value,
                headers=tuple(RecordHeader(name=name, value=text) for name, text in headers),
                code=RejectionCode(record.code),
                reason=reason,
                shell=by,
            ),
        )
    )


def _kept(headers: Sequence[tuple[str, bytes | None]]) -> Sequence[tuple[str, bytes | None]]:
    left_bytes, kept = HEADERS_BYTES_MAX, []
    for header in headers:
        left_bytes -= _size_bytes([header])
        if left_bytes < 0:
            break
        kept.append(header)
    return kept


def _size_bytes(headers: Sequence[tuple[str, bytes | None]]) -> int:
    return sum(len(name.encode(errors="replace")) + len(text or b"") + 8 for name, text in headers)
