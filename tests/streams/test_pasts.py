"""What the ingress shell tells a session of its past in V1, and what it does where nobody can say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.inputs import InputInvalid
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import ForkRequested, ImportedText, MessageReceived, SessionImported, SessionOpened
from schemas.ids import derived_id
from sinks.imported_past import ImportedSession
from streams.shells.ingress import IngressShell
from streams.shells.pasts import AWAY_S, NOTHING_S, ImportedPasts, told_before
from tests.streams.test_ingress_shell import SESSION, shell_on
from tests.streams.twin import Kafka, TwinLog
from topics.catalog import DEAD_LETTERS, FORK_REQUESTS, SESSION_INPUTS, USER_INPUTS

OTHERS = derived_id("session", "of others")


@dataclass
class Past:
    """Knows that every session came over, and that one is another's."""

    asked: list[Envelope] = field(default_factory=list)

    async def past_of(self, message: Envelope) -> Envelope | None:
        self.asked.append(message)
        if message.session_id == OTHERS:
            raise InputInvalid("the session is not one of yours")
        told = ImportedText(role="user", partition=0, offset=3, event_id="m", tokens=2, characters=9)
        body = SessionImported(origin="old", messages=1, told=(told,))
        return told_before(message, body, caused_by=None)


def knowing(log: TwinLog, past: Past) -> IngressShell:
    shell = shell_on(log)
    shell._pasts = past
    return shell


async def test_what_a_session_was_stands_before_the_message_and_before_no_other_input() -> None:
    kafka, past = Kafka(), Past()
    wish = ForkRequested(origin_session_id=SESSION, origin_event_id=SESSION, text="x")
    for body in (SessionOpened(), MessageReceived(text="go on"), wish, MessageReceived(text="and on")):
        kafka.send(Envelope(session_id=SESSION, body=body), USER_INPUTS)
    shell = knowing(TwinLog(kafka), past)
    await shell.own({})

    await shell.process(kafka.waiting())

    kinds = [type(one.body).__name__ for one in kafka.events(SESSION_INPUTS)]
    assert kinds == [
        *("SessionOpened", "SessionImported", "MessageReceived", "SessionImported", "MessageReceived")
    ]
    first, second = [one for one in kafka.events(SESSION_INPUTS) if isinstance(one.body, SessionImported)]
    assert first.event_id == second.event_id, "a session knows it as a repeat"
    assert len(kafka.events(FORK_REQUESTS)) == 1
    assert [type(one.body) for one in past.asked] == [MessageReceived, MessageReceived]


async def test_a_message_for_what_came_over_for_somebody_else_is_put_aside() -> None:
    kafka = Kafka()
    kafka.send(Envelope(session_id=OTHERS, body=MessageReceived(text="let me in")), USER_INPUTS)
    kafka.send(Envelope(session_id=SESSION, body=MessageReceived(text="go on")), USER_INPUTS)
    shell = knowing(TwinLog(kafka), Past())
    await shell.own({})

    await shell.process(kafka.waiting())

    (letter,) = kafka.events(DEAD_LETTERS)
    assert isinstance(letter.body, RecordRejected)
    assert letter.body.reason == "the session is not one of yours"
    assert {one.session_id for one in kafka.events(SESSION_INPUTS)} == {SESSION}


@dataclass
class Away:
    """A Postgres that does not answer."""

    error: Exception | None
    tries: int = 0

    @asynccontextmanager
    async def connection(self, _timeout_s: float) -> AsyncIterator[AsyncConnection]:
        self.tries += 1
        if self.error is not None:
            raise self.error
        yield cast("AsyncConnection", None)


@pytest.mark.parametrize(
    "error",
    [PoolTimeout(), psycopg.OperationalError("gone"), psycopg.errors.UndefinedTable("none"), TimeoutError()],
)
async def test_where_postgres_is_away_messages_go_on_and_it_is_asked_again_later(error: Exception) -> None:
    now_s = 100.0
    away = Away(error)
    pasts = ImportedPasts(cast("AsyncConnectionPool[AsyncConnection]", away), len, clock=lambda: now_s)
    message = Envelope(session_id=SESSION, body=MessageReceived(text="go on"))

    assert [await pasts.past_of(message) for _ in range(3)] == [None] * 3
    assert away.tries == 1

    now_s += AWAY_S
    assert await pasts.past_of(message) is None
    assert away.tries == 2


async def test_where_nothing_ever_came_over_it_is_asked_every_few_seconds_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s, came, asked = 100.0, False, 0

    async def has_any_come(_connection: AsyncConnection) -> bool:
        nonlocal asked
        asked += 1
        return came

    async def imported_session(_connection: AsyncConnection, session_id: UUID) -> ImportedSession:
        raise InputInvalid(f"{session_id} came over for somebody else")

    monkeypatch.setattr("streams.shells.pasts.has_any_come", has_any_come)
    monkeypatch.setattr("streams.shells.pasts.imported_session", imported_session)
    pool = cast("AsyncConnectionPool[AsyncConnection]", Away(None))
    pasts = ImportedPasts(pool, len, clock=lambda: now_s)
    messages = [
        Envelope(session_id=str(UUID(int=number)), body=MessageReceived(text="a")) for number in range(9)
    ]

    assert [await pasts.past_of(one) for one in messages] == [None] * 9
    assert asked == 1

    came = True
    assert await pasts.past_of(messages[0]) is None
    now_s += NOTHING_S
    for one in messages:
        with pytest.raises(InputInvalid):
            await pasts.past_of(one)
    assert asked == 2
