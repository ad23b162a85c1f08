"""Restores from the log what a table's partition must know and its changelog has lost.

A stateful shell has to know which keys left its table and which inputs were taken, an effect shell up to
which offset it has noted calls: without that they would begin ended sessions anew, answer twice, and run
calls twice. All of it follows from topics that keep everything, and from what the group has committed.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types

from processors.repeats import mark_of
from schemas.envelope import Envelope
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import SessionEnded
from schemas.events.tools import ToolCallRequested
from schemas.wire.codec import Codec, UndecodableError
from sinks.intake import Delivery
from sinks.log_reader import whole
from streams.effects.changelog import check_noted
from streams.effects.ledger import encode_position, position_key, position_place
from streams.effects.recall import RESULTS
from streams.engine.checked import Check
from streams.process.settings import Settings
from streams.records.delivery import Entry
from streams.records.framing import RecordDamaged, RecordForeign
from streams.stateful.changelog import check_stored
from streams.stateful.departures import Departures
from streams.stateful.known_inputs import KnownInputs
from streams.stateful.marks import DEPARTED, INPUTS, MarksRecord, is_marks
from streams.stateful.stored_record import StoredRecord
from topics.catalog import (
    MODEL_CALLS,
    SESSION_INPUTS,
    SESSION_OUTPUTS,
    TOOL_CALLS,
    read_by,
)
from topics.clients import consumer_of, producer_of
from topics.shells import ACCOUNT, CAPABILITY, MODEL, SCHEDULE, SESSION, TOOL
from topics.tables import (
    ACCOUNT_STATES,
    CAPABILITY_STATES,
    MODEL_LEDGER,
    SCHEDULE_STATES,
    SESSION_STATES,
    TABLES,
    TOOL_LEDGER,
    changelog_of,
)

_SHELLS: Final = {
    SESSION_STATES: SESSION,
    ACCOUNT_STATES: ACCOUNT,
    CAPABILITY_STATES: CAPABILITY,
    MODEL_LEDGER: MODEL,
    TOOL_LEDGER: TOOL,
    SCHEDULE_STATES: SCHEDULE,
}
_CALLS: Final = {MODEL_LEDGER: MODEL_CALLS.name, TOOL_LEDGER: TOOL_CALLS.name}
"""By ledger, where its calls stand."""
_TRIES: Final = 5
RESTORABLE: Final = (SESSION_STATES, MODEL_LEDGER, TOOL_LEDGER)
"""Tables with records of their own; of the others nothing ever leaves, and nothing is noted."""


class NotRestored(Exception):
    """It cannot be restored; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedRecord:
    """The newest record of a key, which cannot be read."""

    table: str
    partition: int
    offset: int
    key: str
    reason: str
    remedy: str


