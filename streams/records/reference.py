"""How deciders name a text that stands on the log."""

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.models import ModelCallCompleted
from schemas.events.tools import ToolCallCompleted, ToolCallFailed
from schemas.references import RecordReference
from streams.records.delivery import Delivery


def reference_to(delivery: Delivery, event: Envelope) -> RecordReference:
    """Return the reference by which a decider may name this record from now on."""
    return RecordReference(
        topic=delivery.topic,
        partition=delivery.partition,
        offset=delivery.offset,
        event_id=event.event_id,
        tokens=tokens_of(event),
    )


def tokens_of(event: Envelope) -> int:
    """Return the tokens of the text that a prompt takes from `event`, or an upper bound of them."""
    body = event.body
    if isinstance(body, MessageReceived | SessionForked):
        return body.tokens
    if isinstance(body, ModelCallCompleted):
        return body.output_tokens
    if isinstance(body, ToolCallCompleted):
        return body.result_tokens
    if isinstance(body, ToolCallFailed):
        # Errors are short and not counted; every token has at least one byte.
        return len(body.message.encode())
    return 0
