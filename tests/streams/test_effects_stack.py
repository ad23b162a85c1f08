"""Kills around calls of models and tools, on the real stack: one outcome per call, none asked twice."""

import signal
from collections import Counter

import pytest

from schemas.envelope import Envelope
from schemas.events.models import ModelCallCompleted, ModelCallFailed, ModelCallRequested
from streams.process.ending import ExitCode
from tests.streams.real_scene import Scene, question
from topics.catalog import MODEL_CALLS, MODEL_RESULTS

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(240)]

POINTS = ("call_accepted:2", "call_dispatched:2", "call_ended:2", "outcome_stored:2", "outcome_published:2")


async def test_kills_at_every_step_of_a_call_leave_one_outcome_and_ask_no_model_twice(scene: Scene) -> None:
    for number, point in enumerate(POINTS):
        await scene.send(question(str(number)))
        worker = scene.worker(CARTRITA_FAILPOINT=point)
        assert await worker.ended() == -signal.SIGKILL, worker.log[-2_000:]
    worker = scene.worker()

    await scene.answers(len(POINTS), 120)

    calls = {
        one.body.call_id
        for one in await scene.events(MODEL_CALLS)
        if isinstance(one.body, ModelCallRequested)
    }
    results: dict[str, Envelope] = {}
    for one in await scene.events(MODEL_RESULTS):
        known = results.setdefault(one.event_id, one)
        assert known.body == one.body, "one call with two outcomes"
    ended = Counter(
        one.body.call_id
        for one in results.values()
        if isinstance(one.body, ModelCallCompleted | ModelCallFailed)
    )
    assert set(ended) == calls
    assert set(ended.values()) == {1}
    asked = Counter(
        entry.client_request_id for entry in scene.model.ledger.entries() if entry.endpoint == "chat"
    )
    assert all(asked[call_id] <= 1 for call_id in calls)
    await scene.assert_sequences_sound()
    worker.signal(signal.SIGTERM)
    assert await worker.ended() == ExitCode.OK
