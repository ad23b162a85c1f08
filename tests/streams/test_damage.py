"""Records of changelogs that nobody of ours wrote: each hurts what it is about, and nothing else."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError  # type: ignore[import-untyped]  # no types
from faust.types import TP, AppT, CollectionT, EventT

from processors.decider import Step
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.events.models import ModelCallCompleted, ModelCallFailed
from schemas.ids import derived_id
from sinks.errors import RecordsMissing
from streams.effects import recall
from streams.effects.changelog import check_noted
from streams.effects.ledger import LedgerEntry, Status, call_key, encode_position, position_key
from streams.engine.checked import held
from streams.engine.disk_store import DiskStore
from streams.records import damage
from streams.records.delivery import Entry
from streams.records.framing import RecordDamaged, RecordNewer, damaged_mark, framed, unframed
from streams.stateful.changelog import check_stored
from streams.stateful.departures import Departures
from streams.stateful.positions import survey_of
from streams.stateful.shell import StatefulShell
from streams.stateful.stored_record import StoredRecord
from tests.streams.counting import Count, CountingDecider
from tests.streams.effects import Process, World, requested
from tests.streams.twin import CODEC, PARTITIONS, Kafka, TwinLog, event, metrics, session_id
from topics.catalog import DEAD_LETTERS, MODEL_CALLS, MODEL_RESULTS, SESSION_INPUTS, SESSION_OUTPUTS
from topics.routing import partition_of

GARBAGE: Final = (
    b"",
    b"\0",
    b"g",
    b"garbage",
    b"garbage!",
    b"\0\0\0\0\1zzz",
    b'{"a":1}',
    b"\x02" + b"\xff" * 40,
    b"\x03" + b"\x00" * 40,
    b"\x0a\x05hello",
    bytes(range(256)) * 4_000,
)
KEY: Final = session_id(0).encode()
HOME: Final = partition_of(KEY, PARTITIONS)
CHANGELOG: Final = "p.session-states-changelog"
CHECK_STORED: Final = partial(check_stored, partitions=PARTITIONS)
CHECK_NOTED: Final = partial(check_noted, source=MODEL_CALLS.name)

Check = Callable[[bytes, bytes, int], None]


def recovery(entries: Sequence[Entry]) -> list[EventT[object]]:
    """Return a changelog's records as a recovery reads them."""
    events = []
    for offset, one in enumerate(entries):
        message = SimpleNamespace(
            topic=CHANGELOG, partition=one.partition, offset=offset, key=one.key, value=one.value
        )
        events.append(cast("EventT[object]", SimpleNamespace(message=message)))
    return events


def recovered(entries: Sequence[Entry], check: Check) -> dict[bytes, bytes]:
    table: dict[bytes, bytes] = {}
    for one in recovery(entries):
        taken = held(one, check)
        if taken is not None and taken[1] is not None:
            table[taken[0]] = taken[1]
        elif taken is not None:
            table.pop(taken[0], None)
    return table


async def started(kafka: Kafka) -> tuple[StatefulShell[Count], Sequence[int]]:
    log = TwinLog(kafka)
    log.table = recovered(kafka.changelog, CHECK_STORED)
    shell = StatefulShell(
        CountingDecider(),
        name="session",
        codec=CODEC,
        log=log,
        table=log.table,
        changelog=CHANGELOG,
        partitions=PARTITIONS,
        topic_prefix="p.",
        metrics=metrics(),
        now_ms=lambda: 5_000,
    )
    stopped = await shell.own(kafka.ends(), kafka.committed)
    return shell, sorted(stopped)


async def restart(kafka: Kafka) -> Sequence[int]:
    """Start a shell, let it take all that waits, and return what it stopped."""
    shell, stopped = await started(kafka)
    await shell.process([one for one in kafka.waiting() if one.partition not in stopped])
    return stopped


def message(session: int, number: int) -> Envelope:
    return event(MessageReceived(text="hello"), session=session, number=number)


def letters(kafka: Kafka) -> list[RecordRejected]:
    bodies = [one.body for one in kafka.events(DEAD_LETTERS)]
    assert all(isinstance(body, RecordRejected) for body in bodies)
    return cast("list[RecordRejected]", bodies)


def sequences(kafka: Kafka, session: int) -> list[int]:
    """Return how a session's events are numbered; what is published again after a start counts once."""
    distinct = {one.event_id: one for one in kafka.events(SESSION_OUTPUTS)}
    return [one.sequence for one in distinct.values() if one.session_id == session_id(session)]


