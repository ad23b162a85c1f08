"""Rows of `event_log`: every event of every topic of the truth, whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, get_args

from processors.projections.rows import Place
from processors.projections.values import as_uuid, clean, cut, json_of, moment
from schemas.envelope import Envelope, Fact, Versions
from schemas.events.client_calls import ClientAnswerFact
from schemas.events.imports import (
    BaselineImported,
    ConversationImported,
    InvocationImported,
    MessageImported,
    RetrievalImported,
)
from schemas.events.models import ModelCallFact, ModelResultFact
from schemas.events.plans import PlanFact
from schemas.events.policies import PolicyDecided
from schemas.events.snapshots import GraphSnapshotTaken
from schemas.events.tasks import CallFact, TaskFact
from schemas.events.tools import ToolCallFact, ToolResultFact
from schemas.ids import derived_id
from schemas.plain import to_plain
from topics.catalog import ENTRANCES

_ENTRANCES: Final = frozenset(topic.name for topic in ENTRANCES)
# Indexed columns: a B-tree holds no entry of more than 2,704 bytes.
_NAME_CHARACTERS_MAX: Final = 200


class LogRow(NamedTuple):
    """One row of the event log; the fields are the columns, in their order, so that it is copied as it is."""

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
    """What the event is about: a task, call, plan, decision, snapshot or message. Traces start from it."""
    occurred_at: str
    recorded_at: str
    tenant_id: str
    user_id: str
    producer: str
    versions: str
    traceparent: str | None
    source: str | None
    state_digest: str | None
    body: str


COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(LogRow._fields, "text"),
        **dict.fromkeys(("event_id", "session_id", "causation_id", "correlation_id", "subject_id"), "uuid"),
        **dict.fromkeys(("occurred_at", "recorded_at"), "timestamptz"),
        **dict.fromkeys(("versions", "body"), "jsonb"),
        "partition": "integer",
        "offset": "bigint",
        "sequence": "bigint",
        "evidence_ids": "uuid[]",
    }
)
"""The type of every column, in their order."""
# What names the subject, by fact.
_SUBJECTS: Final[dict[type, str]] = {
    **dict.fromkeys((*get_args(ModelCallFact), *get_args(ModelResultFact)), "call_id"),
    **dict.fromkeys((*get_args(ToolCallFact), *get_args(ToolResultFact)), "call_id"),
    **dict.fromkeys(get_args(ClientAnswerFact), "call_id"),
    **dict.fromkeys(get_args(PlanFact), "plan_id"),
    **dict.fromkeys((*get_args(TaskFact), *get_args(CallFact)), "task_id"),
    PolicyDecided: "decision_id",
    GraphSnapshotTaken: "snapshot_id",
    ConversationImported: "task_id",
    MessageImported: "message_id",
    InvocationImported: "invocation_id",
    RetrievalImported: "retrieval_id",
    BaselineImported: "snapshot_id",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What an envelope says beside its fact and its versions."""

    event_id: str
    session_id: str
    sequence: int
    causation_id: str | None
    correlation_id: str | None
    evidence_ids: tuple[str, ...]
    occurred_at_ms: int
    tenant_id: str
    user_id: str
    producer: str
    traceparent: str | None
    source: str | None
    state_digest: str | None


def subject_of(fact: Fact) -> str | None:
    """Return the id of what a fact is about; None where it is about no one thing."""
    subject = _SUBJECTS.get(type(fact))
    return None if subject is None else getattr(fact, subject)


def log_row(envelope: Envelope, place: Place) -> LogRow:
    """Return an event's row."""
    body = envelope.body
    return _row(
        envelope,
        place,
        type_=type(body).__name__,
        subject_id=subject_of(body),
        versions=_versions_json(envelope.versions),
        body=json_of(to_plain(body)),
    )


def unknown_log_row(plain: Mapping[str, object], place: Place) -> LogRow:
    """Return the row of an event whose fact only a newer program knows; `plain` is as it was decoded."""
    evidence = plain.get("evidence_ids")
    versions = plain.get("versions")
    head = _Head(
        event_id=_text(plain, "event_id"),
        session_id=_text(plain, "session_id"),
        sequence=_number(plain, "sequence"),
        causation_id=_text(plain, "causation_id"),
        correlation_id=_text(plain, "correlation_id"),
        evidence_ids=tuple(str(item) for item in evidence) if isinstance(evidence, list | tuple) else (),
        occurred_at_ms=_number(plain, "occurred_at_ms"),
        tenant_id=_text(plain, "tenant_id"),
        user_id=_text(plain, "user_id"),
        producer=_text(plain, "producer"),
        traceparent=_optional_text(plain, "traceparent"),
        source=_optional_text(plain, "source"),
        state_digest=_optional_text(plain, "state_digest"),
    )
    return _row(
        head,
        place,
        type_=_text(plain, "type"),
        subject_id=None,
        versions=_named(versions if isinstance(versions, Mapping) else {}),
        body=json_of(_untagged(plain.get("body"))),
    )


def _row(
    head: Envelope | _Head, place: Place, *, type_: str, subject_id: str | None, versions: str, body: str
) -> LogRow:
    logged_id, correlated_id = as_uuid(head.event_id), as_uuid(head.correlation_id)
    entered = place.topic in _ENTRANCES
    if entered or logged_id is None:
        # An input's own id is what the ingress shell puts on session.inputs, where it is what others name as
        # their cause. What people wrote, repeats included, gets an id by its place, and points there.
        correlated_id = logged_id
        logged_id = derived_id("log", place.topic, str(place.partition), str(place.offset))
    # By place in the row: naming two dozen fields takes as long as all else here.
    return LogRow(
        logged_id,
        place.topic,
        place.partition,
        place.offset,
        as_uuid(head.session_id),
        _name(type_),
        head.sequence,
        as_uuid(head.causation_id),
        correlated_id,
        [item for item in map(as_uuid, head.evidence_ids) if item is not None] if head.evidence_ids else [],
        as_uuid(subject_id),
        # Of what enters, Kafka's time counts, whatever its producer says.
        moment(place.timestamp_ms if entered else head.occurred_at_ms or place.timestamp_ms),
        moment(place.timestamp_ms),
        _name(head.tenant_id),
        _name(head.user_id),
        clean(head.producer),
        versions,
        _clean(head.traceparent),
        _clean(head.source),
        _clean(head.state_digest),
        body,
    )


@lru_cache(maxsize=4_096)
def _name(text: str) -> str:
    return cut(text, _NAME_CHARACTERS_MAX)


@lru_cache(maxsize=256)
def _versions_json(versions: Versions) -> str:
    return _named(to_plain(versions))


def _named(versions: Mapping[str, object]) -> str:
    return json_of({name: value for name, value in versions.items() if value is not None})


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _text(plain: Mapping[str, object], name: str) -> str:
    value = plain.get(name)
    return value if isinstance(value, str) else ""


def _optional_text(plain: Mapping[str, object], name: str) -> str | None:
    return None if plain.get(name) is None else _text(plain, name)


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
