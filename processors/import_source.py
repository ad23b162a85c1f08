"""Where a conversation of V1 comes from, what an earlier backfill made of it, and which ids it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Final

import orjson

from schemas.envelope import Envelope
from schemas.events.imports import ImportFact, TaskColumns
from schemas.frozen import replace
from schemas.ids import derived_id, is_uuid
from schemas.plain import to_plain

PRODUCER: Final = "backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which V1 is brought over, for whom, and when."""

    origin: str
    """Its name, part of every id that is made."""
    tenant_id: str
    user_id: str
    """Of a session whose owner V1 does not say."""
    as_of_us: int
    """The moment of the import, in microseconds since 1970."""
    running_within_us: int
    """A conversation that nothing says the end of is running if its newest message is not older."""
    messages_in_place: bool = False
    invocations_in_place: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A task that an earlier backfill had made."""

    task_id: str
    columns: TaskColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """What an earlier backfill had made of a conversation."""

    root: Kept | None = None
    subtasks: Mapping[tuple[str, int], tuple[Kept, ...]] = field(default_factory=dict)
    """By intent and time of creation, in microseconds."""
    snapshot_id: str | None = None


NOTHING: Final = LeftBehind()


def session_id_of(origin: str, key: str) -> str:
    """Return the id that a session of V1 has in V2: its own where that is a UUID."""
    return id_of(origin, "session", key)


def event_of(
    source: Source,
    fact: ImportFact,
    key: str,
    at_ms: int,
    session_id: str = "",
    user_id: str = "",
    identity: object = None,
) -> Envelope:
    """Return a fact's event; its id follows from V1's row and from what the fact says.

    What an earlier pass told of a cost is no part of the id: the same row of V1 gives the same event, or one
    that `again` names after it.

    Args:
        source: which V1.
        fact: what it says.
        key: of V1's row.
        at_ms: when it happened.
        session_id: of V2.
        user_id: whose the session is.
        identity: what stands for the fact where some of it follows from the moment of the import.
    """
    said = to_plain(fact) if identity is None else identity
    if isinstance(said, dict):
        said.pop("cost_tokens_before", None)
    digest = sha1(
        orjson.dumps([session_id, source.tenant_id, user_id, said]), usedforsecurity=False
    ).hexdigest()
    kind = type(fact).__name__
    return Envelope(
        event_id=derived_id("import", source.origin, kind, key, digest),
        type=kind,
        session_id=session_id,
        tenant_id=source.tenant_id,
        user_id=user_id or source.user_id,
        occurred_at_ms=at_ms,
        producer=PRODUCER,
        body=fact,
    )


def again(event: Envelope, told: Sequence[str]) -> Envelope | None:
    """Return the event as it stands behind others of the same row; None where the newest of them says it.

    Args:
        event: as `event_of` makes it.
        told: ids of the events of the row that are on the log, the newest last.
    """
    said = event.event_id
    if not told:
        return event
    if told[-1] == said or (len(told) > 1 and told[-1] == _again_id(said, told[-2])):
        return None
    # V1 took a change back: the same was said before, and would count as that event.
    return replace(event, event_id=_again_id(said, told[-1])) if said in told else event


def _again_id(said: str, after: str) -> str:
    return derived_id("import-again", said, after)


def id_of(origin: str, kind: str, key: str) -> str:
    """Return what a row of V1 is called in V2: by its own id where that is a UUID."""
    lower = key.lower()
    return lower if is_uuid(lower) else derived_id("import", origin, kind, key)
