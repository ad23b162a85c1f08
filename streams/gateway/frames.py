"""What a follower of a session is told: one JSON object for each output, and for each piece of an answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Self

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.deltas import ModelDeltaReceived
from schemas.events.models import CallPurpose
from schemas.ids import is_uuid
from schemas.plain import to_plain

Json = dict[str, object]
TYPES: Final = MappingProxyType(
    {
        "TurnStarted": "turn_started",
        "ProgressReported": "progress",
        "AnswerGiven": "answer",
        "ErrorReported": "error",
        "ApprovalRequested": "approval_requested",
        "ApprovalClosed": "approval_closed",
        "OutcomeAsked": "outcome_asked",
        "SessionEnded": "session_ended",
        "NoticeGiven": "notice",
    }
)
"""A frame's `type` for each fact of session.outputs; facts that are not named are not told."""
_NAMES: Final = MappingProxyType({"input_id": "messageId"})
_CURSOR: Final = re.compile(r"([0-9]{1,18})(?:\.([0-9a-f-]{36})\.([0-9]{1,9})\.([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far a follower has come; it says nothing of what it may see.

    As text: the number of the last output's event, and after pieces of an answer their call, attempt and
    index: `17` or `17.CALL.1.4`.
    """

    sequence: int = 0
    call: str = ""
    attempt: int = 0
    index: int = -1

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read a cursor; None: it is none."""
        found = _CURSOR.fullmatch(text)
        if found is None:
            return None
        sequence, call, attempt, index = found.groups()
        if call is None:
            return cls(sequence=int(sequence))
        if not is_uuid(call):
            return None
        return cls(sequence=int(sequence), call=call, attempt=int(attempt), index=int(index))

    def __str__(self) -> str:
        """Write it as `read` takes it."""
        if not self.call:
            return str(self.sequence)
        return f"{self.sequence}.{self.call}.{self.attempt}.{self.index}"

    def has_passed(self, delta: ModelDeltaReceived) -> bool:
        """Tell whether a piece was told already."""
        return self.call == delta.call_id and (delta.attempt, delta.index) <= (self.attempt, self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One thing that is told, with the cursor that stands behind it."""

    type: str
    cursor: Cursor
    body: Json

    def json(self) -> Json:
        """Return it as it is sent."""
        return {"type": self.type, **self.body, "cursor": str(self.cursor)}


def of_output(
    session_id: str, name: str, sequence: int, body: Mapping[str, object], at: datetime
) -> Frame | None:
    """Return the frame of a fact of session.outputs; None: it is of a kind that is not told."""
    kind = TYPES.get(name)
    if kind is None:
        return None
    told = {_NAMES.get(key) or _camel(key): _camel_all(value) for key, value in body.items()}
    told["sessionId"] = session_id
    told["timestamp"] = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return Frame(type=kind, cursor=Cursor(sequence=sequence), body=told)


def of_event(event: Envelope) -> Frame | None:
    """Return the frame of an output that was just read."""
    return of_output(
        event.session_id, type(event.body).__name__, event.sequence, to_plain(event.body), moment_of(event)
    )


def of_delta(event: Envelope, delta: ModelDeltaReceived, sequence: int) -> Frame | None:
    """Return the frame of a piece of an answer; None: it is of a step on the way."""
    if delta.purpose != CallPurpose.SYNTHESIZE:
        return None
    cursor = Cursor(sequence=sequence, call=delta.call_id, attempt=delta.attempt, index=delta.index)
    body: Json = {
        "sessionId": event.session_id,
        "callId": delta.call_id,
        "attempt": delta.attempt,
        "index": delta.index,
        "text": delta.text,
    }
    return Frame(type="delta", cursor=cursor, body=body)


def of_rejection(event: Envelope, rejected: RecordRejected, cursor: Cursor) -> Frame:
    """Return the frame that tells of an input that was put aside."""
    body: Json = {
        "sessionId": event.session_id,
        "messageId": event.causation_id,
        "code": str(rejected.code),
        "message": rejected.reason,
        "timestamp": moment_of(event).isoformat(timespec="milliseconds"),
    }
    return Frame(type="error", cursor=cursor, body=body)


def moment_of(event: Envelope) -> datetime:
    """Return when an event occurred, by itself."""
    return datetime.fromtimestamp(event.occurred_at_ms / 1_000, UTC)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _camel_all(value: object) -> object:
    if isinstance(value, Mapping):
        return {_camel(str(key)): _camel_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_camel_all(item) for item in value]
    return value
