"""Calls as an effect shell holds them in memory."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.envelope import Envelope
from schemas.wire.codec import Codec, UnencodableError
from streams.effects.executor import Cancellation
from streams.effects.ledger import (
    LedgerEntry,
    Status,
    call_id_of,
    call_key,
    decode_position,
    is_bare_position,
    position_place,
)
from streams.records.damage import tell_call, tell_stopped
from streams.records.delivery import Delivery, Entry, Outgoing, outgoing
from streams.records.framing import RecordDamaged
from topics.catalog import RECORD_BYTES_MAX

LEDGER_BYTES_MAX: Final = RECORD_BYTES_MAX - 1_024
_YIELD_EVERY: Final = 1_000
"""After so many entries others may run, such as the heartbeat."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One call."""

    call_id: str
    entry: LedgerEntry
    event: Envelope | None
    """None when it was recovered and is not decoded yet."""
    recovered: bool = False
    may_have_run: bool = False
    cancelled: str | None = None
    """Why its outcome is no longer wanted, or why it must not run."""
    refused: bool = False
    """True: it must not run, and its session waits for the outcome."""
    running: "asyncio.Task[None] | None" = None
    """Its task, while the executor has it; only then may it be cancelled, so that no write is cut off."""
    started_at_ms: int = 0

    def stored(self) -> Entry:
        """Return its entry as a record of the ledger."""
        return Entry(key=call_key(self.call_id), value=self.entry.encode(), partition=self.entry.partition)

    def delivery(self) -> Delivery:
        """Return the call as it was delivered, as far as the ledger has kept it."""
        return Delivery(
            topic="",
            partition=self.entry.partition,
            offset=self.entry.offset,
            key=None,
            value=self.entry.call,
            headers=(),
            timestamp_ms=0,
        )

    def end(self, records: Sequence[Outgoing]) -> None:
        """Hold the outcome in place of the call."""
        self.entry.move_to(Status.ENDED)
        self.entry = LedgerEntry(
            status=Status.ENDED,
            partition=self.entry.partition,
            offset=self.entry.offset,
            call=b"",
            owner=self.entry.owner,
            attempt=self.entry.attempt,
            outbox=[(record.topic.name, record.value) for record in records],
        )

    def finish(self, now_ms: int) -> None:
        """Keep only that there was such a call."""
        self.entry.move_to(Status.DONE)
        self.entry = LedgerEntry(
            status=Status.DONE,
            partition=self.entry.partition,
            offset=self.entry.offset,
            call=b"",
            deadline_at_ms=now_ms,
        )


@dataclass(slots=True, kw_only=True)
class Intaken:
    """What a batch of deliveries has come to so far."""

    generation: int
    calls: list[Call] = field(default_factory=list)
    cancellations: list[Cancellation] = field(default_factory=list)
    letters: list[Outgoing] = field(default_factory=list)
    positions: dict[tuple[str, int], int] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        """Return the calls' entries, in the order of their offsets."""
        return [call.stored() for call in self.calls]


@dataclass(slots=True, kw_only=True)
class Survey:
    """What a recovered ledger holds."""

    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    open: list[Call] = field(default_factory=list)
    """Calls that are not done, in any order."""
    done: list[tuple[bytes, LedgerEntry]] = field(default_factory=list)
    damaged: dict[bytes, RecordDamaged] = field(default_factory=dict)
    """Keys of calls whose entries cannot be read: they may have run."""
    stopped: dict[int, RecordDamaged] = field(default_factory=dict)
    """Partitions of which it is not known up to where calls are noted."""

    def leave_out_stopped(self) -> None:
        """Take up nothing of the partitions that are stopped."""
        self.positions = {place: at for place, at in self.positions.items() if place[1] not in self.stopped}
        self.open = [call for call in self.open if call.entry.partition not in self.stopped]
        self.done = [(key, entry) for key, entry in self.done if entry.partition not in self.stopped]

    def lost(self) -> dict[int, list[str]]:
        """Return by partition the calls whose entries cannot be read, where calls of it are taken up."""
        lost: dict[int, list[str]] = {}
        for key, damaged in self.damaged.items():
            call_id = call_id_of(key)
            if call_id and damaged.place is not None and damaged.place[0] not in self.stopped:
                lost.setdefault(damaged.place[0], []).append(call_id)
        return lost

    def note(self, place: tuple[str, int], offset: int) -> None:
        """Take up to where a partition's calls are known to be noted."""
        self.positions[place] = max(offset, self.positions.get(place, -1))


async def survey_of(
    ledger: Mapping[bytes, bytes], source: str, ends: Mapping[tuple[str, int], int]
) -> Survey:
    """Look at every entry of a ledger once; lets others run in between.

    A partition's calls are noted in their order, on the ledger's partition of the same number: whoever finds
    one has all before it, so the newest tells the position. What was forgotten has left its position behind.

    Args:
        ledger: by key.
        source: topic of the calls.
        ends: where its partitions end.

    Raises:
        RecordNewer: a newer program wrote one.
    """
    survey = Survey()
    for number, (key, data) in enumerate(ledger.items()):
        if number % _YIELD_EVERY == 0:
            await asyncio.sleep(0)
        place, call_id = position_place(key), call_id_of(key)
        try:
            if place is not None:
                offset = decode_position(data)
                if is_bare_position(data) and offset >= ends.get(place, offset + 1):
                    raise RecordDamaged(f"it names offset {offset}, which there is none of")
                survey.note(place, offset)
                continue
            assert call_id is not None, "the table takes no other keys"
            entry = LedgerEntry.decode(data)
        except RecordDamaged as damaged:
            if place is not None:
                survey.stopped[place[1]] = damaged
            else:
                survey.damaged[key] = damaged
            continue
        survey.note((source, entry.partition), entry.offset)
        if entry.status is Status.DONE:
            survey.done.append((key, entry))
        else:
            may_have_run = entry.status is Status.DISPATCHED
            call = Call(call_id=call_id, entry=entry, event=None, recovered=True, may_have_run=may_have_run)
            survey.open.append(call)
    survey.leave_out_stopped()
    return survey


def tell_damage(survey: Survey, *, shell: str, changelog: str) -> None:
    """Name the ledger's damaged records in the log."""
    for key, damaged in survey.damaged.items():
        tell_call(damaged, shell=shell, changelog=changelog, key=key)
    for partition, damaged in survey.stopped.items():
        tell_stopped(damaged, shell=shell, changelog=changelog, partition=partition)


def written(codec: Codec, events: Sequence[Envelope]) -> list[Outgoing] | str:
    """Return an outcome as records, or a sentence on why it cannot be written."""
    try:
        records = [outgoing(codec, event) for event in events]
    except UnencodableError as error:
        return str(error)
    too_large = (
        any(record.size_bytes > RECORD_BYTES_MAX for record in records)
        or sum(len(record.value) + 64 for record in records) > LEDGER_BYTES_MAX
    )
    return "the result is larger than a record may be" if too_large else records
