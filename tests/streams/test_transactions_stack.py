"""A transactional producer on the real stack: what it commits is done once, what it aborts never was."""

import asyncio
import uuid
from collections.abc import Sequence

import pytest
from confluent_kafka import Producer

from schemas.envelope import Envelope
from schemas.ids import derived_id
from tests.streams.real_scene import Scene, question
from topics.catalog import SESSION_INPUTS, USER_INPUTS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]


class Transactional:
    """A producer of librdkafka's that writes to one partition in transactions."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._producer = Producer(
            {
                "bootstrap.servers": scene.world.endpoints.kafka_bootstrap,
                "transactional.id": f"test-{uuid.uuid4()}",
            }
        )
        self._producer.init_transactions(30)

    def write(self, events: Sequence[Envelope], *, commit: bool) -> None:
        """Write events in a transaction of their own."""
        self._producer.begin_transaction()
        for one in events:
            value = self._scene.world.codec.encode(USER_INPUTS, one)
            self._producer.produce(self._scene.world.prefix + USER_INPUTS.name, value, partition=0)
        assert self._producer.flush(30) == 0
        if commit:
            self._producer.commit_transaction(30)
        else:
            self._producer.abort_transaction(30)


async def test_committed_inputs_are_answered_once_and_aborted_ones_never_taken(scene: Scene) -> None:
    worker = scene.worker("ingress")
    await scene.ready(worker, 1)
    producers = [await asyncio.to_thread(Transactional, scene) for _ in range(2)]
    committed: list[str] = []
    for number in range(12):
        commit = number % 3 != 1
        inputs = [question(f"{number}-{one}") for one in range(1 + number % 2)]
        await asyncio.to_thread(producers[number % 2].write, inputs, commit=commit)
        committed += [one.session_id for one in inputs if commit]
    last = question("without a transaction")
    await scene.put(USER_INPUTS, None, scene.world.codec.encode(USER_INPUTS, last), 0)
    wanted = {*committed, last.session_id}

    async def taken() -> bool:
        return {one.session_id for one in await scene.events(SESSION_INPUTS)} == wanted

    await scene.until(taken)
    await worker.killed()
    worker = scene.worker("ingress")
    await scene.ready(worker, 1)
    await asyncio.to_thread(producers[0].write, [question("after")], commit=True)
    wanted.add(derived_id("session", "after"))

    await scene.until(taken)

    found = [one.session_id for one in await scene.events(SESSION_INPUTS)]
    assert set(found) == wanted
