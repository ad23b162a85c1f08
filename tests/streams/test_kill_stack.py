"""kill -9, SIGSTOP and rebalances of real workers on real Kafka: nothing lost, nothing twice."""

import asyncio
import random
import signal
from collections.abc import Sequence

import pytest

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from streams.ending import ExitCode
from tests.streams.test_stateful_shell import tool_failed
from tests.streams.twin import event
from tests.streams.world import World
from topics.catalog import SESSION_INPUTS, TOOL_RESULTS

pytestmark = pytest.mark.stack

SESSIONS = 60


def messages(first: int, count: int) -> list[Envelope]:
    return [
        event(MessageReceived(text="hello"), session=number % SESSIONS, number=number)
        for number in range(first, first + count)
    ]


def results(first: int, count: int) -> list[Envelope]:
    return [tool_failed(session=number % SESSIONS, number=number) for number in range(first, first + count)]


async def send(world: World, first: int, count: int) -> None:
    await world.send(messages(first, count), SESSION_INPUTS)
    await world.send(results(first, count), TOOL_RESULTS)


async def assert_exactly_once(world: World, inputs: int) -> None:
    outputs = await world.outputs_of(inputs)
    assert len(outputs.events) == inputs
    assert outputs.conflicts == []
    assert outputs.gaps == []
    assert all(len(caused) == 1 for caused in outputs.causes.values())


@pytest.mark.timeout(150)
async def test_kills_at_every_failpoint_lose_nothing_and_repeat_nothing(world: World) -> None:
    names: Sequence[str] = (
        "recovered",
        "decided",
        "stored_in_part",
        "stored",
        "published_in_part",
        "published",
        "acknowledged",
    )
    total = 0
    for number, name in enumerate(names):
        await send(world, total, 150)
        total += 150
        worker = world.worker("--identity", "one", "--failpoint", f"{name}:{1 if name == 'recovered' else 2}")
        if name != "recovered":
            # A second batch is needed to reach it twice.
            await worker.logged("shell_ready")
            await send(world, total, 50)
            total += 50
        assert await worker.ended() == -signal.SIGKILL, f"{number} {name}: {worker.log[-2_000:]}"

    world.worker("--identity", "one")
    await assert_exactly_once(world, 2 * total)


@pytest.mark.timeout(150)
async def test_random_kills_lose_nothing_and_repeat_nothing(world: World) -> None:
    generator = random.Random(20_261_124)
    total = 2_500
    await send(world, 0, total)

    for _ in range(5):
        worker = world.worker("--identity", "one")
        await worker.logged("shell_ready")
        await asyncio.sleep(generator.uniform(0.0, 0.6))
        await worker.killed()
    world.worker("--identity", "one")

    await assert_exactly_once(world, 2 * total)


@pytest.mark.timeout(120)
async def test_two_workers_share_the_partitions_and_one_takes_over_when_the_other_dies(world: World) -> None:
    await send(world, 0, 500)
    first = world.worker()
    await first.logged("shell_ready")
    second = world.worker()
    await second.logged("shell_ready")
    await send(world, 500, 500)
    await world.outputs_of(1_500)
    await first.killed()
    await send(world, 1_000, 300)

    await assert_exactly_once(world, 2 * 1_300)

    second.signal(signal.SIGTERM)
    assert await second.ended() == ExitCode.OK


@pytest.mark.timeout(120)
async def test_a_worker_that_slept_beyond_its_session_is_refused_and_ends(world: World) -> None:
    await send(world, 0, 50)
    zombie = world.worker("--failpoint", "stored_in_part:2:stop")
    await zombie.stopped()
    await send(world, 50, 50)
    heir = world.worker()
    await heir.logged("shell_ready")

    await world.outputs_of(200)
    zombie.signal(signal.SIGCONT)

    assert await zombie.ended() == ExitCode.REFUSED, zombie.log[-3_000:]
    await send(world, 100, 50)
    await assert_exactly_once(world, 300)
