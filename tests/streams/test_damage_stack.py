"""Damaged tables on the real stack: a worker goes on past what is damaged, and the log restores the rest."""

import json
import signal
from dataclasses import replace

import pytest

from schemas.events.dead_letters import RecordRejected
from schemas.events.models import ModelCallFailed, ModelCallRequested
from schemas.events.outputs import AnswerGiven
from schemas.ids import derived_id
from streams.effects.ledger import call_key, position_key
from streams.process.settings import Settings
from streams.worker.restoring import NotRestored, Restorer
from tests.streams.real_scene import Scene, question
from tests.streams.world import PARTITIONS
from topics.catalog import MODEL_CALLS, MODEL_RESULTS
from topics.routing import partition_of
from topics.tables import MODEL_LEDGER, SESSION_STATES, changelog_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]


def home_of(session: str) -> int:
    return partition_of(derived_id("session", session).encode(), PARTITIONS)


def sessions_by_home(prefix: str) -> list[str]:
    """Return one session's name for each partition, in order."""
    names = {home_of(f"{prefix}{number}"): f"{prefix}{number}" for number in range(200)}
    return [names[partition] for partition in range(PARTITIONS)]


async def put(scene: Scene, table: str, key: bytes, value: bytes, partition: int) -> None:
    async with scene.world.producer() as producer:
        await producer.send_and_wait(changelog_of(scene.world.prefix, table), value, key, partition)


@pytest.mark.parametrize("store", ["memory", pytest.param("rocksdb", marks=pytest.mark.slow)])
async def test_a_worker_starts_past_damage_and_what_stands_goes_on_once_it_is_restored(
    scene: Scene, store: str
) -> None:
    worker = scene.worker(CARTRITA_TABLE_STORE=store)
    await scene.ready(worker)
    before, after = sessions_by_home("before"), sessions_by_home("after")
    await scene.send(question(before[0]))
    await scene.answers(1)
    await worker.killed()
    garbled = derived_id("session", before[0]).encode()
    await put(scene, SESSION_STATES, garbled, b"garbage", 0)
    await put(scene, SESSION_STATES, derived_id("session", "never").encode(), b'{"a":1}', 1)
    await put(scene, SESSION_STATES, b"\xff\xfe", b"\0\0\0\0\1zzz", 1)
    await put(scene, SESSION_STATES, b"\x00departed/2/0", b"garbage", 2)
    await put(scene, MODEL_LEDGER, position_key(MODEL_CALLS.name, 3), b"garbage", 3)

    worker = scene.worker(CARTRITA_TABLE_STORE=store)
    await scene.ready(worker)
    again = replace(question(before[0]), event_id=derived_id("input", "again"))
    await scene.send(again, *(question(name) for name in after))

    # On partition 2 no session is taken up, on partition 3 no model is asked.
    answered = {one.session_id for one in await scene.answers(3)}
    assert answered == {derived_id("session", name) for name in (before[0], *after[:2])}
    letters = await scene.world.letters(1)
    assert {one.session_id for one in letters} == {garbled.decode()}
    assert again.event_id in {one.causation_id for one in letters}
    for letter in letters:
        assert isinstance(letter.body, RecordRejected)
        assert letter.body.code == "quarantined"
        assert (
            changelog_of(scene.world.prefix, SESSION_STATES) + ", partition 0, offset " in letter.body.reason
        )

    settings = Settings.from_environment(scene.environment())
    restorer = Restorer(settings, scene.world.codec)
    damaged = {(one.table, one.partition, one.remedy) for one in await restorer.damaged()}
    for table, partition in ((SESSION_STATES, 2), (MODEL_LEDGER, 3)):
        assert (table, partition, f"cartrita tables restore {table} {partition}") in damaged
        assert await restorer.restore(table, partition)
    with pytest.raises(NotRestored):
        await restorer.restore("plans", 0)
    await worker.killed()
    worker = scene.worker(CARTRITA_TABLE_STORE=store)
    await scene.ready(worker)

    answered = {one.session_id for one in await scene.answers(5)}
    assert answered == {derived_id("session", name) for name in (before[0], *after)}
    left = {json.dumps(one.key) for one in await restorer.damaged() if one.table != MODEL_LEDGER}
    assert len(left) == 3
    await scene.assert_sequences_sound()


async def test_a_call_whose_ledger_entry_is_damaged_is_told_at_the_next_start_and_its_turn_goes_on(
    scene: Scene,
) -> None:
    worker = scene.worker(CARTRITA_FAILPOINT="call_dispatched:1")
    await scene.ready(worker)
    await scene.send(question("one"))
    assert await worker.ended() == -signal.SIGKILL
    [asked] = [one for one in await scene.events(MODEL_CALLS) if isinstance(one.body, ModelCallRequested)]
    assert isinstance(asked.body, ModelCallRequested)
    await put(scene, MODEL_LEDGER, call_key(asked.body.call_id), b"garbage", home_of("one"))

    await scene.ready(scene.worker())

    [answer] = await scene.answers(1)
    assert isinstance(answer.body, AnswerGiven)
    assert answer.body.complete
    told = [
        one.body
        for one in await scene.events(MODEL_RESULTS)
        if isinstance(one.body, ModelCallFailed) and one.body.call_id == asked.body.call_id
    ]
    assert [(one.kind, one.maybe_billed) for one in told] == [("interrupted", True)]
    assert not await Restorer(Settings.from_environment(scene.environment()), scene.world.codec).damaged()
    await scene.assert_sequences_sound()
