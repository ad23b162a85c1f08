"""What is read in Postgres of a conversation that came over, by whoever goes on with it."""

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from connectors.retrieval.past import ConversationPast
from processors.inputs import InputInvalid
from processors.memory.imported import TOLD_MAX
from schemas.envelope import Envelope
from schemas.events.imports import ImportedStatus, MessageImported
from schemas.events.inputs import MessageReceived, SessionImported
from schemas.frozen import replace
from schemas.ids import derived_id
from sinks.imported_past import LOOKED_AT_MAX, TEXT_CHARACTERS_MAX
from streams.shells.pasts import TOLD_CHARACTERS_MAX, ImportedPasts
from tests.builders import CAME_OVER
from tests.projections.envelopes import NOON_MS, ROOT, SESSION, event
from tests.sinks.test_imports import write

pytestmark = pytest.mark.stack

Pool = AsyncConnectionPool[AsyncConnection]
GO_ON = event(MessageReceived(text="go on"), 1_000_000)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """Connections to the test's database."""
    async with AsyncConnectionPool[AsyncConnection](dsn, min_size=1, open=False) as pool:
        yield pool


def came_over(messages: int = 2, number: int = 0) -> Envelope:
    """Return what tells of the conversation itself."""
    fact = replace(CAME_OVER, status=ImportedStatus.COMPLETE, title="About boats", messages=messages)
    return event(fact, 900_000 + number)


def said(number: int, role: str, text: str, told: int = 0) -> Envelope:
    """Return what tells of a message; `told` is another number each time that it changed."""
    key = str(uuid.UUID(int=number, version=4))
    fact = MessageImported(
        origin="old",
        source_key=key,
        message_id=key,
        in_place=False,
        role=role,
        text=text,
        said_at_us=None,
        metadata_json="{}",
        cost_tokens=0,
        cost_tokens_before=0,
        root_task_id=ROOT,
        task=None,
    )
    return event(fact, number + 100_000 * told, occurred_at_ms=NOON_MS + number)


def told(past: Envelope | None) -> SessionImported:
    """Return what a session is told."""
    assert past is not None
    assert isinstance(past.body, SessionImported)
    return past.body


async def test_the_latest_of_users_and_answers_is_named_by_its_place(dsn: str, pool: Pool) -> None:
    events = [
        said(1, "user", "When do they leave?"),
        said(2, "tool", "{}"),
        said(3, "assistant", "At eight."),
        said(4, "user", "  "),
        came_over(4),
        said(1, "user", "When do ferries leave?", told=1),
    ]
    await write(dsn, events)

    past = await ImportedPasts(pool, len).past_of(GO_ON)

    body = told(past)
    assert past is not None
    assert (body.origin, body.title, body.messages) == ("old", "About boats", 4)
    assert [(one.role, one.offset, one.tokens) for one in body.told] == [
        ("user", 5, len("When do ferries leave?")),
        ("assistant", 2, len("At eight.")),
    ]
    assert [one.event_id for one in body.told] == [events[5].event_id, events[2].event_id]
    assert past.event_id == derived_id(SESSION, "imported", events[4].event_id, *past.evidence_ids)
    assert (past.causation_id, past.evidence_ids) == (
        events[4].event_id,
        (events[5].event_id, events[2].event_id),
    )
    assert (past.tenant_id, past.user_id, past.occurred_at_ms) == ("acme", "ann", GO_ON.occurred_at_ms)


async def test_nothing_is_told_of_what_did_not_come_over_or_was_gone_on_with(dsn: str, pool: Pool) -> None:
    mine = replace(GO_ON, session_id=str(uuid.uuid4()))
    assert await ImportedPasts(pool, len).past_of(mine) is None

    await write(dsn, [said(1, "user", "Hello."), came_over()])
    pasts = ImportedPasts(pool, len)
    assert await pasts.past_of(mine) is None
    past = await pasts.past_of(GO_ON)
    assert past == await pasts.past_of(replace(GO_ON, event_id=str(uuid.uuid4()), traceparent="another"))
    await write(dsn, [past, GO_ON] if past else [], 10)
    assert await ImportedPasts(pool, len).past_of(GO_ON) is None
    # What V1 wrote meanwhile comes over, and is found, but not told once more.
    await write(dsn, [said(2, "user", "Wait!"), came_over(3, 1)], 20)
    assert await ImportedPasts(pool, len).past_of(GO_ON) is None


@pytest.mark.parametrize("sender", [("acme", "bob"), ("other", "ann")])
async def test_nobody_else_goes_on_with_it_or_finds_it(dsn: str, pool: Pool, sender: tuple[str, str]) -> None:
    await write(dsn, [said(1, "user", "Hello."), came_over()])
    tenant, user = sender

    with pytest.raises(InputInvalid, match="came over from old for somebody else"):
        await ImportedPasts(pool, len).past_of(replace(GO_ON, tenant_id=tenant, user_id=user))

    assert await ConversationPast(pool).texts(tenant_id=tenant, user_id=user, session_id=SESSION) == []


async def test_five_thousand_messages_and_long_ones_stay_within_a_record(dsn: str, pool: Pool) -> None:
    long = "é" * (TEXT_CHARACTERS_MAX + 1)
    await write(dsn, [said(n, "user" if n % 2 else "assistant", f"message {n}") for n in range(1, 5_001)])
    await write(dsn, [came_over(5_000)], 6_000)
    body = told(await ImportedPasts(pool, len).past_of(GO_ON))
    assert [one.offset for one in body.told] == list(range(5_000 - TOLD_MAX, 5_000))
    assert body.messages == 5_000

    await write(dsn, [said(n, "user", long) for n in range(5_001, 5_011)], 7_000)
    counted: list[int] = []

    def count(text: str) -> int:
        counted.append(len(text))
        return 1

    body = told(await ImportedPasts(pool, count).past_of(GO_ON))
    assert [(one.characters, one.tokens) for one in body.told] == [(len(long), 2 * len(long))] * (
        TOLD_CHARACTERS_MAX // TEXT_CHARACTERS_MAX
    )
    assert counted == []


async def test_tools_alone_at_the_end_leave_nothing_to_tell(dsn: str, pool: Pool) -> None:
    tools = [said(n, "tool", "{}") for n in range(2, LOOKED_AT_MAX + 3)]
    await write(dsn, [said(1, "user", "Hello."), *tools, came_over()])

    assert told(await ImportedPasts(pool, len).past_of(GO_ON)).told == ()


async def test_all_of_it_is_found_by_its_words(dsn: str, pool: Pool) -> None:
    events: Sequence[Envelope] = [
        said(1, "user", "My boat is called Merlin."),
        said(2, "tool", "a secret of a tool"),
        said(3, "assistant", "A fine name."),
        came_over(),
        said(1, "user", "My boat is called Marlin.", told=1),
    ]
    await write(dsn, events)

    found = await ConversationPast(pool).texts(tenant_id="acme", user_id="ann", session_id=SESSION)

    assert [(one.turn, one.number, one.speaker, one.text, one.event_id) for one in found] == [
        (0, 2, "answer", "A fine name.", events[2].event_id),
        (0, 1, "user", "My boat is called Marlin.", events[4].event_id),
    ]
