"""A repeat is a repeat for ever: of a session's inputs each is taken once, however late it comes again."""

from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from processors import repeats
from processors.session import SessionDecider
from processors.state import SessionState
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.ids import derived_id
from streams.history.replay import replay
from streams.records.delivery import REDRIVEN_HEADER, Entry
from streams.stateful.known_inputs import KnownInputs
from streams.stateful.marks import INPUTS, MARKS_MAX, is_marks
from streams.stateful.shell import StatefulShell
from streams.stateful.stored_record import StoredRecord
from tests.processors.world import configuration
from tests.replay.worlds import recorded, world
from tests.streams.twin import CODEC, PARTITIONS, Crash, Kafka, TwinLog, event, metrics, session_id
from topics.catalog import DEAD_LETTERS

BATCH: Final = 5
KEY: Final = session_id(0).encode()


@pytest.fixture
def few_in_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session's state know the latest two to four inputs."""
    monkeypatch.setattr(repeats, "SEEN_MAX", 4)
    monkeypatch.setattr(repeats, "LET_GO", 2)


def message(number: int, session: int = 0) -> Envelope:
    return event(MessageReceived(text=f"say {number}", tokens=2), session=session, number=number)


def shell_on(log: TwinLog) -> StatefulShell[SessionState]:
    return StatefulShell(
        SessionDecider(configuration(Limits(queue_max=1))),
        name="session",
        codec=CODEC,
        log=log,
        table=log.table,
        changelog="changelog",
        partitions=PARTITIONS,
        topic_prefix="p.",
        metrics=metrics(),
        now_ms=lambda: 5_000,
    )


async def run(kafka: Kafka, crash_at: int | None = None) -> int:
    """Let one process take what waits, up to a crash; return how many single writes it made."""
    log = TwinLog(kafka, crash_at)
    try:
        shell = shell_on(log)
        await shell.own(kafka.ends(), kafka.committed)
        while waiting := kafka.waiting():
            await shell.process(waiting[:BATCH])
    except Crash:
        pass
    return log.steps


def told(kafka: Kafka) -> Counter[str]:
    """Return how many distinct events each input caused."""
    distinct = {record.event.event_id: record.event for record in kafka.published}
    return Counter(one.causation_id or "" for one in distinct.values())


def numbered(kafka: Kafka) -> bool:
    distinct = {record.event.event_id: record.event for record in kafka.published}
    numbers = sorted(one.sequence for one in distinct.values() if one.session_id == session_id(0))
    return numbers == list(range(1, len(numbers) + 1))


@pytest.mark.usefixtures("few_in_the_state")
async def test_each_input_that_is_sent_again_is_known_however_long_ago_it_was_taken() -> None:
    kafka = Kafka()
    sent = [message(number) for number in range(40)]
    for one in sent:
        kafka.send(one)
    await run(kafka)
    before = told(kafka)

    for one in (*sent, *reversed(sent)):
        kafka.send(one)
    await run(kafka)

    assert told(kafka) == before
    # The first opens the session, the second waits; whatever else comes is refused with a word of its own.
    assert all(before[one.event_id] for number, one in enumerate(sent) if number != 1)
    assert numbered(kafka)
    assert kafka.events(DEAD_LETTERS) == []
    stored = StoredRecord.decode(kafka.table()[KEY])
    assert len(SessionDecider(configuration()).decode(stored.state).seen) <= 4 * 8


@pytest.mark.usefixtures("few_in_the_state")
async def test_no_crash_loses_an_input_or_takes_one_twice() -> None:
    sent = [message(number) for number in range(14)]

    def sending() -> Kafka:
        kafka = Kafka()
        for one in (*sent[:7], *sent[:3], *sent[7:], *sent[:9]):
            kafka.send(one)
        return kafka

    whole = sending()
    steps = await run(whole)
    assert any(is_marks(key, INPUTS) for key in whole.table())
    for crash_at in range(steps):
        kafka = sending()
        await run(kafka, crash_at)
        await run(kafka)
        assert told(kafka) == told(whole), f"after a crash before write {crash_at}"
        assert numbered(kafka)


@pytest.mark.usefixtures("few_in_the_state")
async def test_the_same_id_in_another_session_is_another_input() -> None:
    kafka = Kafka()
    for number in range(20):
        kafka.send(message(number))
    await run(kafka)
    before = sum(told(kafka).values())

    kafka.send(replace(message(0), session_id=session_id(1)))
    await run(kafka)

    assert sum(told(kafka).values()) > before


@pytest.mark.usefixtures("few_in_the_state")
async def test_a_stranger_who_repeats_an_input_is_told_that_the_session_is_another_s() -> None:
    kafka = Kafka()
    for number in range(20):
        kafka.send(message(number))
    await run(kafka)

    kafka.send(replace(message(0), user_id="mallory"))
    await run(kafka)

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert (letter.body.code, letter.user_id) == ("not_owner", "mallory")


@pytest.mark.usefixtures("few_in_the_state")
async def test_a_repeat_that_was_put_aside_and_is_redriven_ends_the_quarantine() -> None:
    kafka = Kafka()
    for number in range(20):
        kafka.send(message(number))
    await run(kafka)
    again = kafka.send(message(0))
    table = kafka.table()
    stored = StoredRecord.decode(table[KEY])
    stored.parked.append((again.topic, again.offset))
    stored.positions[again.topic] = again.offset
    await TwinLog(kafka).store([Entry(key=KEY, value=stored.encode(), partition=again.partition)])
    kafka.committed[again.topic, again.partition] = again.offset + 1
    before = told(kafka)

    kafka.send(message(0), headers=((REDRIVEN_HEADER, again.coordinates.encode()),))
    await run(kafka)

    assert StoredRecord.decode(kafka.table()[KEY]).parked == []
    assert told(kafka) == before


@pytest.mark.usefixtures("few_in_the_state")
async def test_a_session_with_repeats_that_its_state_did_not_know_is_decided_again() -> None:
    made = world(limits=Limits(queue_max=1))
    for number in range(12):
        made.say(f"say {number}")
    recording = recorded(made.run())
    last = max(recording.inputs, key=lambda one: (one.topic == "session.inputs", one.offset))
    again = [
        replace(one, offset=last.offset + number)
        for number, one in enumerate(recording.inputs[:3], start=1)
        if one.topic == last.topic
    ]
    assert again

    replayed = replay(replace(recording, inputs=(*recording.inputs, *again)))

    assert replayed.divergence is None


def test_many_inputs_fill_record_after_record_and_are_known_after_a_restart() -> None:
    known, table = KnownInputs(), dict[bytes, bytes]()
    count = 3 * MARKS_MAX
    for begin in range(0, count, 256):
        known.add(b"key", 2, [mark(number) for number in range(begin, begin + 256)])
        for entry in known.take_changed():
            assert entry.value is not None
            assert entry.partition == 2
            table[entry.key] = entry.value
        if begin % 1_024 == 0:
            known = KnownInputs()
            known.begin(table)

    assert known.take_changed() == []
    assert len(table) == 3
    assert all(known.is_known(b"key", mark(number)) for number in range(count))
    assert not any(known.is_known(b"key", mark(number)) for number in range(count, count + 1_000))
    assert not known.is_known(b"other", mark(0))


def mark(number: int) -> str:
    return repeats.mark_of(derived_id("input", str(number)))