@pytest.mark.parametrize("value", GARBAGE)
async def test_a_damaged_record_has_its_own_keys_inputs_put_aside_and_all_others_go_on(value: bytes) -> None:
    kafka = Kafka()
    for session in range(8):
        kafka.send(message(session, 0))
    await restart(kafka)
    kafka.changelog.append(Entry(key=KEY, value=value, partition=HOME))
    offset = len(kafka.changelog) - 1
    for session in range(8):
        kafka.send(message(session, 1))

    stopped = await restart(kafka)

    assert not stopped
    (letter,) = letters(kafka)
    assert letter.code == "quarantined"
    for named in (session_id(0), CHANGELOG, f"partition {HOME}", f"offset {offset}"):
        assert named in letter.reason
    assert sequences(kafka, 0) == [1], "it was begun anew"
    assert all(sequences(kafka, session) == [1, 2] for session in range(1, 8))


async def test_what_was_damaged_stays_so_until_it_is_restored_and_then_goes_on_where_it_was() -> None:
    kafka = Kafka()
    kafka.send(message(0, 0))
    await restart(kafka)
    good = kafka.changelog[-1]
    kafka.changelog.append(Entry(key=KEY, value=b"garbage", partition=HOME))
    kafka.send(message(0, 1))
    await restart(kafka)
    await restart(kafka)
    kafka.changelog.append(good)
    kafka.send(message(0, 2))

    await restart(kafka)

    assert len(letters(kafka)) == 1
    assert sequences(kafka, 0) == [1, 2]


async def test_an_input_that_comes_again_after_a_crash_gives_the_same_letter() -> None:
    kafka = Kafka()
    kafka.changelog.append(Entry(key=KEY, value=b"garbage", partition=HOME))
    kafka.send(message(0, 0))
    await restart(kafka)
    kafka.committed.clear()

    await restart(kafka)

    assert len({one.event_id for one in kafka.events(DEAD_LETTERS)}) == 1


@pytest.mark.parametrize(
    "entry",
    [
        Entry(key=b"\xff\xfe", value=b"garbage", partition=0),
        Entry(key=KEY, value=b"garbage", partition=(HOME + 1) % PARTITIONS),
        Entry(key=KEY, value=None, partition=(HOME + 1) % PARTITIONS),
        Entry(key=b"\x00departed/zero/1", value=b"garbage", partition=0),
        Entry(key=b"\x00departed/0/0", value=b"garbage", partition=1),
        Entry(key=b"\x00other", value=b"garbage", partition=0),
        Entry(key=b"", value=b"garbage", partition=0),
    ],
    ids=lambda entry: f"{entry.key!r}-{entry.partition}-{entry.value!r}",
)
def test_a_record_that_is_about_nothing_of_its_partition_is_left_out(entry: Entry, tmp_path: Path) -> None:
    good = Entry(key=KEY, value=StoredRecord(state=b"1").encode(), partition=HOME)
    store = DiskStore(
        cast("AppT", SimpleNamespace()),
        cast("CollectionT", SimpleNamespace(name="states")),
        path=tmp_path / "states",
        partition_of=None,
        check=CHECK_STORED,
    )

    store.apply_changelog_batch(recovery([good, entry]), bytes, bytes)

    store._owned = {HOME: store._owned.get(HOME)}  # type: ignore[dict-item]  # only which partition counts
    assert store.read(KEY) == good.value
    assert store.persisted_offset(TP("log", entry.partition)) == 1


async def test_a_record_of_a_newer_program_stops_the_worker() -> None:
    kafka = Kafka()
    newer = framed(4, b"whatever it will be")
    kafka.changelog.append(Entry(key=KEY, value=newer, partition=HOME))

    with pytest.raises(RecordNewer):
        await started(kafka)


