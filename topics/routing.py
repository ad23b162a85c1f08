"""Where a record goes: its key by the topic's keying, its partition by Java's murmur2."""

from functools import lru_cache
from typing import Final

from aiokafka.partitioner import murmur2  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.events.access import TokenCreated, TokenRevoked
from schemas.events.accounts import (
    LeaseGranted,
    LeaseRefused,
    LeaseRequested,
    LeaseReturned,
    LeaseSettled,
)
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.events.configurations import ConfigurationPublished
from schemas.events.redrives import LetterRedriven, RedriveEnded, RedriveRequested
from schemas.events.restraints import (
    RestraintFact,
    ServerToolsRestored,
    ServerToolsWithheld,
)
from schemas.events.tools import ToolOutcomeObserved
from topics.catalog import Keying, Topic

_POSITIVE: Final = 0x7FFFFFFF
_LEASES: Final = (LeaseRequested, LeaseReturned, LeaseGranted, LeaseRefused, LeaseSettled)


def key_of(topic: Topic, envelope: Envelope) -> bytes:
    """Return the key under which `envelope` stands on `topic`; empty when it has none."""
    body = envelope.body
    if isinstance(body, RestraintFact):
        # Likewise where an operator's act enters: what is about one name keeps its order.
        return restraint_key(body)
    if isinstance(body, RedriveRequested):
        return envelope.event_id.encode()
    if isinstance(body, LetterRedriven | RedriveEnded):
        return body.redrive_id.encode()
    if topic.keying is Keying.ACCOUNT and isinstance(body, _LEASES):
        return body.account_id.encode()
    if topic.keying is Keying.TOOL and isinstance(body, ToolOutcomeObserved | ToolCapabilityMeasured):
        return f"{body.tool}@{body.tool_version}".encode()
    if topic.keying is Keying.HASH and isinstance(body, ConfigurationPublished):
        return f"{body.kind}/{body.content_hash}".encode()
    if topic.keying is Keying.TOKEN and isinstance(body, TokenCreated | TokenRevoked):
        return body.token_id.encode()
    if topic.keying is Keying.ANY:
        # A letter that is written again after a crash meets its first copy, so that their order is one.
        return (envelope.session_id or envelope.event_id).encode()
    return envelope.session_id.encode()


def restraint_key(fact: RestraintFact) -> bytes:
    """Return what a restraint is about; of each only the newest counts."""
    if isinstance(fact, ServerToolsWithheld | ServerToolsRestored):
        return f"server/{fact.server}/{fact.tenant}".encode()
    return f"stop/{fact.name}".encode()


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of `key` as the Java client chooses it.

    Everything behind the ingress shell writes with this, so that all of a session's records meet one owner.
    """
    return int(murmur2(key) & _POSITIVE) % partitions
