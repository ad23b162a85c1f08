"""Who gets a fork of what, and what the others are told."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from processors.transition import digest
from schemas.envelope import Envelope
from schemas.events.inputs import ForkRefused, ForkRequested, SessionForked
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, ErrorCode, ErrorReported
from schemas.events.tasks import TaskCompleted
from schemas.ids import derived_id
from streams.history.fork import fork_point, fork_wanted
from streams.history.recording import Recording
from streams.history.recording_reader import SessionMissing
from streams.records.delivery import OwnershipLost
from streams.shells.fork import Fold, ForkShell
from tests.processors.world import World, obliging
from tests.replay.worlds import PLAN, recorded, world
from tests.streams.twin import CODEC, Kafka, TwinLog, metrics
from topics.catalog import DEAD_LETTERS, FORK_REQUESTS, SESSION_INPUTS

NEW = derived_id("session", "new")
ID = derived_id("input", "fork")


def origin() -> World:
    made = world()
    made.say()
    return made.run()


ORIGIN = origin()


def folding(recording: Recording | None = None) -> Fold:
    there = recording or recorded(ORIGIN)

    async def fold(wanted: Envelope) -> SessionForked:
        assert isinstance(wanted.body, ForkRequested)
        if wanted.body.origin_session_id != there.session_id:
            raise SessionMissing("the log has nothing of it")
        return fork_wanted(there, wanted)

    return fold


def shell_on(kafka: Kafka, fold: Fold) -> ForkShell:
    return ForkShell(
        fold,
        codec=CODEC,
        log=TwinLog(kafka),
        floors=TwinLog(kafka).floors,
        topic_prefix="",
        metrics=metrics("fork"),
        now_ms=lambda: 5,
    )


def event_of(kind: type) -> Envelope:
    return next(event for event in ORIGIN.events if isinstance(event.body, kind))


def wanted(at: Envelope | None = None, **changes: str | int | None) -> Envelope:
    plain = {
        "origin_session_id": ORIGIN.session_id,
        "origin_event_id": (at or event_of(TaskCompleted)).event_id,
    }
    body = ForkRequested(**{**plain, **changes})  # type: ignore[arg-type]  # each test names a field of its type
    first = ORIGIN.events[0]
    return Envelope(
        event_id=derived_id(ID, "request"),
        correlation_id=ID,
        type="ForkRequested",
        session_id=NEW,
        tenant_id=first.tenant_id,
        user_id=first.user_id,
        occurred_at_ms=77,
        body=body,
    )


async def told(event: Envelope, fold: Fold | None = None, times: int = 1) -> list[Envelope]:
    kafka = Kafka()
    for _ in range(times):
        kafka.send(event, FORK_REQUESTS)
    shell = shell_on(kafka, fold or folding())
    await shell.own({})
    await shell.process(kafka.waiting())
    assert kafka.waiting() == []
    assert kafka.events(DEAD_LETTERS) == []
    return kafka.events(SESSION_INPUTS)


async def refusal(event: Envelope, fold: Fold | None = None) -> str:
    (answer,) = await told(event, fold)
    assert isinstance(answer.body, ForkRefused)
    assert (answer.event_id, answer.session_id, answer.user_id) == (ID, NEW, event.user_id)
    return answer.body.reason


async def test_a_fork_begins_with_the_past_that_the_log_has_and_the_id_that_its_sender_knows() -> None:
    at = event_of(TaskCompleted)

    (event,) = await told(wanted(budget_tokens=30_000, model="gpt-4o-mini"))

    assert isinstance(event.body, SessionForked)
    point = fork_point(recorded(ORIGIN), at.event_id)
    assert event.body.origin_digest == digest(event.body.state_json.encode())
    assert event.body.origin_sequence == point.state.sequence
    assert (event.event_id, event.causation_id) == (ID, at.event_id)
    assert (event.producer, event.occurred_at_ms) == ("fork", 77)
    fork = World(obliging(PLAN), session_id=NEW)
    fork.apply(event)
    fork.run()
    assert [answer.input_id for answer in fork.facts(AnswerGiven)] == [ID]
    assert {call.model for call in fork.facts(ModelCallRequested)} == {"gpt-4o-mini"}


async def test_the_same_wish_again_is_the_same_fork() -> None:
    first, second = await told(wanted(), times=2)

    assert first == second


@pytest.mark.parametrize("who", [{"user_id": "mallory"}, {"tenant_id": "evil"}, {"tenant_id": "*"}])
async def test_whoever_has_no_such_session_learns_nothing_of_it(who: dict[str, str]) -> None:
    missing = replace(wanted(origin_session_id=derived_id("no", "session")), **who)  # type: ignore[arg-type]  # texts alone
    nowhere = replace(wanted(origin_event_id=derived_id("no", "event")), **who)  # type: ignore[arg-type]  # texts alone
    strange = replace(wanted(), **who)  # type: ignore[arg-type]  # texts alone

    reasons = [await refusal(event) for event in (missing, nowhere, strange)]

    assert len({reason.rpartition(" ")[0] for reason in reasons}) == 1
    assert all("has no session" in reason for reason in reasons)


async def test_an_owner_is_told_what_is_wrong() -> None:
    last = event_of(AnswerGiven)

    assert "has no event" in await refusal(wanted(origin_event_id=derived_id("no", "event")))
    (event,) = await told(wanted(at=last))
    assert isinstance(event.body, SessionForked), "the decider says that nothing was in progress"


async def test_a_refusal_reaches_its_sender_and_opens_nothing() -> None:
    (event,) = await told(wanted(origin_event_id=derived_id("no", "event")))
    new = World(obliging(PLAN), session_id=NEW)

    new.apply(event)

    (error,) = new.facts(ErrorReported)
    assert (error.code, error.input_id) == (ErrorCode.FORK_INVALID, ID)
    assert "has no event" in error.message


async def test_a_past_too_long_for_a_record_is_refused() -> None:
    async def fold(event: Envelope) -> SessionForked:
        state_json = orjson.dumps({"history": "x" * 1_000_000}).decode()
        return replace(await folding()(event), state_json=state_json)

    assert "would be a record of 1,0" in await refusal(wanted(), fold)


async def test_a_fork_under_way_is_given_up_when_its_partition_is_revoked() -> None:
    begun = asyncio.Event()

    async def fold(event: Envelope) -> SessionForked:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    kafka = Kafka()
    kafka.send(wanted(), FORK_REQUESTS)
    shell = shell_on(kafka, fold)
    await shell.own({})
    under_way = asyncio.ensure_future(shell.process(kafka.waiting()))
    await begun.wait()

    shell.disown()

    with pytest.raises(OwnershipLost):
        await asyncio.wait_for(under_way, 5)
    await asyncio.wait_for(shell.settle(), 5)
    assert kafka.waiting()
    assert kafka.events(SESSION_INPUTS) == []