class Told:
    """A log whose lines are kept; what other tests have made of the real one does not matter."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def error(self, event: str, **said: object) -> None:
        self.lines.append(f"{event} {said}")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log = Told()
    monkeypatch.setattr(damage, "_log", log)
    return log.lines


@pytest.mark.parametrize("value", GARBAGE)
async def test_a_damaged_record_of_who_left_stops_its_partition_alone(value: bytes, told: list[str]) -> None:
    kafka = Kafka()
    kafka.changelog.append(Entry(key=b"\x00departed/%d/0" % HOME, value=value, partition=HOME))
    for session in range(8):
        kafka.send(message(session, 0))

    stopped = await restart(kafka)

    assert stopped == [HOME]
    assert any(f"cartrita tables restore p.session-states {HOME}" in line for line in told)
    assert not letters(kafka)
    answered = {one.session_id for one in kafka.events(SESSION_OUTPUTS)}
    homes = {session: partition_of(session_id(session).encode(), PARTITIONS) for session in range(8)}
    assert answered == {session_id(session) for session, home in homes.items() if home != HOME}


def departures(version: int | None) -> bytes:
    (entry,) = Departures().leave([(KEY, HOME, {SESSION_INPUTS.name: 7})])
    assert entry.value is not None
    payload = unframed(entry.value, 2)
    return entry.value if version is None else framed(version, payload)


async def test_a_newer_record_of_who_left_stops_the_worker_and_an_older_one_is_read() -> None:
    key = b"\x00departed/%d/0" % HOME

    with pytest.raises(RecordNewer):
        await survey_of({key: departures(9)}, PARTITIONS)
    bare = b"\x01" + unframed(departures(None), 2)
    survey = await survey_of({key: bare}, PARTITIONS)
    assert survey.departures == {key: bare}


class Unreadable(CountingDecider):
    """A decider whose states of before are none of its own."""

    def decode(self, data: bytes) -> Count:
        raise LookupError("no such field")

    def advance(self, state: Count, event: Envelope, source: object) -> Step[Count]:
        raise AssertionError("nothing may be decided")


async def test_a_state_that_cannot_be_decoded_holds_up_its_key_alone() -> None:
    kafka = Kafka()
    kafka.send(message(0, 0))
    await restart(kafka)
    kafka.send(message(0, 1))
    log = TwinLog(kafka)
    shell = StatefulShell(
        Unreadable(),
        name="session",
        codec=CODEC,
        log=log,
        table=log.table,
        changelog=CHANGELOG,
        partitions=PARTITIONS,
        topic_prefix="p.",
        metrics=metrics(),
        now_ms=lambda: 5_000,
    )
    await shell.own(kafka.ends(), kafka.committed)

    await shell.process(kafka.waiting())
    timers = await shell.timers_of(KEY)
    await shell.retire([KEY])

    (letter,) = letters(kafka)
    assert "no such field" in letter.reason
    assert timers == ((), "", "")


def test_a_flipped_bit_anywhere_in_a_record_is_found() -> None:
    record = StoredRecord(
        state=b"state", positions={"session.inputs": 7}, outbox=[("plans", b"event")], tenant_id="t"
    ).encode()

    for at in range(1, len(record)):
        flipped = record[:at] + bytes([record[at] ^ 4]) + record[at + 1 :]
        with pytest.raises(RecordDamaged):
            StoredRecord.decode(flipped)


def test_a_record_of_before_there_were_checksums_is_read() -> None:
    record = StoredRecord(state=b"state", positions={"session.inputs": 7}, due_at_ms=9)
    bare = b"\x02" + unframed(record.encode(), 3)

    assert StoredRecord.decode(bare) == record
    with pytest.raises(RecordDamaged):
        StoredRecord.decode(bare + b"!")


def test_a_mark_tells_where_the_damage_is() -> None:
    with pytest.raises(RecordDamaged, match="torn") as found:
        StoredRecord.decode(damaged_mark(3, 2**40, "torn"))

    assert found.value.place == (3, 2**40)


CALL = derived_id("call", "0")


async def damaged_call(
    kafka: Kafka, world: World, value: bytes = b"garbage", *, faults: Sequence[Exception] = ()
) -> Process:
    """Start a shell whose entry of the first call is damaged, and let it do all that there is to do."""
    home = partition_of(session_id(0).encode(), PARTITIONS)
    kafka.changelog.append(Entry(key=call_key(CALL), value=value, partition=home))
    process = Process(kafka, world)
    process.calls.faults.extend(faults)
    process.log.table.clear()
    process.log.table.update(recovered(kafka.changelog, CHECK_NOTED))
    assert not await process.shell.own(kafka.ends())
    await process.process()
    await process.finish()
    return process


def outcomes(kafka: Kafka, call_id: str = CALL) -> list[object]:
    """Return the different outcomes of a call."""
    bodies = {one.event_id: one.body for one in kafka.events(MODEL_RESULTS)}
    return [body for body in bodies.values() if getattr(body, "call_id", "") == call_id]


@pytest.mark.parametrize("value", GARBAGE)
async def test_a_damaged_entry_of_a_ledger_fails_its_call_at_once_and_its_neighbours_run(
    value: bytes,
) -> None:
    kafka, world = Kafka(), World()
    for number in range(8):
        kafka.send(requested(number, session=number), MODEL_CALLS)

    await damaged_call(kafka, world, value)

    assert world.runs[CALL] == 0
    [outcome] = outcomes(kafka)
    assert isinstance(outcome, ModelCallFailed)
    assert (outcome.kind, outcome.maybe_billed) == ("interrupted", True)
    assert len(kafka.events(MODEL_RESULTS)) == 8
    assert not letters(kafka)
    again = Process(kafka, world)
    await again.start()
    await again.process()
    await again.finish()
    assert len(outcomes(kafka)) == 1
    assert LedgerEntry.decode(kafka.table()[call_key(CALL)]).status is Status.DONE


async def test_a_call_whose_entry_is_damaged_runs_again_if_that_does_no_harm() -> None:
    kafka, world = Kafka(), World(idempotent=True)
    kafka.send(requested(0), MODEL_CALLS)

    await damaged_call(kafka, world)

    assert world.runs[CALL] == 1
    [outcome] = outcomes(kafka)
    assert isinstance(outcome, ModelCallCompleted)


async def test_a_call_that_was_done_before_its_entry_was_damaged_stays_done() -> None:
    kafka, world = Kafka(), World(idempotent=True)
    kafka.send(requested(0), MODEL_CALLS)
    first = Process(kafka, world)
    await first.start()
    await first.process()
    await first.finish()
    told = list(kafka.published)

    await damaged_call(kafka, world)

    assert world.runs[CALL] == 1
    assert kafka.published == told
    assert LedgerEntry.decode(kafka.table()[call_key(CALL)]).status is Status.DONE


async def test_a_call_that_nobody_asked_for_leaves_the_ledger() -> None:
    kafka, world = Kafka(), World(idempotent=True)
    foreign = kafka.send(requested(0), MODEL_CALLS, key=session_id(1).encode())
    kafka.committed[foreign.topic, foreign.partition] = foreign.offset + 1

    await damaged_call(kafka, world)

    assert not world.runs
    assert call_key(CALL) not in kafka.table()


async def test_a_call_is_looked_for_until_kafka_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_RETRY_S", 0.0)
    kafka, world = Kafka(), World()
    kafka.send(requested(0), MODEL_CALLS)

    await damaged_call(kafka, world, faults=[KafkaConnectionError(), KafkaTimeoutError()])

    assert len(outcomes(kafka)) == 1


async def test_a_log_that_lost_the_call_stops_nobody() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(0), MODEL_CALLS)
    kafka.send(requested(1), MODEL_CALLS)

    await damaged_call(kafka, world, faults=[RecordsMissing("gone")])

    assert not outcomes(kafka)
    assert len(outcomes(kafka, derived_id("call", "1"))) == 1


async def test_a_revoked_partition_is_not_searched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_RETRY_S", 0.0)
    kafka, world = Kafka(), World()
    delivery = kafka.send(requested(0), MODEL_CALLS)
    kafka.changelog.append(Entry(key=call_key(CALL), value=b"garbage", partition=delivery.partition))
    process = Process(kafka, world)
    process.calls.faults.extend([KafkaConnectionError()] * 1_000)
    process.log.table.update(recovered(kafka.changelog, CHECK_NOTED))
    await process.shell.own(kafka.ends())

    process.shell.disown()
    await process.shell.settle()

    assert not process.errors
    assert not outcomes(kafka)


@pytest.mark.parametrize("value", [one for one in GARBAGE if one])
async def test_a_damaged_position_stops_its_partition_alone(value: bytes, told: list[str]) -> None:
    kafka, world = Kafka(), World()
    deliveries = [kafka.send(requested(number, session=number), MODEL_CALLS) for number in range(8)]
    place = deliveries[0].partition
    kafka.changelog.append(Entry(key=position_key(MODEL_CALLS.name, place), value=value, partition=place))
    waiting = LedgerEntry(status=Status.ACCEPTED, partition=place, offset=0, call=deliveries[0].value or b"")
    key = call_key(derived_id("call", "0"))
    kafka.changelog.append(Entry(key=key, value=waiting.encode(), partition=place))
    process = Process(kafka, world)
    process.log.table.clear()
    process.log.table.update(recovered(kafka.changelog, CHECK_NOTED))

    stopped = await process.shell.own(kafka.ends())
    await process.shell.process([one for one in deliveries if one.partition not in stopped])
    await process.finish()

    assert list(stopped) == [place]
    assert any(f"cartrita tables restore changelog {place}" in line for line in told)
    assert len(kafka.events(MODEL_RESULTS)) == sum(one.partition != place for one in deliveries)


@pytest.mark.parametrize(
    ("key", "value", "partition"),
    [
        (b"whatever", b"garbage", 0),
        (b"position/model.calls/x", b"garbage", 0),
        (position_key("model.calls", 1), encode_position(5), 0),
        (position_key("tool.calls", 0), encode_position(5), 0),
    ],
)
def test_what_belongs_in_no_ledger_is_left_out(key: bytes, value: bytes, partition: int) -> None:
    assert not recovered([Entry(key=key, value=value, partition=partition)], CHECK_NOTED)


def test_a_position_of_before_there_were_checksums_is_read() -> None:
    key = position_key(MODEL_CALLS.name, 0)

    table = recovered([Entry(key=key, value=(5).to_bytes(8, "big"), partition=0)], CHECK_NOTED)

    assert table == {key: (5).to_bytes(8, "big")}
