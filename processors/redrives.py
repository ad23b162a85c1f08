"""Records that were put aside and are tried again: who may ask for what, and what may be changed of one.

A redrive is asked for by an operator and carried out by a worker, which may write to every topic. So what is
asked for is narrow: records go back byte for byte, as they were put aside, to where they stood, and only what
came by `user.inputs`, where anybody may write, may be changed, never in what says whose it is.
"""

import json
import re
import struct
from collections.abc import Mapping
from typing import Final

from processors.inputs import REASON_CHARACTERS_MAX, InputInvalid
from processors.objections import EVERY_TENANT
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import OperatorFact, SentFact, SessionForked
from schemas.events.redrives import LetterGroup, RedriveRequested
from schemas.frozen import replace
from schemas.ids import derived_id, is_uuid
from schemas.plain import from_plain, to_plain
from topics.catalog import BY_NAME, USER_INPUTS

LETTERS_MAX: Final = 1_000
"""Letters that a request names one by one."""
RECORDS_PER_S_MAX: Final = 1_000
RECORDS_PER_S_DEFAULT: Final = 200
EDIT_BYTES_MAX: Final = 65_536
EDIT_DEPTH_MAX: Final = 16
_WIRE_HEAD: Final = struct.Struct(">bI")
_PROTECTED: Final = re.compile("tenant|user|session|approval", re.IGNORECASE)
_ID: Final = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER: Final = re.compile(r"[0-9][0-9,.]*[0-9]|[0-9]")
_CUT: Final = re.compile(
    r"\(only the first \d+ of its \d+ bytes are kept here\)|\(its key or headers are not kept whole\)$"
)


def checked_redrive(event: Envelope, *, taken_at_ms: int) -> Envelope:
    """Return an operator's wish that records be tried again, as the worker that does it gets it.

    Args:
        event: as it was sent to the topic of operators' acts.
        taken_at_ms: when Kafka took it.

    Raises:
        InputInvalid: it cannot be used; the sentence is for the sender.
    """
    body = event.body
    assert isinstance(body, RedriveRequested)
    if not is_uuid(event.event_id):
        raise InputInvalid("event_id is not a UUID in canonical form")
    if bool(body.letters) == (body.group is not None):
        raise InputInvalid("a redrive is of some letters, or of a group of them: one of the two")
    if len(body.letters) > LETTERS_MAX:
        raise InputInvalid(f"there are {len(body.letters):,} letters; the most is {LETTERS_MAX:,}")
    if not all(map(is_uuid, body.letters)):
        raise InputInvalid("a letter is named by its event id, a UUID in canonical form")
    if body.group is not None and len(body.group.reason) > REASON_CHARACTERS_MAX:
        raise InputInvalid(f"the group's reason has more than {REASON_CHARACTERS_MAX:,} characters")
    if not 1 <= body.records_per_s_max <= RECORDS_PER_S_MAX:
        raise InputInvalid(f"records_per_s_max is {body.records_per_s_max}; it is 1 to {RECORDS_PER_S_MAX:,}")
    if event.tenant_id not in (EVERY_TENANT, body.tenant):
        raise InputInvalid("an operator of one tenant redrives letters of that tenant alone")
    if body.edit_json is not None:
        edit_of(body.edit_json)
        if body.group is not None and body.group.topic != USER_INPUTS.name:
            raise InputInvalid(f"only records of {USER_INPUTS.name} may be changed")
    return Envelope(
        event_id=event.event_id,
        type=type(body).__name__,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        occurred_at_ms=taken_at_ms,
        producer=event.producer,
        traceparent=event.traceparent,
        body=body,
    )


