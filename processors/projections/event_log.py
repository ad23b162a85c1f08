"""Rows of `event_log`: every event of every topic of the truth, whole."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final

from processors.projections.rows import Place
from processors.projections.values import as_uuid, clean, cut, json_of, moment
from schemas.envelope import Envelope, Versions
from schemas.events.models import ModelCallCancelled, ModelCallCompleted, ModelCallFailed, ModelCallRequested
from schemas.events.plans import PlanAccepted, PlanCriticised, PlanProposed, PlanRejected
from schemas.events.policies import PolicyDecided
from schemas.events.snapshots import GraphSnapshotTaken
from schemas.events.tasks import TaskFact
from schemas.events.tools import ToolCallCancelled, ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.ids import derived_id
from schemas.plain import to_plain
from topics.catalog import USER_INPUTS

# Indexed columns: a B-tree holds no entry of more than 2,704 bytes.
_NAME_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One row of the event log; the fields are the columns, in their order."""

    event_id: str
    topic: str
    partition: int
    offset: int
    session_id: str | None
    type: str
    sequence: int
    causation_id: str | None
    correlation_id: str | None
    evidence_ids: list[str]
    subject_id: str | None
    """What the event is about: a task, call, plan, decision or snapshot. Traces start from it."""
    occurred_at: datetime
    recorded_at: datetime
    tenant_id: str
    user_id: str
    producer: str
    versions: str
    traceparent: str | None
    source: str | None
    state_digest: str | None
    body: str


COLUMNS: Final = tuple(column.name for column in fields(LogRow))


def log_row(envelope: Envelope, place: Place) -> LogRow:
    """Return an event's row."""
    return _row(
        place,
        event_id=envelope.event_id,
        session_id=envelope.session_id,
        type_=type(envelope.body).__name__,
        sequence=envelope.sequence,
        causation_id=envelope.causation_id,
        correlation_id=envelope.correlation_id,
        evidence_ids=envelope.evidence_ids,
        subject_id=_subject_of(envelope),
        occurred_at_ms=envelope.occurred_at_ms,
        texts={
            "tenant_id": envelope.tenant_id,
            "user_id": envelope.user_id,
            "producer": envelope.producer,
            "traceparent": envelope.traceparent,
            "source": envelope.source,
            "state_digest": envelope.state_digest,
        },
        versions=to_plain(envelope.versions),
        body=to_plain(envelope.body),
    )


def unknown_log_row(plain: Mapping[str, object], place: Place) -> LogRow:
    """Return the row of an event whose fact only a newer program knows; `plain` is as it was decoded."""
    evidence = plain.get("evidence_ids")
    versions = plain.get("versions")
    return _row(
        place,
        event_id=_text(plain, "event_id"),
        session_id=_text(plain, "session_id"),
        type_=_text(plain, "type"),
        sequence=_number(plain, "sequence"),
        causation_id=_text(plain, "causation_id"),
        correlation_id=_text(plain, "correlation_id"),
        evidence_ids=tuple(str(item) for item in evidence) if isinstance(evidence, list | tuple) else (),
        subject_id=None,
        occurred_at_ms=_number(plain, "occurred_at_ms"),
        texts={
            name: _text(plain, name) if plain.get(name) is not None else None
            for name in ("tenant_id", "user_id", "producer", "traceparent", "source", "state_digest")
        },
        versions=versions if isinstance(versions, Mapping) else to_plain(Versions()),
        body=_untagged(plain.get("body")),
    )


def _row(
    place: Place,
    *,
    event_id: str,
    session_id: str,
    type_: str,
    sequence: int,
    causation_id: str | None,
    correlation_id: str | None,
    evidence_ids: tuple[str, ...],
    subject_id: str | None,
    occurred_at_ms: int,
    texts: Mapping[str, str | None],
    versions: Mapping[str, object],
    body: object,
) -> LogRow:
    logged_id, correlated_id = as_uuid(event_id), as_uuid(correlation_id)
    if place.topic == USER_INPUTS.name or logged_id is None:
        # An input's own id is what the ingress shell puts on session.inputs, where it is what others name as
        # their cause. What people wrote, repeats included, gets an id by its place, and points there.
        correlated_id = logged_id
        logged_id = derived_id("log", place.topic, str(place.partition), str(place.offset))
    evidence = (as_uuid(item) for item in evidence_ids)
    return LogRow(
        event_id=logged_id,
        topic=place.topic,
        partition=place.partition,
        offset=place.offset,
        session_id=as_uuid(session_id),
        type=cut(type_, _NAME_CHARACTERS_MAX),
        sequence=sequence,
        causation_id=as_uuid(causation_id),
        correlation_id=correlated_id,
        evidence_ids=[item for item in evidence if item is not None],
        subject_id=as_uuid(subject_id),
        occurred_at=moment(occurred_at_ms or place.timestamp_ms),
        recorded_at=moment(place.timestamp_ms),
        tenant_id=cut(texts["tenant_id"] or "", _NAME_CHARACTERS_MAX),
        user_id=cut(texts["user_id"] or "", _NAME_CHARACTERS_MAX),
        producer=clean(texts["producer"] or ""),
        versions=json_of({name: value for name, value in versions.items() if value is not None}),
        traceparent=_clean(texts["traceparent"]),
        source=_clean(texts["source"]),
        state_digest=_clean(texts["state_digest"]),
        body=json_of(body),
    )


def _subject_of(envelope: Envelope) -> str | None:
    match envelope.body:
        case (
            ModelCallRequested()
            | ModelCallCancelled()
            | ModelCallCompleted()
            | ModelCallFailed()
            | ToolCallRequested()
            | ToolCallCancelled()
            | ToolCallCompleted()
            | ToolCallFailed() as fact
        ):
            return fact.call_id
        case PlanProposed() | PlanRejected() | PlanCriticised() | PlanAccepted() as fact:
            return fact.plan_id
        case PolicyDecided(decision_id=decision_id):
            return decision_id
        case GraphSnapshotTaken(snapshot_id=snapshot_id):
            return snapshot_id
        case fact if isinstance(fact, TaskFact):
            return fact.task_id
        case _:
            return None


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _text(plain: Mapping[str, object], name: str) -> str:
    value = plain.get(name)
    return value if isinstance(value, str) else ""


def _number(plain: Mapping[str, object], name: str) -> int:
    value = plain.get(name)
    return value if isinstance(value, int) else 0


def _untagged(value: object) -> object:
    """Drop the names that Avro gives to the members of unions."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str):
        return _untagged(value[1])
    if isinstance(value, Mapping):
        return {str(key): _untagged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_untagged(item) for item in value]
    return value
