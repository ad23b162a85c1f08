"""A key of a shell with state, as it stands in memory between its records."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar, get_args

from schemas.envelope import Envelope
from schemas.events.inputs import OperatorFact
from schemas.events.schedules import ScheduleDeleted, SchedulePaused, ScheduleResumed
from streams.records.delivery import REDRIVEN_HEADER, Delivery, Outgoing
from streams.stateful.stored_record import NEVER, TEXT_CHARACTERS_MAX, StoredRecord
from topics.catalog import RECORD_BYTES_MAX

State = TypeVar("State")

STORED_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024
"""Largest value of a table's record; the rest is for its key and the batch's header."""
_ACTS: Final = (*get_args(OperatorFact), SchedulePaused, ScheduleResumed, ScheduleDeleted)
PARKED_MAX: Final = 10_000
"""Inputs put aside for one quarantined key that a redrive still knows of."""


@dataclass(slots=True, kw_only=True)
class Loaded(Generic[State]):
    """A key as it stands in memory."""

    key: bytes
    partition: int
    state: State
    stored: StoredRecord
    outbox: list[Outgoing] = field(default_factory=list)
    """Not known to be published, in order; changed by `cause` and `confirm` alone."""
    outbox_bytes: int = 0
    """What the outbox adds to the record, at most."""
    publishing: int = 0
    """So many of the outbox, from its beginning, a batch under way publishes."""
    storing: int = 0
    """So many batches under way store this key."""
    changed: bool = False
    """True while it differs from what is in the table or on its way there."""

    @property
    def is_idle(self) -> bool:
        """Tell whether the table holds all of it, and all that it caused is published."""
        return not (self.changed or self.storing or self.outbox)

    def cause(self, records: Sequence[Outgoing], size_bytes: int) -> None:
        """Put caused records, with what they add to the outbox, behind those not known to be published."""
        self.outbox.extend(records)
        self.outbox_bytes += size_bytes

    def take_unpublished(self) -> Sequence[Outgoing]:
        """Return what no batch publishes yet; from now on one does."""
        taken = self.outbox[self.publishing :]
        self.publishing = len(self.outbox)
        return taken

    def confirm(self, records: Sequence[Outgoing]) -> None:
        """Drop the oldest records: they are published."""
        del self.outbox[: len(records)]
        self.publishing -= len(records)
        self.outbox_bytes = self.outbox_bytes - outbox_bytes_of(records) if self.outbox else 0

    def encode(self) -> bytes:
        """Write the table's record, with the outbox as it is now."""
        self.stored.outbox = [(record.topic.name, record.value) for record in self.outbox]
        return self.stored.encode()

    def after(self, delivery: Delivery, event: Envelope, state: bytes, due_at_ms: int) -> StoredRecord:
        """Return the record as it is after an input was applied, still without its outbox."""
        # An operator who acts in a session, or on a schedule, does not become its owner.
        owner = self.stored if isinstance(event.body, _ACTS) else event
        return StoredRecord(
            state=state,
            positions={**self.stored.positions, delivery.topic: delivery.offset},
            parked=list(self.stored.parked),
            due_at_ms=due_at_ms,
            tenant_id=owner.tenant_id,
            user_id=owner.user_id,
        )

    def park(self, delivery: Delivery, *, instead_of: tuple[str, int] | None) -> None:
        """Note an input that was put aside; a redriven one takes the place of the record it repeats."""
        if instead_of is not None:
            self.stored.unpark(instead_of)
        if len(self.stored.parked) < PARKED_MAX:
            self.stored.parked.append((delivery.topic, delivery.offset))
        # A quarantined key's timers wait too; the state that holds them is untouched.
        self.stored.due_at_ms = NEVER
        self.pass_over(delivery)

    def pass_over(self, delivery: Delivery) -> None:
        """Move the position past an input that was not applied."""
        self.stored.positions[delivery.topic] = delivery.offset
        self.changed = True


def outbox_bytes_of(records: Sequence[Outgoing]) -> int:
    """Return how much records add to the record whose outbox holds them, at most."""
    size_bytes = 0
    for record in records:
        size_bytes += 8 + len(record.topic.name) + len(record.value)
    return size_bytes


def too_large(candidate: StoredRecord, outbox_bytes: int, caused: Sequence[Outgoing]) -> str | None:
    """Return a sentence when a record would be larger than Kafka takes, else None."""
    size_bytes = candidate.size_bytes + outbox_bytes
    if size_bytes > STORED_BYTES_MAX:
        return f"the key's record would have {size_bytes:,} bytes; the most is {STORED_BYTES_MAX:,}"
    if max(len(candidate.tenant_id), len(candidate.user_id)) > TEXT_CHARACTERS_MAX:
        return f"a tenant's or user's name has more than {TEXT_CHARACTERS_MAX:,} characters"
    for record in caused:
        if record.size_bytes > RECORD_BYTES_MAX:
            name = type(record.event.body).__name__
            return f"{name} would have {record.size_bytes:,} bytes; the most is {RECORD_BYTES_MAX:,}"
    return None


def redriven_place(delivery: Delivery) -> tuple[str, int] | None:
    """Return topic and offset of the record that this one tries again, or None for a fresh one."""
    header = delivery.header(REDRIVEN_HEADER)
    if header is None:
        return None
    topic, _, rest = header.decode(errors="replace").partition("/")
    offset = rest.rpartition("/")[2]
    return (topic, int(offset)) if offset.isdigit() else None
