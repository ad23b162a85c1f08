"""The protocol of a shell with state, on a log in memory that breaks at every step."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import ApprovalReceived, MessageReceived, SessionClosed
from schemas.events.timers import TimerFired
from streams.process.ending import ExitCode, ShellStopped
from streams.records.delivery import REDRIVEN_HEADER, Delivery, OwnershipLost
from streams.stateful.marks import is_marks
from streams.stateful.shell import OUTBOX_BYTES_MAX, StatefulShell
from streams.stateful.stored_record import StoredRecord
from tests.streams.counting import Count, CountingDecider
from tests.streams.twin import (
    CODEC,
    PARTITIONS,
    Crash,
    Kafka,
    TwinLog,
    event,
    metrics,
    session_id,
    tool_failed,
)
from topics.catalog import DEAD_LETTERS, SESSION_OUTPUTS, SESSION_TIMERS, TOOL_RESULTS
from topics.routing import partition_of

NOW_MS = 5_000


def make(
    log: TwinLog, *, decider: CountingDecider | None = None, retention_ms: int | None = None
) -> StatefulShell[Count]:
    return StatefulShell(
        decider or CountingDecider(),
        name="session",
        codec=CODEC,
        log=log,
        table=log.table,
        changelog="changelog",
        partitions=PARTITIONS,
        topic_prefix="p.",
        metrics=metrics(),
        now_ms=lambda: NOW_MS,
        retention_ms=retention_ms,
    )


async def start(
    kafka: Kafka,
    *,
    crash_at: int | None = None,
    decider: CountingDecider | None = None,
    retention_ms: int | None = None,
) -> tuple[StatefulShell[Count], TwinLog]:
    log = TwinLog(kafka, crash_at)
    shell = make(log, decider=decider, retention_ms=retention_ms)
    await shell.own(kafka.ends(), kafka.committed)
    return shell, log


async def run(kafka: Kafka, batch: int = 10, crash_at: int | None = None, seed: int = 0) -> int:
    """Process all that waits; return how many single writes it took."""
    shell, log = await start(kafka, crash_at=crash_at)
    waiting = kafka.waiting(seed)
    for index in range(0, len(waiting), batch):
        await shell.process(waiting[index : index + batch])
    return log.steps


def message(text: str, *, session: int = 0, number: int = 0) -> Envelope:
    return event(MessageReceived(text=text), session=session, number=number)


def assert_exactly_once(kafka: Kafka, inputs: int) -> None:
    distinct: dict[str, Envelope] = {}
    for one in kafka.events(SESSION_OUTPUTS):
        assert distinct.setdefault(one.event_id, one) == one, "one id with two payloads"
    assert len(distinct) == inputs
    sequences: dict[str, list[int]] = {}
    for one in distinct.values():
        sequences.setdefault(one.session_id, []).append(one.sequence)
    for numbers in sequences.values():
        assert sorted(numbers) == list(range(1, len(numbers) + 1))


@settings(max_examples=150)
@given(
    sent=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=12),
    batches=st.lists(st.integers(1, 6), min_size=1, max_size=6),
    crashes=st.lists(st.integers(0, 40), max_size=8),
)
def test_any_crash_at_any_step_leaves_each_input_with_exactly_one_distinct_output(
    sent: Sequence[tuple[int, bool]], batches: Sequence[int], crashes: Sequence[int]
) -> None:
    kafka = Kafka()
    for number, (session, is_result) in enumerate(sent):
        if is_result:
            kafka.send(tool_failed(session=session, number=number), TOOL_RESULTS)
        else:
            kafka.send(message("hello", session=session, number=number))

    for index, crash_at in enumerate(crashes):
        try:
            # Each life gets the topics mixed in another way, so only what was stored fixes an order.
            asyncio.run(run(kafka, batches[index % len(batches)], crash_at, seed=index + 1))
        except Crash:
            continue
    asyncio.run(run(kafka, batches[0]))

    assert kafka.waiting() == []
    assert_exactly_once(kafka, len(sent))


def test_a_crash_at_every_single_step_followed_by_a_repeat_of_everything_changes_nothing() -> None:
    reference = Kafka()
    for number in range(6):
        reference.send(message("hello", session=number % 2, number=number))
    steps = asyncio.run(run(reference, 3))

    for crash_at in range(steps):
        kafka = Kafka(sources=reference.sources)
        with pytest.raises(Crash):
            asyncio.run(run(kafka, 3, crash_at))
        kafka.committed.clear()  # the group was reset to the earliest offsets
        asyncio.run(run(kafka, 2))
        assert_exactly_once(kafka, 6)


async def test_a_replayed_input_is_not_applied_again_and_its_outbox_is_published_again() -> None:
    kafka = Kafka()
    kafka.send(message("hello"))
    await run(kafka)
    kafka.committed.clear()
    decider = CountingDecider()

    shell, _ = await start(kafka, decider=decider)
    await shell.process(kafka.waiting())

    assert decider.advanced == 0
    first, second = kafka.events(SESSION_OUTPUTS)
    assert first == second


async def test_within_one_life_a_published_outbox_is_dropped_at_the_next_write() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka)
    for number in range(3):
        await shell.process([kafka.send(message("hello", number=number))])

    record = StoredRecord.decode(kafka.table()[session_id(0).encode()])

    assert len(record.outbox) == 1
    assert len(kafka.events(SESSION_OUTPUTS)) == 3


async def test_after_a_recovery_every_stored_entry_counts_as_unpublished() -> None:
    kafka = Kafka()
    await run_one(kafka, message("hello", number=1))
    shell, _ = await start(kafka)
    await shell.process([kafka.send(message("hello", number=2))])

    assert [one.sequence for one in kafka.events(SESSION_OUTPUTS)] == [1, 1, 2]


async def run_one(kafka: Kafka, one: Envelope) -> None:
    kafka.send(one)
    await run(kafka)


async def test_an_input_that_the_decider_cannot_take_quarantines_its_session_alone() -> None:
    kafka = Kafka()
    poison = kafka.send(message("poison", session=1, number=1))
    kafka.send(message("after", session=1, number=2))
    kafka.send(message("hello", session=2, number=3))

    await run(kafka)

    assert [one.session_id for one in kafka.events(SESSION_OUTPUTS)] == [session_id(2)]
    letters = [one.body for one in kafka.events(DEAD_LETTERS) if isinstance(one.body, RecordRejected)]
    assert [letter.code for letter in letters] == ["quarantined", "quarantined"]
    assert (letters[0].topic, letters[0].offset, letters[0].value) == (
        "p.session.inputs",
        poison.offset,
        poison.value,
    )
    assert "cannot be decided" in letters[0].reason
    assert kafka.waiting() == []


async def test_a_quarantine_survives_a_restart() -> None:
    kafka = Kafka()
    await run_one(kafka, message("poison", number=1))
    await run_one(kafka, message("hello", number=2))

    assert kafka.events(SESSION_OUTPUTS) == []
    assert len(kafka.events(DEAD_LETTERS)) == 2


async def test_after_a_fix_redriving_what_was_put_aside_applies_it_once_and_lifts_the_quarantine() -> None:
    kafka = Kafka()
    parked = [kafka.send(message("poison", number=1)), kafka.send(message("after", number=2))]
    await run(kafka)
    shell, _ = await start(kafka, decider=CountingDecider(poison=False))

    for one in parked:
        await shell.process([redriven(kafka, one)])
    await shell.process([kafka.send(message("new", number=3))])

    assert [one.sequence for one in kafka.events(SESSION_OUTPUTS)] == [1, 2, 3]
    record = StoredRecord.decode(kafka.table()[session_id(0).encode()])
    assert record.parked == []


async def test_fresh_input_of_a_quarantined_session_waits_behind_what_was_put_aside_before_it() -> None:
    kafka = Kafka()
    kafka.send(message("poison", number=1))
    second = kafka.send(message("after", number=2))
    await run(kafka)
    shell, _ = await start(kafka, decider=CountingDecider(poison=False))

    await shell.process([redriven(kafka, second)])
    await shell.process([kafka.send(message("new", number=3))])

    assert len(kafka.events(SESSION_OUTPUTS)) == 1
    assert len(kafka.events(DEAD_LETTERS)) == 3


def redriving(one: Delivery) -> tuple[tuple[str, bytes | None], ...]:
    return ((REDRIVEN_HEADER, f"{one.topic}/{one.partition}/{one.offset}".encode()),)


def redriven(kafka: Kafka, one: Delivery) -> Delivery:
    records = kafka.sources[one.topic, one.partition]
    again = Delivery(
        topic=one.topic,
        partition=one.partition,
        offset=len(records),
        key=one.key,
        value=one.value,
        headers=redriving(one),
        timestamp_ms=one.timestamp_ms,
    )
    records.append(again)
    return again


async def test_a_record_that_would_be_too_large_quarantines_its_session_and_the_others_go_on() -> None:
    kafka = Kafka()
    kafka.send(message("grow:1200000", session=1, number=1))
    kafka.send(message("hello", session=2, number=2))

    await run(kafka)

    letters = [one.body for one in kafka.events(DEAD_LETTERS) if isinstance(one.body, RecordRejected)]
    assert [letter.code for letter in letters] == ["too_large"]
    assert "bytes; the most is" in letters[0].reason
    assert [one.session_id for one in kafka.events(SESSION_OUTPUTS)] == [session_id(2)]


async def test_many_large_outputs_of_one_session_in_one_batch_are_published_in_between() -> None:
    kafka = Kafka()
    for number in range(40):
        kafka.send(message(f"grow:{OUTBOX_BYTES_MAX // 2}", number=number))

    await run(kafka, batch=40)

    assert len(kafka.events(SESSION_OUTPUTS)) == 40
    assert kafka.events(DEAD_LETTERS) == []


async def test_a_revocation_between_two_writes_leaves_the_batch_to_the_next_owner() -> None:
    kafka = Kafka()
    kafka.send(message("hello"))
    shell, log = await start(kafka)
    log.on_step = shell.disown

    with pytest.raises(OwnershipLost):
        await shell.process(kafka.waiting())

    assert kafka.waiting() != []
    await run(kafka)
    assert_exactly_once(kafka, 1)


async def test_without_partitions_nothing_is_processed() -> None:
    kafka = Kafka()
    shell = make(TwinLog(kafka))

    with pytest.raises(OwnershipLost):
        await shell.process([kafka.send(message("hello"))])


async def test_a_topic_that_was_made_again_stops_the_shell() -> None:
    kafka = Kafka()
    kafka.send(message("one", number=1))
    kafka.send(message("two", number=2))
    await run(kafka)
    kafka.sources = {place: records[:1] for place, records in kafka.sources.items()}

    with pytest.raises(ShellStopped) as stopped:
        await start(kafka)

    assert stopped.value.code is ExitCode.TOPICS
    assert "session.inputs" in stopped.value.reason


async def test_a_timer_that_comes_due_fires_once_and_stays_in_the_state_until_the_decider_clears_it() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka)
    await shell.process([kafka.send(message(f"timer:{NOW_MS - 1}"))])

    await shell.ticker.fire_due()
    await shell.ticker.fire_due()

    fired = kafka.events(SESSION_TIMERS)
    assert len(fired) == 1
    assert (fired[0].session_id, fired[0].tenant_id) == (session_id(0), "tenant")
    assert isinstance(fired[0].body, TimerFired)


async def test_a_timer_in_the_future_does_not_fire() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka)
    await shell.process([kafka.send(message(f"timer:{NOW_MS + 1}"))])

    await shell.ticker.fire_due()

    assert kafka.events(SESSION_TIMERS) == []


async def test_timers_survive_a_restart_and_a_repeat_has_the_same_event_id() -> None:
    kafka = Kafka()
    kafka.send(message(f"timer:{NOW_MS - 1}"))
    for _ in range(2):
        await run(kafka)
        shell, _ = await start(kafka)
        await shell.ticker.fire_due()

    first, second = kafka.events(SESSION_TIMERS)
    assert first.event_id == second.event_id


async def test_an_ended_session_leaves_after_its_retention_and_later_input_is_refused() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka, retention_ms=1_000)
    await shell.process([kafka.send(message("hello", number=1))])
    await shell.process([kafka.send(event(SessionClosed(), number=2))])

    await shell.ticker.fire_due()
    table = kafka.table()
    for _ in range(2):
        await shell.process([kafka.send(message("too late", number=3))])
        await shell.process([kafka.send(tool_failed(number=4), TOOL_RESULTS)])
        shell, _ = await start(kafka, retention_ms=1_000)

    assert session_id(0).encode() not in table
    assert all(is_marks(key) for key in table)
    letters = [one.body for one in kafka.events(DEAD_LETTERS) if isinstance(one.body, RecordRejected)]
    assert [letter.code for letter in letters] == ["ended", "ended"]
    assert len(kafka.events(SESSION_OUTPUTS)) == 2
    assert kafka.table() == table


async def test_a_session_leaves_only_once_it_is_durable_that_it_was_there() -> None:
    steps = 0
    for crash_at in range(20):
        kafka = Kafka()
        shell, _ = await start(kafka, crash_at=crash_at, retention_ms=1_000)
        try:
            await shell.process([kafka.send(event(SessionClosed(), number=2))])
            await shell.ticker.fire_due()
        except Crash:
            steps += 1
        kafka.committed.clear()

        shell, _ = await start(kafka, retention_ms=1_000)
        await shell.process(kafka.waiting())
        await shell.ticker.fire_due()
        kafka.committed.clear()
        await run(kafka)

        outputs = {one.event_id for one in kafka.events(SESSION_OUTPUTS)}
        assert len(outputs) == 1, f"after a crash at write {crash_at}"
        assert session_id(0).encode() not in kafka.table()
        assert kafka.events(DEAD_LETTERS) == []
    assert steps > 5


async def test_a_replay_for_a_session_that_left_is_dropped() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka, retention_ms=1_000)
    await shell.process([kafka.send(event(SessionClosed(), number=2))])
    await shell.ticker.fire_due()
    kafka.committed.clear()

    await run(kafka)

    assert kafka.events(DEAD_LETTERS) == []
    assert len(kafka.events(SESSION_OUTPUTS)) == 1


async def test_a_session_stays_while_inputs_from_before_its_end_are_on_their_way_to_others() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka, retention_ms=1_000)
    partition = partition_of(session_id(0).encode(), PARTITIONS)
    other = next(n for n in range(1, 50) if partition_of(session_id(n).encode(), PARTITIONS) == partition)
    kafka.send(message("hello", session=other))
    closed = kafka.send(event(SessionClosed(), number=2))
    # The batch of both is stored in part: the one that came first is lost, and comes again.
    await shell.process([closed])
    kafka.committed.clear()

    shell, _ = await start(kafka, retention_ms=1_000)
    await shell.ticker.fire_due()
    early = kafka.table()
    await shell.process(kafka.waiting())
    await shell.retire([session_id(0).encode()])

    assert session_id(0).encode() in early
    assert session_id(0).encode() not in kafka.table()
    assert len({one.session_id for one in kafka.events(SESSION_OUTPUTS)}) == 2


async def test_a_session_that_has_not_ended_stays() -> None:
    kafka = Kafka()
    shell, _ = await start(kafka, retention_ms=1_000)
    await shell.process([kafka.send(message("hello"))])

    await shell.ticker.fire_due()

    assert session_id(0).encode() in kafka.table()


async def test_whoever_is_revoked_while_it_looks_through_its_table_owns_nothing() -> None:
    kafka = Kafka()
    kafka.send(message("one"))
    await run(kafka)
    heir = make(TwinLog(kafka, None))

    owning = asyncio.create_task(heir.own(kafka.ends(), kafka.committed))
    await asyncio.sleep(0)
    heir.disown()
    await owning

    assert not heir.is_owner()


async def test_an_input_that_the_decider_refuses_is_put_aside_once_and_its_neighbours_go_on() -> None:
    kafka = Kafka()
    kafka.send(message("hello", number=1))
    kafka.send(message("refuse", number=2))
    kafka.send(message("again", number=3))

    await run(kafka)
    kafka.committed.clear()
    await run(kafka)

    assert_exactly_once(kafka, 2)
    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert (letter.body.code, letter.causation_id) == ("not_owner", message("refuse", number=2).event_id)


async def test_what_is_refused_of_a_session_that_nobody_knows_leaves_no_trace_in_the_table() -> None:
    kafka = Kafka()

    await run_one(kafka, message("refuse"))

    assert kafka.table() == {}
    assert len(kafka.events(DEAD_LETTERS)) == 1


async def test_a_redriven_input_that_is_refused_lifts_the_quarantine_and_the_timers_go_on() -> None:
    kafka = Kafka()
    await run_one(kafka, message(f"timer:{NOW_MS - 1}", number=1))
    poison = kafka.send(message("poison", number=2))
    await run(kafka)
    shell, _ = await start(kafka)

    again = kafka.send(message("refuse", number=2), headers=redriving(poison))
    await shell.process([again])
    await shell.ticker.fire_due()

    record = StoredRecord.decode(kafka.table()[session_id(0).encode()])
    assert record.parked == []
    assert len(kafka.events(SESSION_TIMERS)) == 1


async def test_an_operator_who_acts_in_a_session_does_not_become_its_owner() -> None:
    kafka = Kafka()
    kafka.send(message("hello", number=1))
    approval = ApprovalReceived(approval_id=session_id(9), approved=True)
    kafka.send(replace(event(approval, number=2), tenant_id="*", user_id="olga"))

    await run(kafka)

    record = StoredRecord.decode(kafka.table()[session_id(0).encode()])
    assert (record.tenant_id, record.user_id) == ("tenant", "user")
