"""kill -9, SIGSTOP and rebalances of real workers on real Kafka: nothing lost, nothing twice."""

import asyncio
import random
import re
import signal
from collections.abc import Sequence

import pytest

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived, SessionClosed
from streams.process.ending import ExitCode
from tests.streams.twin import event, tool_failed
from tests.streams.world import WAIT_S, Worker, World
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


async def have_left(worker: Worker, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            if sum(map(int, re.findall(r"keys_left.*?keys\D*(\d+)", worker.log))) >= count:
                return
            await asyncio.sleep(0.05)


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


@pytest.mark.timeout(150)
async def test_tables_on_disk_survive_kills_and_a_start_reads_only_what_is_new(world: World) -> None:
    total = 1_500
    options = ("--identity", "one", "--on-disk")
    await send(world, 0, total)
    for failpoint in ("stored:2", "published_in_part:2", "acknowledged:3"):
        worker = world.worker(*options, "--failpoint", failpoint)
        assert await worker.ended() == -signal.SIGKILL, worker.log[-2_000:]

    world.worker(*options)
    await assert_exactly_once(world, 2 * total)
    await world.workers[-1].killed()
    again = world.worker(*options)
    await again.logged("shell_ready")
    elsewhere = world.worker("--identity", "two", "--on-disk")
    await again.killed()
    await elsewhere.logged("shell_ready")
    await send(world, total, 100)

    await assert_exactly_once(world, 2 * (total + 100))
    # Recovery reads the last record that it knows of each partition once more.
    assert recovered_bytes(again) < 20_000 < recovered_bytes(elsewhere)


def recovered_bytes(worker: Worker) -> int:
    return sum(int(number) for number in re.findall(r"recovered_bytes\D+(\d+)", worker.log))


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


@pytest.mark.timeout(120)
async def test_sessions_that_left_stay_away_through_a_kill_and_a_group_that_begins_anew(world: World) -> None:
    sessions = range(20)
    await world.send([event(MessageReceived(text="hello"), session=number) for number in sessions])
    killed = world.worker("--identity", "one", "--retention-ms", "1000", "--failpoint", "departures_stored:1")
    await killed.logged("shell_ready")
    await world.send([event(SessionClosed(), session=number) for number in sessions])
    assert await killed.ended() == -signal.SIGKILL

    worker = world.worker("--identity", "one", "--retention-ms", "1000", "--on-disk")
    await have_left(worker, len(sessions))
    await worker.killed()
    # Another group has acknowledged nothing: everything is delivered again.
    anew = world.worker("--app-id", "anew", "--retention-ms", "1000", "--on-disk")
    await anew.logged("shell_ready")
    late = [event(MessageReceived(text="late"), session=number, number=2) for number in sessions]
    await world.send(late)

    letters = [one.body for one in await world.letters(20) if isinstance(one.body, RecordRejected)]
    assert {letter.code for letter in letters} == {"ended"}
    assert len(letters) == len(sessions)
    await assert_exactly_once(world, 2 * len(sessions))