def edit_of(edit_json: str) -> Mapping[str, object]:
    """Read what is to be merged into a record's fact.

    Raises:
        InputInvalid: it is no JSON object, or changes whose the record is.
    """
    if len(edit_json.encode(errors="replace")) > EDIT_BYTES_MAX:
        raise InputInvalid(f"the edit has more than {EDIT_BYTES_MAX:,} bytes")
    try:
        edit = json.loads(edit_json)
    except (ValueError, RecursionError):
        edit = None
    if not isinstance(edit, dict) or not edit:
        raise InputInvalid("the edit is no JSON object with fields of the record")
    if _depth(edit) > EDIT_DEPTH_MAX:
        raise InputInvalid(f"the edit is nested deeper than {EDIT_DEPTH_MAX}")
    for name in edit:
        if _PROTECTED.search(name) or name == "type":
            raise InputInvalid(f"{name[:50]} is never changed: it says whose the record is, or what it does")
    return edit


def edited(event: Envelope, edit: Mapping[str, object], redrive_id: str, letter_id: str) -> Envelope:
    """Return a copy of a record's event with some of what it says changed, and an id of its own.

    Raises:
        InputInvalid: it may not be changed so; the sentence is for the operator.
    """
    body = event.body
    name = type(body).__name__
    if not isinstance(body, SentFact) or isinstance(body, OperatorFact | SessionForked):
        raise InputInvalid(f"{name} is nothing that anybody may say, and is never changed")
    plain = to_plain(body)
    for field in edit:
        if field not in plain:
            raise InputInvalid(f"{name} has no field {field[:50]}")
    try:
        changed = from_plain(type(body), _merged(plain, edit))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputInvalid(f"{name} cannot be changed so: {type(error).__name__}") from error
    return replace(event, event_id=derived_id(letter_id, "edited", redrive_id), body=changed)


def _merged(plain: Mapping[str, object], edit: Mapping[str, object]) -> dict[str, object]:
    """Merge as RFC 7386 says: an object into an object, null takes a field away, all else replaces."""
    merged = dict(plain)
    for name, value in edit.items():
        before = merged.get(name)
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            merged[name] = _merged(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


def _depth(value: object) -> int:
    deepest, level = 0, [value]
    while level := [
        inner
        for one in level
        if isinstance(one, Mapping | list)
        for inner in (one.values() if isinstance(one, Mapping) else one)
    ]:
        deepest += 1
    return deepest


def is_wanted(request: RedriveRequested, letter: Envelope, topic_prefix: str) -> bool:
    """Tell whether a redrive is about a letter."""
    body = letter.body
    if not isinstance(body, RecordRejected):
        return False
    if request.tenant is not None and letter.tenant_id != request.tenant:
        return False
    if request.user is not None and letter.user_id != request.user:
        return False
    until_ms = request.put_aside_until_ms
    if until_ms is not None and letter.occurred_at_ms > until_ms:
        return False
    if request.group is None:
        return letter.event_id in request.letters
    return group_of(body, topic_prefix) == request.group


def group_of(letter: RecordRejected, topic_prefix: str) -> LetterGroup:
    """Return with which others a letter belongs together."""
    return LetterGroup(
        code=str(letter.code),
        topic=letter.topic.removeprefix(topic_prefix),
        schema_id=schema_id_of(letter.value),
        reason=reason_in_common(letter.reason),
    )


def schema_id_of(value: bytes | None) -> int | None:
    """Return the id of the schema that a value names; None: it is not in the wire format."""
    if value is None or len(value) < _WIRE_HEAD.size or value[0] != 0:
        return None
    return int(_WIRE_HEAD.unpack_from(value)[1])


def reason_in_common(reason: str) -> str:
    """Return a reason without what differs from record to record: ids, quoted texts and numbers."""
    told = _QUOTED.sub("'…'", _ID.sub("…", reason))
    return _NUMBER.sub("…", told)[:REASON_CHARACTERS_MAX]


def is_whole(letter: RecordRejected) -> bool:
    """Tell whether a letter holds all of its record."""
    return _CUT.search(letter.reason) is None


def topic_named(letter: RecordRejected, topic_prefix: str) -> str | None:
    """Return the topic on which a record stood, by its name in the catalogue; None: it is none of ours."""
    name = letter.topic.removeprefix(topic_prefix)
    return name if letter.topic.startswith(topic_prefix) and name in BY_NAME else None
