"""Identifiers: who and what an event is about, and how new ones follow from their causes.

Every id that a decider makes is a UUIDv5 of its cause, so that deciding again gives the same ids.
"""

import uuid
from typing import Final, NewType

EventId = NewType("EventId", str)

# Consumers drop repeats by ids made under this namespace; changing it repeats every side effect.
NAMESPACE: Final = uuid.UUID("6f0c4a2e-5d0b-5c57-9a53-3c1f6a8b2d41")


def event_id_of(cause: str, index: int) -> EventId:
    """Return the id of the `index`-th event (from 0) caused by the event `cause`."""
    return EventId(derived_id(cause, "event", str(index)))


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 of `parts`, in canonical text form; the same parts always give the same id."""
    return str(uuid.uuid5(NAMESPACE, "/".join(parts)))


def is_uuid(text: str) -> bool:
    """Tell whether `text` is a UUID in canonical form: 36 characters, lower case, with hyphens."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False