class Restorer:
    """Reads and writes the changelogs of one topic prefix."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        """Connect nothing yet."""
        self._settings = settings
        self._codec = codec

    async def damaged(self) -> list[DamagedRecord]:
        """Return all damaged and foreign records of all tables, by table, partition and offset.

        Raises:
            KafkaError: Kafka is away.
        """
        found = []
        for table in TABLES:
            check = _check_of(table, self._settings.partitions)
            for record in _newest(await self._read(changelog_of("", table))):
                reason, remedy = _verdict(table, record, check)
                if reason:
                    found.append(
                        DamagedRecord(
                            table=table,
                            partition=record.place.partition,
                            offset=record.place.offset,
                            key=(record.key or b"").decode(errors="backslashreplace"),
                            reason=reason,
                            remedy=remedy,
                        )
                    )
        return found

    async def restore(self, table: str, partition: int) -> str:
        """Restore a partition of a table; return a sentence that says what now stands there.

        Raises:
            NotRestored: the table has nothing of the kind, or others write there all the time.
            KafkaError: Kafka is away.
        """
        if table not in RESTORABLE:
            raise NotRestored(f"only {', '.join(RESTORABLE)} have records that hold up a whole partition")
        if not 0 <= partition < self._settings.partitions:
            raise NotRestored(f"there is no partition {partition}; there are {self._settings.partitions}")
        if table in _CALLS:
            return await self._restore_position(table, partition)
        return await self._restore_departures(table, partition)

    async def _restore_position(self, table: str, partition: int) -> str:
        source = _CALLS[table]
        offsets = {}
        for record, event in await self._events(source, partition):
            if isinstance(event.body, ModelCallRequested | ToolCallRequested):
                offsets[event.body.call_id] = record.place.offset
        # Calls are noted in their order: whichever came before one that has an outcome was noted, too.
        noted = [
            offsets.get(getattr(event.body, "call_id", ""), -1)
            for _, event in await self._events(RESULTS[source], partition)
        ]
        committed = await self._committed(table, partition)
        offset = max([committed.get(source, 0) - 1, *noted])
        value = None if offset < 0 else encode_position(offset)
        key = position_key(source, partition)
        await self._write(table, [Entry(key=key, value=value, partition=partition)])
        told = "no call is noted yet" if offset < 0 else f"calls are noted up to offset {offset}"
        return f"{source}/{partition}: {told}"

    async def _restore_departures(self, table: str, partition: int) -> str:
        ended = {
            event.session_id.encode()
            for _, event in await self._events(SESSION_OUTPUTS.name, partition)
            if isinstance(event.body, SessionEnded)
        }
        committed = await self._committed(table, partition)
        floors = {topic: offset - 1 for topic, offset in committed.items() if offset > 0}
        for _ in range(_TRIES):
            records = [
                one for one in await self._read(changelog_of("", table)) if one.place.partition == partition
            ]
            entries = _departures(records, ended, floors, partition)
            entries += await self._inputs(records, partition)
            first = await self._write(table, entries)
            # An owner that never saw the damage may have let others leave in the meantime.
            seen = max((one.place.offset for one in records), default=-1)
            since = await self._read(changelog_of("", table))
            if not [
                one
                for one in since
                if one.place.partition == partition
                and seen < one.place.offset < first
                and is_marks(one.key or b"")
            ]:
                left = len(ended - {one.key for one in _newest(records)})
                return f"{table}/{partition}: {left} sessions have left"
        raise NotRestored("a worker writes the same records all the time; stop it first")

    async def _inputs(self, records: Sequence[Delivery], partition: int) -> list[Entry]:
        """Return what says which inputs a partition's sessions have taken, if a record of that is damaged."""
        good, bad = _marks(records, INPUTS)
        if not bad:
            return []
        stored: dict[bytes, StoredRecord] = {}
        for newest in _newest(records):
            # A session that cannot be read takes nothing; it is restored first.
            with suppress(RecordDamaged):
                if newest.key and newest.value and not is_marks(newest.key):
                    stored[newest.key] = StoredRecord.decode(newest.value)
        known = KnownInputs()
        known.begin(good)
        for record, event in await self._events(SESSION_INPUTS.name, partition):
            key, offset = event.session_id.encode(), record.place.offset
            one = stored.get(key)
            if one is None or (SESSION_INPUTS.name, offset) in one.parked:
                continue
            if offset <= one.positions.get(SESSION_INPUTS.name, -1):
                known.add(key, partition, [mark_of(event.event_id)])
        return _in_place_of(bad, known.take_changed(), partition)

    async def _events(self, topic: str, partition: int) -> list[tuple[Delivery, Envelope]]:
        found = []
        for record in await self._read(topic, partition):
            with suppress(UndecodableError):
                found.append((record, await self._codec.decode(record.value, record.headers)))
        return found

    async def _read(self, topic: str, partition: int | None = None) -> list[Delivery]:
        """Read a topic as it is now, by its name without prefix; each partition in order."""
        given = self._settings
        read = whole(given.kafka_bootstrap, given.topic_prefix, topic, partition)
        async with aclosing(read) as batches:
            return [record async for some in batches for record in some]

    async def _committed(self, table: str, partition: int) -> Mapping[str, int]:
        """Return the next offset of each source of a table's shell, as its group has committed it."""
        shell, given = _SHELLS[table], self._settings
        consumer = consumer_of(given.kafka_bootstrap, group=f"{given.topic_prefix}{given.app_id}-{shell}")
        await consumer.start()
        try:
            return {
                topic.name: await consumer.committed(
                    TopicPartition(given.topic_prefix + topic.name, partition)
                )
                or 0
                for topic in read_by(shell)
            }
        finally:
            await consumer.stop()

    async def _write(self, table: str, entries: Sequence[Entry]) -> int:
        """Write records to a changelog, and return the offset of the first."""
        topic = changelog_of(self._settings.topic_prefix, table)
        producer = producer_of(self._settings.kafka_bootstrap)
        await producer.start()
        try:
            offsets = [
                (await producer.send_and_wait(topic, one.value, one.key, partition=one.partition)).offset
                for one in entries
            ]
        finally:
            await producer.stop()
        return min(offsets, default=0)


def _check_of(table: str, partitions: int) -> Check:
    if table in _CALLS:
        return partial(check_noted, source=_CALLS[table])
    return partial(check_stored, partitions=partitions)


def _verdict(table: str, record: Delivery, check: Check) -> tuple[str, str]:
    """Return what is wrong with a record, and what helps; two empty texts for a sound one."""
    key, value = record.key or b"", record.value
    if value is None:
        return "", ""
    try:
        check(key, value, record.place.partition)
        if table not in _CALLS and not is_marks(key):
            StoredRecord.decode(value)
    except RecordForeign as foreign:
        return str(foreign), "none is needed: the table leaves it out"
    except RecordDamaged as damaged:
        if is_marks(key) or position_place(key) is not None:
            return damaged.reason, f"cartrita tables restore {table} {record.place.partition}"
        if table in _CALLS:
            return damaged.reason, "none is needed: a worker settles the call when it takes the partition up"
        return damaged.reason, "docs/operations.md#damaged-table"
    return "", ""


def _newest(records: Iterable[Delivery]) -> list[Delivery]:
    """Return the newest record of each key on its partition, but those that remove it."""
    newest = {(one.place.partition, one.key): one for one in records}
    return [one for one in newest.values() if one.value is not None]


def _departures(
    records: Iterable[Delivery], ended: set[bytes], floors: Mapping[str, int], partition: int
) -> list[Entry]:
    """Return the records that must stand on a partition so that it knows who has left."""
    good, bad = _marks(records, DEPARTED)
    there = {one.key or b"" for one in _newest(records)}
    departures = Departures()
    departures.begin(good, {})
    entries = departures.leave([(key, partition, floors) for key in sorted(ended - there)])
    return _in_place_of(bad, entries, partition)


def _marks(records: Iterable[Delivery], kind: bytes) -> tuple[dict[bytes, bytes], list[bytes]]:
    """Return the newest records of marks that can be read, by key, and the keys of those that cannot."""
    good, bad = {}, []
    for one in _newest(records):
        key, value = one.key or b"", one.value or b""
        if not is_marks(key, kind):
            continue
        try:
            MarksRecord.decode(value)
            good[key] = value
        except RecordDamaged:
            bad.append(key)
    return good, bad


def _in_place_of(bad: Iterable[bytes], entries: list[Entry], partition: int) -> list[Entry]:
    """Return entries that also remove what cannot be read, where they do not replace it."""
    written = {one.key for one in entries}
    return entries + [Entry(key=key, value=None, partition=partition) for key in bad if key not in written]
