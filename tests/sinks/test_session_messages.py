"""What was said in a session, by windows, when some of it was said in V1."""

import uuid
from uuid import UUID

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Fact
from schemas.events.inputs import MessageReceived, SessionOpened
from schemas.events.outputs import AnswerGiven, AnswerReason
from schemas.frozen import replace
from sinks.session_messages import ImportedMessage, Mark, mark_of_message, messages_of
from tests.projections.envelopes import NOON_MS, ROOT, SESSION, event, event_id
from tests.sinks.test_imported_past import said
from tests.sinks.test_imports import write

pytestmark = pytest.mark.stack

OWNER = ("acme", "ann")
Connection = AsyncConnection[TupleRow]
ANSWER = AnswerGiven(
    turn=1,
    input_id=event_id(11),
    task_id=ROOT,
    text="Yes.",
    citations=(),
    complete=True,
    reason=AnswerReason.ANSWERED,
    tokens=1,
    cost_nanodollars=1,
    model="m",
    local=True,
)


async def told(connection: Connection, owner: tuple[str, str] = OWNER, limit: int = 100) -> list[str]:
    """Read a session by windows of that size, and return who said what."""
    lines: list[str] = []
    mark: Mark | None = None
    while True:
        page = await messages_of(connection, UUID(SESSION), owner, after=mark, limit=limit)
        for one in page:
            if isinstance(one, ImportedMessage):
                lines.append(f"{one.origin} {one.role}: {one.text}")
            else:
                lines.append(f"{one.type}: {one.body['text']}")
        if len(page) < limit:
            return lines
        mark = mark_of_message(page[-1])


async def fill(dsn: str) -> None:
    """Write a conversation of V1, and what was said when it was gone on with, though at an earlier time."""
    there = [said(n, "user" if n % 2 else "assistant", f"message {n}") for n in range(1, 6)]
    # Three of the same moment, as V1s have them that keep seconds; one of them was told anew, and a tool's.
    there = [replace(one, occurred_at_ms=NOON_MS) if number < 3 else one for number, one in enumerate(there)]
    changed = replace(said(2, "assistant", "message 2, changed", told=1), occurred_at_ms=NOON_MS)
    facts: tuple[Fact, ...] = (SessionOpened(), MessageReceived(text="Here?"), ANSWER)
    here = [event(fact, 10 + n, occurred_at_ms=NOON_MS - 10 + n) for n, fact in enumerate(facts)]
    await write(dsn, [*there, said(6, "tool", "{}"), changed, *here])


WHOLE = [
    "old user: message 1",
    "old assistant: message 2, changed",
    "old user: message 3",
    "old assistant: message 4",
    "old user: message 5",
    "MessageReceived: Here?",
    "AnswerGiven: Yes.",
]


async def test_what_was_said_in_v1_comes_before_what_was_said_here_and_once(
    dsn: str, connection: Connection
) -> None:
    await fill(dsn)

    for limit in (1, 2, 3, 5, 7, 100):
        assert await told(connection, limit=limit) == WHOLE
    first, *_ = await messages_of(connection, UUID(SESSION), OWNER, after=None, limit=1)
    assert isinstance(first, ImportedMessage)
    assert (first.message_id, first.said_at.timestamp() * 1_000) == (uuid.UUID(int=1, version=4), NOON_MS)
    rows = await connection.execute(
        "SELECT content FROM conversation_messages WHERE id = %s", [first.message_id]
    )
    assert await rows.fetchall() == [("message 1",)]


@pytest.mark.parametrize("other", [("acme", "bob"), ("other", "ann")])
async def test_what_came_over_for_others_is_not_told(
    dsn: str, connection: Connection, other: tuple[str, str]
) -> None:
    mine = replace(event(MessageReceived(text="Mine."), 1), tenant_id=other[0], user_id=other[1])
    await fill(dsn)
    await write(dsn, [mine], 100)

    # What a session answered is for whoever may see the session, which the caller has asked before.
    assert await told(connection, other) == ["AnswerGiven: Yes.", "MessageReceived: Mine."]
