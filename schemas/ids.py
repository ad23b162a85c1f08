"""Identifiers: who and what an event is about, and how new ones follow from their causes.

Every id that a decider makes is a UUIDv5 of its cause, so that deciding again gives the same ids.
"""

import re
import uuid
from hashlib import sha1
from typing import Final, NewType

EventId = NewType("EventId", str)

# Consumers drop repeats by ids made under this namespace; changing it repeats every side effect.
NAMESPACE: Final = uuid.UUID("6f0c4a2e-5d0b-5c57-9a53-3c1f6a8b2d41")
OUTCOME: Final = "result"
_NAMESPACE_BYTES: Final = NAMESPACE.bytes
# RFC 9562 sets the two highest bits of the ninth byte.
_VARIANTS: Final = {digit: f"{int(digit, 16) & 0x3 | 0x8:x}" for digit in "0123456789abcdef"}
_CANONICAL: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def event_id_of(cause: str, index: int) -> EventId:
    """Return the id of the `index`-th event (from 0) caused by the event `cause`."""
    return EventId(derived_id(cause, "event", str(index)))


def outcome_id(call_id: str, kind: str = OUTCOME) -> str:
    """Return the one event id that the outcome of a call, or what else of it, can have."""
    return derived_id(call_id, kind)


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 of `parts`, in canonical text form; the same parts always give the same id."""
    # What `uuid.uuid5` gives, at a third of its time; every event takes one or more of these.
    digest = sha1(_NAMESPACE_BYTES + "/".join(parts).encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANTS[digest[16]]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form: 36 characters, lower case, with hyphens."""
    return _CANONICAL.fullmatch(text) is not None
