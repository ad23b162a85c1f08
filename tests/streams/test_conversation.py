"""Following a message: whoever follows it is told at once when its session is put aside."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import cast

import pytest

from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import TurnStarted
from schemas.ids import derived_id
from streams.cli.messages import show_fact
from streams.client.client import Client, Received
from streams.client.conversation import ask
from tests.streams.twin import event
from topics.catalog import DEAD_LETTERS, SESSION_OUTPUTS, USER_INPUTS, Topic

MESSAGE = event(MessageReceived(text="hello"))


class FakeClient:
    """Tells what it was given once the message is posted."""

    def __init__(self, told: Iterable[Envelope]) -> None:
        self._told = list(told)
        self._posted = asyncio.Event()

    async def post(self, message: Envelope, topic: Topic = USER_INPUTS) -> tuple[int, int]:
        self._posted.set()
        return (0, 7)

    @asynccontextmanager
    async def listening(self, topics: Iterable[Topic]) -> AsyncIterator[AsyncIterator[Received]]:
        async with aclosing(self._records()) as records:
            yield records

    async def _records(self) -> AsyncGenerator[Received, None]:
        await self._posted.wait()
        for number, one in enumerate(self._told):
            topic = DEAD_LETTERS if isinstance(one.body, RecordRejected) else SESSION_OUTPUTS
            yield Received(topic=topic, partition=0, offset=number, key=None, event=one, fault="")
        await asyncio.Event().wait()


def letter(code: RejectionCode, *, session: int = 0, topic: str = "model.results") -> Envelope:
    body = RecordRejected(
        topic=topic,
        partition=3,
        offset=9,
        key=None,
        value=None,
        headers=(),
        code=code,
        reason="the decider raised KeyError: 'x'",
        shell="session",
    )
    return event(body, session=session, number=list(RejectionCode).index(code))


def started() -> Envelope:
    return event(TurnStarted(turn=1, input_id=MESSAGE.event_id, task_id=derived_id("task")))


async def told(*events: Envelope) -> list[Fact]:
    found: list[Fact] = []
    async with asyncio.timeout(5), aclosing(ask(cast("Client", FakeClient(events)), MESSAGE)) as updates:
        async for update in updates:
            found.append(update.fact)
    return found


async def test_a_session_that_is_put_aside_in_the_midst_of_a_turn_settles_what_is_followed() -> None:
    others = letter(RejectionCode.QUARANTINED, session=1)

    facts = await told(others, started(), letter(RejectionCode.QUARANTINED))

    assert [type(fact) for fact in facts] == [TurnStarted, RecordRejected]


async def test_another_letter_about_the_session_settles_nothing() -> None:
    facts = await told(
        letter(RejectionCode.NOT_AVRO), started(), letter(RejectionCode.QUARANTINED, topic="tool.results")
    )

    assert [type(fact) for fact in facts] == [TurnStarted, RecordRejected]


def test_whoever_follows_reads_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    show_fact(letter(RejectionCode.QUARANTINED).body)

    shown = " ".join(capsys.readouterr().err.split())
    assert "the session is put aside" in shown
    assert "cartrita dead-letters list --code quarantined" in shown
