"""How effect shells report outcomes."""

from schemas.envelope import Envelope, Fact
from schemas.ids import derived_id


def result_of(
    event: Envelope, body: Fact, call_id: str, producer: str, now_ms: int, kind: str = "result"
) -> Envelope:
    """Wrap an outcome of the call `event`; the same call and kind always give the same event id."""
    return Envelope(
        event_id=derived_id(call_id, kind),
        type=type(body).__name__,
        session_id=event.session_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        causation_id=event.event_id,
        correlation_id=event.correlation_id,
        occurred_at_ms=now_ms,
        producer=producer,
        versions=event.versions,
        traceparent=event.traceparent,
        body=body,
    )
