"""The ledger of an effect shell, on a log in memory that breaks at every step."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.models import (
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
)
from schemas.ids import derived_id
from streams.effects.ledger import LedgerEntry, Status, call_key
from streams.effects.ledger_memory import REMEMBERED_MS
from tests.streams.effects import Process, World, cancelled, requested
from tests.streams.twin import Crash, Kafka
from topics.catalog import DEAD_LETTERS, MODEL_CALLS, MODEL_RESULTS


async def live(kafka: Kafka, world: World, crash_at: int | None = None, batch: int = 3) -> int:
    process = Process(kafka, world, crash_at)
    try:
        await process.start()
        await process.process(batch)
        await process.finish()
    finally:
        await process.die()
    return process.log.steps


def outcomes(kafka: Kafka) -> dict[str, Envelope]:
    distinct: dict[str, Envelope] = {}
    for one in kafka.events(MODEL_RESULTS):
        known = distinct.setdefault(one.event_id, one)
        assert known.body == one.body, "one call with two outcomes"
    return distinct


def letters_on(kafka: Kafka) -> list[RecordRejected]:
    return [one.body for one in kafka.events(DEAD_LETTERS) if isinstance(one.body, RecordRejected)]


@settings(max_examples=120)
@given(
    calls=st.integers(1, 6),
    batch=st.integers(1, 4),
    crashes=st.lists(st.integers(0, 30), max_size=6),
    idempotent=st.booleans(),
)
def test_any_crash_leaves_each_call_with_one_outcome_and_runs_none_twice_unless_that_is_harmless(
    calls: int, batch: int, crashes: Sequence[int], *, idempotent: bool
) -> None:
    kafka, world = Kafka(), World(idempotent=idempotent)
    for number in range(calls):
        kafka.send(requested(number, session=number % 2), MODEL_CALLS)

    for crash_at in crashes:
        try:
            asyncio.run(live(kafka, world, crash_at, batch))
        except Crash:
            continue
    asyncio.run(live(kafka, world, None, batch))

    assert kafka.waiting() == []
    assert len(outcomes(kafka)) == calls
    if not idempotent:
        assert all(runs == 1 for runs in world.runs.values())


def test_a_crash_at_every_single_step_leaves_one_outcome_per_call() -> None:
    reference = Kafka()
    for number in range(4):
        reference.send(requested(number), MODEL_CALLS)
    steps = asyncio.run(live(reference, World()))

    for crash_at in range(steps):
        kafka, world = Kafka(sources=reference.sources), World()
        with pytest.raises(Crash):
            asyncio.run(live(kafka, world, crash_at))
        kafka.committed.clear()
        asyncio.run(live(kafka, world))
        assert len(outcomes(kafka)) == 4
        assert all(runs <= 1 for runs in world.runs.values())


async def test_a_call_is_acknowledged_before_it_has_ended() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    kafka.send(requested(1), MODEL_CALLS)
    process = Process(kafka, world)
    await process.start()

    await process.process()

    assert kafka.waiting() == []
    assert kafka.events(MODEL_RESULTS) == []
    world.hold.set()
    await process.finish()
    assert len(outcomes(kafka)) == 1


async def test_no_more_calls_run_at_once_than_there_are_places() -> None:
    kafka, world = Kafka(), World()
    for number in range(20):
        kafka.send(requested(number), MODEL_CALLS)
    process = Process(kafka, world, places=3)
    await process.start()

    await process.process(20)
    await process.finish()

    assert world.at_once_max == 3
    assert len(outcomes(kafka)) == 20


async def test_when_too_many_calls_wait_no_more_are_taken_in() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    for number in range(20):
        kafka.send(requested(number), MODEL_CALLS)
    process = Process(kafka, world, places=1)
    await process.start()

    taking_in = asyncio.create_task(process.process(4))
    await process.until(lambda: len(process.shell._waiting) >= 8)
    for _ in range(50):
        await asyncio.sleep(0)

    assert len(kafka.waiting()) >= 8
    world.hold.set()
    await taking_in
    await process.finish()
    assert len(outcomes(kafka)) == 20


async def test_a_call_that_may_have_run_ends_as_interrupted_and_maybe_billed() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    kafka.send(requested(1), MODEL_CALLS)
    first = Process(kafka, world)
    await first.start()
    await first.process()
    await first.until(lambda: world.at_once == 1)
    await first.die()

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert (outcome.body.kind, outcome.body.maybe_billed) == ("interrupted", True)
    assert world.runs.total() == 1


async def test_a_call_that_was_only_accepted_runs_after_a_crash() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    for number in range(2):
        kafka.send(requested(number), MODEL_CALLS)
    first = Process(kafka, world, places=1)
    await first.start()
    await first.process()
    await first.until(lambda: world.at_once == 1)
    await first.die()
    world.hold = None

    await live(kafka, world)

    kinds = Counter(type(one.body).__name__ for one in outcomes(kafka).values())
    assert kinds == {"ModelCallFailed": 1, "ModelCallCompleted": 1}


async def test_an_idempotent_call_that_may_have_run_runs_again() -> None:
    kafka, world = Kafka(), World(idempotent=True)
    world.hold = asyncio.Event()
    kafka.send(requested(1), MODEL_CALLS)
    first = Process(kafka, world)
    await first.start()
    await first.process()
    await first.until(lambda: world.at_once == 1)
    await first.die()
    world.hold = None

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallCompleted)
    assert outcome.body.attempts == 2


async def test_a_running_call_that_is_cancelled_ends_as_cancelled_and_maybe_billed() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    kafka.send(requested(1), MODEL_CALLS)
    process = Process(kafka, world)
    await process.start()
    await process.process()
    await process.until(lambda: world.at_once == 1)

    kafka.send(cancelled(1), MODEL_CALLS)
    await process.process()
    await process.finish()

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert (outcome.body.kind, outcome.body.maybe_billed) == ("cancelled", True)


async def test_a_call_that_is_cancelled_before_it_runs_costs_nothing() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    kafka.send(cancelled(1), MODEL_CALLS)
    process = Process(kafka, world)
    await process.start()

    await process.process()
    await process.finish()

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert (outcome.body.kind, outcome.body.maybe_billed) == ("cancelled", False)
    assert world.runs.total() == 0


async def test_what_must_not_run_any_more_is_ended_at_once_whether_it_runs_or_waits() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    for number in range(6):
        kafka.send(requested(number), MODEL_CALLS)
    process = Process(kafka, world, places=2)
    await process.start()
    await process.process()
    await process.until(lambda: world.at_once == 2)

    world.stopped = True
    process.shell.restrain()
    await process.finish()

    assert sum(world.runs.values()) == 2
    ended = [one.body for one in outcomes(kafka).values()]
    assert len(ended) == 6
    assert all(isinstance(one, ModelCallFailed) and one.message == "stopped" for one in ended)
    assert sum(isinstance(one, ModelCallFailed) and one.maybe_billed for one in ended) == 2


async def test_what_must_not_run_is_refused_from_then_on_and_runs_again_afterwards() -> None:
    kafka, world = Kafka(), World()
    process = Process(kafka, world)
    await process.start()

    world.stopped = True
    kafka.send(requested(1), MODEL_CALLS)
    await process.process()
    await process.finish()
    world.stopped = False
    kafka.send(requested(2), MODEL_CALLS)
    await process.process()
    await process.finish()

    assert world.runs == {derived_id("call", "2"): 1}
    refused = outcomes(kafka)[derived_id(derived_id("call", "1"), "result")].body
    assert isinstance(refused, ModelCallFailed)
    assert not refused.maybe_billed


@pytest.mark.parametrize("idempotent", [True, False])
async def test_what_was_handed_over_before_a_crash_does_not_run_after_a_stop(*, idempotent: bool) -> None:
    kafka, world = Kafka(), World(idempotent=idempotent)
    world.hold = asyncio.Event()
    for number in range(3):
        kafka.send(requested(number), MODEL_CALLS)
    process = Process(kafka, world, places=1)
    await process.start()
    await process.process()
    await process.until(lambda: world.at_once == 1)
    await process.die()

    world.stopped = True
    after = Process(kafka, world, places=1)
    await after.start()
    after.shell.restrain()
    await after.finish()

    assert sum(world.runs.values()) == 1
    assert len(outcomes(kafka)) == 3
    ended = [one.body for one in outcomes(kafka).values()]
    assert sum(isinstance(one, ModelCallFailed) and one.maybe_billed for one in ended) == 1


async def test_cancelling_a_call_that_ended_or_never_was_does_nothing() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    await live(kafka, world)
    kafka.send(cancelled(1), MODEL_CALLS)
    kafka.send(cancelled(2), MODEL_CALLS)

    await live(kafka, world)

    assert len(outcomes(kafka)) == 1


async def test_a_call_that_is_published_again_after_it_ended_does_not_run_again() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    await live(kafka, world)
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    assert world.runs.total() == 1
    assert len(kafka.events(MODEL_RESULTS)) == 1


async def test_a_done_call_is_forgotten_in_the_end() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    await live(kafka, world)
    key = call_key(derived_id("call", "1"))
    assert LedgerEntry.decode(kafka.table()[key]).status is Status.DONE
    process = Process(kafka, world)
    await process.start()

    await process.shell.forget_done()
    assert key in kafka.table()
    process.now_ms += REMEMBERED_MS
    await process.shell.forget_done()

    assert key not in kafka.table()


async def test_a_forgotten_call_that_is_delivered_again_does_not_run_again() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    await live(kafka, world)
    process = Process(kafka, world)
    await process.start()
    process.now_ms += REMEMBERED_MS
    await process.shell.forget_done()
    kafka.committed.clear()

    await live(kafka, world)

    assert call_key(derived_id("call", "1")) not in kafka.table()
    assert world.runs == {derived_id("call", "1"): 1}


async def test_that_a_call_is_done_is_written_with_what_is_written_next() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    process = Process(kafka, world)
    await process.start()
    await process.process()
    await process.until(lambda: bool(kafka.published))
    before = len(kafka.changelog)

    kafka.send(requested(2), MODEL_CALLS)
    await process.process()

    statuses = [LedgerEntry.decode(entry.value or b"").status for entry in kafka.changelog[before:]]
    await process.finish()
    assert statuses[:2] == [Status.DISPATCHED, Status.DONE]


async def test_a_revocation_cancels_running_calls_and_writes_nothing_of_it() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    kafka.send(requested(1), MODEL_CALLS)
    process = Process(kafka, world)
    await process.start()
    await process.process()
    await process.until(lambda: world.at_once == 1)
    written = len(kafka.changelog)

    process.shell.disown()
    await process.shell.settle()

    assert (world.at_once, len(kafka.changelog), process.errors) == (0, written, [])


async def test_whoever_is_revoked_while_it_looks_through_its_ledger_owns_nothing() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS)
    await live(kafka, world)
    heir = Process(kafka, world)

    owning = asyncio.create_task(heir.start())
    await asyncio.sleep(0)
    heir.shell.disown()
    await owning

    assert not heir.shell.is_owner()


async def test_an_outcome_that_is_too_large_for_a_record_ends_the_call_as_failed() -> None:
    kafka, world = Kafka(), World()
    world.answer = "x" * 1_100_000
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert "larger than a record" in outcome.body.message


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("It is 42 \ud83d\ude00 indeed.", "It is 42 \U0001f600 indeed."),
        ("\ud83d alone, \ude00 too, and \ude00\ud83d", "\ufffd alone, \ufffd too, and \ufffd\ufffd"),
        ("\0 \uffff \U0010ffff", "\0 \uffff \U0010ffff"),
    ],
)
async def test_halves_of_characters_in_an_answer_are_joined_or_replaced(answer: str, kept: str) -> None:
    kafka, world = Kafka(), World()
    world.answer = answer
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallCompleted)
    assert outcome.body.text == kept


@pytest.mark.parametrize("cost", [2**63, -(2**70), None, 1.5, "much"])
async def test_an_outcome_that_no_record_can_hold_ends_its_call_as_failed(cost: object) -> None:
    kafka, world = Kafka(), World()
    world.cost_nanodollars = cast("int", cost)
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert "ModelCallCompleted cannot be written: body.cost_nanodollars is" in outcome.body.message


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (asyncio.CancelledError("enough"), "cancelled itself: enough"),
        (BaseExceptionGroup("several", [SystemExit(1)]), "several"),
        (ValueError("half a \ud83d"), "half a \ufffd"),
    ],
)
async def test_whatever_an_executor_raises_ends_its_call_alone(error: BaseException, told: str) -> None:
    kafka, world = Kafka(), World()
    world.raises = error
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert told in outcome.body.message


@pytest.mark.parametrize("duration_ms", [-1, 2**63, 8 * 86_400_000])
async def test_a_call_that_would_run_without_an_end_is_put_aside(duration_ms: int) -> None:
    kafka, world = Kafka(), World()
    world.duration_ms_max = duration_ms
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    assert [letter.code for letter in letters_on(kafka)] == ["invalid_input"]
    assert outcomes(kafka) == {}


async def test_a_call_that_the_ledger_cannot_hold_is_put_aside() -> None:
    kafka, world = Kafka(), World()
    call = requested(1)
    assert isinstance(call.body, ModelCallRequested)
    large = replace(call, body=replace(call.body, agent="x" * 999_000))
    kafka.send(large, MODEL_CALLS)
    kafka.send(requested(2), MODEL_CALLS)

    await live(kafka, world)

    assert [letter.code for letter in letters_on(kafka)] == ["too_large"]
    assert len(outcomes(kafka)) == 1


async def test_an_executor_that_raises_ends_its_call_as_failed() -> None:
    kafka, world = Kafka(), World()
    world.raises = RuntimeError("a bug")
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert "a bug" in outcome.body.message


async def test_a_call_that_takes_too_long_ends_as_failed() -> None:
    kafka, world = Kafka(), World()
    world.hold = asyncio.Event()
    world.duration_ms_max = 1
    kafka.send(requested(1), MODEL_CALLS)

    await live(kafka, world)

    (outcome,) = outcomes(kafka).values()
    assert isinstance(outcome.body, ModelCallFailed)
    assert "longer than it may" in outcome.body.message


async def test_a_record_that_cannot_be_read_is_put_aside_and_its_neighbours_run() -> None:
    kafka, world = Kafka(), World()
    kafka.send(requested(1), MODEL_CALLS, value=b"garbage")
    kafka.send(requested(2), MODEL_CALLS)

    await live(kafka, world)

    assert [letter.code for letter in letters_on(kafka)] == ["not_avro"]
    assert len(outcomes(kafka)) == 1
