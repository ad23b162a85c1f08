"""What operators did to the deployment itself, and to no session: the facts of `maintenance.events`."""

from dataclasses import dataclass

from schemas.privacy import Impersonal, Personal
from schemas.words import Word


class Prunable(Word):
    """What may be deleted without any promise being broken."""

    DELTAS = "deltas"
    """Pieces of answers that are past their topic's retention."""
    SHADOW = "shadow"
    """Shadow tables of a rebuild that nobody goes on with."""
    SNAPSHOTS = "snapshots"
    """Snapshot files that another one makes useless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPartition:
    """A partition, of which what stands before an offset goes."""

    partition: int
    before_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedThing:
    """One thing that is deleted."""

    kind: Prunable
    name: Personal
    """A topic, a schema of Postgres, or the path of a file."""
    cut: tuple[CutPartition, ...] = ()
    """Of a topic."""
    records: int | None = None
    """Of a topic, how many go; of a shadow, how many were read into it."""
    bytes: int | None = None
    """Absent: they are free only when Kafka drops segments."""
    why: Personal
    """Why it may go, as a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequested:
    """An operator wants things deleted; it stands on the log before the first of them goes.

    The envelope's `user_id` is the operator.
    """

    things: tuple[PrunedThing, ...]
    reason: Personal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneEnded:
    """What was wanted was deleted, but for what is named here."""

    request_id: Impersonal
    """Event id of the PruneRequested."""
    deleted: int
    """Of the things."""
    faults: tuple[Personal, ...] = ()
    """Why others were not, a sentence each."""


MaintenanceFact = PruneRequested | PruneEnded
