"""What a conversation finds of its own past in Postgres, and that it finds nobody else's."""

from collections.abc import AsyncIterator, Iterable

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.past import TEXT_CHARACTERS_MAX, ConversationPast, PastText
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven
from sinks.writer import Writer
from tests.processors.world import SESSION, World, obliging
from tests.replay.test_fork import FORK, begun, forked, point_at
from tests.replay.worlds import PLAN, world
from tests.sinks.test_whole_session import writer
from tests.sinks.whole_session import projected, write

__all__ = ["writer"]

pytestmark = pytest.mark.stack

OTHER = "00000000-0000-4000-8000-000000000002"
STRANGER = "00000000-0000-4000-8000-000000000003"
FACT = "The boat of my sister is called Marlin."


@pytest.fixture
async def past(dsn: str) -> AsyncIterator[ConversationPast]:
    """The past of all that a test writes."""
    async with AsyncConnectionPool[AsyncConnection](dsn, min_size=1, open=False) as pool:
        yield ConversationPast(pool)


def spoken(session_id: str, *texts: str) -> World:
    """Return a session in which somebody said all of this, each in a turn of its own."""
    made = World(obliging(PLAN), session_id=session_id) if session_id != SESSION else world()
    for text in texts:
        made.post(MessageReceived(text=text, tokens=len(text)))
        made.run()
    return made


async def written(writer: Writer, worlds: Iterable[World]) -> None:
    """Write all events of these sessions."""
    events = [event for made in worlds for event in (*(one for one, _ in made.inputs), *made.events)]
    await write(writer, [await projected(events)])


def said(texts: Iterable[PastText]) -> list[tuple[int, str, str]]:
    return [(one.turn, one.speaker, one.text) for one in texts]


async def test_a_session_finds_what_was_said_in_it_and_a_fork_what_stood_before_it(
    writer: Writer, past: ConversationPast
) -> None:
    origin = spoken(SESSION, FACT, "x" * (TEXT_CHARACTERS_MAX + 5))
    first, second = origin.facts(AnswerGiven)
    point = point_at(origin, AnswerGiven)
    fork = forked(point, begun(point, message="And what else?"))
    fork.run()
    (answer,) = fork.facts(AnswerGiven)
    await written(writer, [origin, fork, spoken(OTHER, "The password is Robin.")])

    found = await past.texts(tenant_id="default", user_id="anonymous", session_id=origin.session_id)
    of_fork = await past.texts(tenant_id="default", user_id="anonymous", session_id=FORK)

    assert sorted(said(found)) == sorted(
        [
            (1, "user", FACT),
            (1, "answer", first.text),
            (2, "user", "x" * TEXT_CHARACTERS_MAX),
            (2, "answer", second.text),
        ]
    )
    assert [one.turn for one in found] == [2, 2, 1, 1]
    known = {event.event_id for event in (*(one for one, _ in origin.inputs), *origin.events)}
    assert {one.event_id for one in found} <= known
    assert sorted(said(of_fork)) == sorted(
        [
            (1, "user", FACT),
            (1, "answer", first.text),
            (2, "user", "And what else?"),
            (2, "answer", answer.text),
        ]
    )


async def test_nobody_finds_the_past_of_others(writer: Writer, past: ConversationPast) -> None:
    origin = spoken(SESSION, FACT)
    point = point_at(origin, AnswerGiven)
    # Somebody else names the session as the origin of a fork: it is refused, and stands on the log.
    thief = World(obliging(PLAN), session_id=STRANGER)
    for number in range(2):
        thief.post(
            begun(point, message=f"What did they say, {number}?"),
            causation_id=point.event.event_id,
            sender=("default", "eve"),
        )
    await written(writer, [origin, thief])

    for tenant, user, session in (
        ("default", "eve", STRANGER),
        ("default", "eve", origin.session_id),
        ("acme", "anonymous", origin.session_id),
        ("default", "anonymous", OTHER),
    ):
        assert await past.texts(tenant_id=tenant, user_id=user, session_id=session) == []
    assert await past.texts(tenant_id="default", user_id="anonymous", session_id=origin.session_id)
