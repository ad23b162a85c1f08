"""On the real stack: an input that is sent or read again is taken once, through resets and moves."""

from collections import Counter
from pathlib import Path

import pytest

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived, SessionClosed
from schemas.events.outputs import AnswerGiven, ErrorReported, SessionEnded, TurnStarted
from schemas.ids import derived_id
from streams.records.delivery import REDRIVEN_HEADER
from tests.streams.real_scene import Scene, question
from tests.streams.world import PROJECT_DIRECTORY, Worker
from topics.catalog import DEAD_LETTERS, SESSION_INPUTS, SESSION_OUTPUTS, USER_INPUTS

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

DEFAULTS = PROJECT_DIRECTORY / "streams" / "configuration" / "defaults"
SESSION = derived_id("session", "long")
SHELLS = ("ingress", "session", "model", "tool")
"""What an answer needs; fewer shells begin sooner."""


def say(number: int) -> Envelope:
    return Envelope(
        event_id=derived_id("say", str(number)),
        session_id=SESSION,
        body=MessageReceived(text=f"Say yes {number}"),
    )


async def done_with(scene: Scene, *events: Envelope) -> None:
    """Wait until each of the messages has an answer or an error."""
    wanted = {one.event_id for one in events}

    async def is_done() -> bool:
        outputs = [one.body for one in await scene.events(SESSION_OUTPUTS)]
        return wanted <= {one.input_id for one in outputs if isinstance(one, AnswerGiven | ErrorReported)}

    await scene.until(is_done)


async def told(scene: Scene) -> Counter[str]:
    """Count the distinct words about each input."""
    distinct = {one.event_id: one.body for one in await scene.events(SESSION_OUTPUTS)}
    bodies = [one for one in distinct.values() if isinstance(one, TurnStarted | AnswerGiven | ErrorReported)]
    return Counter(f"{type(one).__name__} {one.input_id}" for one in bodies)


async def assert_nothing_more(scene: Scene, before: Counter[str], letters: int = 0) -> None:
    after = await told(scene)
    assert {what: count for what, count in after.items() if count > 1} == {}
    assert before <= after
    found = [one.body for one in await scene.events(DEAD_LETTERS)]
    assert len(found) == letters, [one.reason for one in found if isinstance(one, RecordRejected)]


async def begun_anew(scene: Scene, worker: Worker, number: int) -> Worker:
    """Replace the worker by one whose groups have acknowledged nothing, as after a reset of all of them."""
    await worker.killed()
    worker = scene.worker(*SHELLS, CARTRITA_APP_ID=f"anew-{number}")
    await scene.ready(worker, len(SHELLS))
    return worker


@pytest.mark.parametrize("count", [300, pytest.param(3_000, marks=pytest.mark.slow)])
async def test_the_first_of_many_inputs_is_known_when_it_is_sent_or_read_again(
    scene: Scene, count: int
) -> None:
    worker = scene.worker(*SHELLS)
    await scene.ready(worker, len(SHELLS))
    sent = [say(number) for number in range(count)]
    for begin in range(0, count, 500):
        await scene.send(*sent[begin : begin + 500])
        await done_with(scene, sent[min(begin + 499, count - 1)])
    await done_with(scene, *sent)
    before = await told(scene)
    taken = len(await scene.events(SESSION_INPUTS))
    assert taken == count

    await scene.send(*sent[:5], sent[count // 2])
    last = say(count)
    await scene.send(last)
    await done_with(scene, last)
    await assert_nothing_more(scene, before)

    # The group of the ingress shell is set back, and the partitions go to another worker.
    worker = await begun_anew(scene, worker, 1)
    last = say(count + 1)
    await scene.send(last)
    await done_with(scene, last)
    await assert_nothing_more(scene, before)
    assert len(await scene.events(SESSION_INPUTS)) == taken + 6 + 2

    other = scene.worker(*SHELLS, CARTRITA_APP_ID="anew-1", CARTRITA_IDENTITY="other")
    await scene.ready(other, len(SHELLS))
    await worker.killed()
    await scene.send(*sent[:3], last := say(count + 2))
    await done_with(scene, last)
    await assert_nothing_more(scene, before)
    await scene.assert_sequences_sound()


async def test_a_reset_makes_no_letters_of_inputs_for_sessions_that_have_left(
    scene: Scene, tmp_path: Path
) -> None:
    limits = (DEFAULTS / "limits.toml").read_text(encoding="utf-8")
    (tmp_path / "configuration").mkdir()
    (tmp_path / "configuration" / "limits.toml").write_text(
        f"session_retention_ms = 1_000\n{limits}", encoding="utf-8"
    )
    environment = {"CARTRITA_CONFIGURATION_DIRECTORY": str(tmp_path / "configuration")}
    worker = scene.worker(*SHELLS, **environment)
    await scene.ready(worker, len(SHELLS))
    questions = [question(f"gone {number}", "Say yes") for number in range(5)]
    await scene.send(*questions)
    await done_with(scene, *questions)
    await scene.send(*[Envelope(session_id=one.session_id, body=SessionClosed()) for one in questions])

    async def have_ended() -> bool:
        return sum(isinstance(one.body, SessionEnded) for one in await scene.events(SESSION_OUTPUTS)) >= 5

    await scene.until(have_ended)
    await worker.logged("keys_left")
    before = await told(scene)
    taken = len(await scene.events(SESSION_INPUTS))

    await worker.killed()
    worker = scene.worker(*SHELLS, **environment, CARTRITA_APP_ID="anew")
    await scene.ready(worker, len(SHELLS))
    last = question("stays", "Say yes")
    await scene.send(last)
    await done_with(scene, last)

    await assert_nothing_more(scene, before)
    assert len(await scene.events(SESSION_INPUTS)) == taken + 1


async def test_a_record_that_was_put_aside_and_is_redriven_is_taken_in(scene: Scene) -> None:
    worker = scene.worker(*SHELLS)
    await scene.ready(worker, len(SHELLS))
    # What a newer schema would have allowed: the program that knows it comes later.
    await scene.put(USER_INPUTS, None, b"not avro yet")
    one = question("redriven", "Say yes")

    async def is_aside() -> bool:
        return len(await scene.events(DEAD_LETTERS)) == 1

    await scene.until(is_aside)
    async with scene.world.producer() as producer:
        await producer.send_and_wait(
            scene.world.prefix + USER_INPUTS.name,
            scene.world.codec.encode(USER_INPUTS, one),
            headers=[(REDRIVEN_HEADER, b"user.inputs/0/0")],
        )
    await done_with(scene, one)
    before = await told(scene)

    await begun_anew(scene, worker, 2)
    last = question("last", "Say yes")
    await scene.send(last)
    await done_with(scene, last)

    await assert_nothing_more(scene, before, letters=1)
