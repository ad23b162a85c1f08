"""What happened in a session, on a real Postgres: by windows, one event whole, and why; nothing of others."""

import uuid
from typing import get_args

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.inputs import (
    ApprovalEdited,
    ApprovalReceived,
    OperatorFact,
    OutcomeTold,
    SessionBudgetSet,
)
from schemas.frozen import replace
from sinks.owned_trace import owned_trace, session_of_event
from sinks.session_history import (
    Line,
    Mark,
    WantedEvents,
    balance_of,
    event_of,
    tasks_of,
    timeline_of,
    types_of,
)
from sinks.trace import Node
from streams.gateway.database import EVERYBODY
from tests.projections.envelopes import SESSION, TASK, event, event_id
from tests.sinks.story import ANSWER, DONE, MESSAGE, Log, story
from tests.sinks.test_walls import Somebody, gateway

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
OWN = uuid.UUID(SESSION)


async def owner_of(connection: Connection, session: uuid.UUID = OWN) -> tuple[str, str]:
    """Return tenant and user of a session."""
    cursor = await connection.execute(
        "SELECT tenant_id, user_id FROM session_summaries WHERE id = %s", [session]
    )
    row = await cursor.fetchone()
    assert row is not None
    return str(row[0]), str(row[1])


async def wanted_of(connection: Connection, *types: str, search: str = "") -> WantedEvents:
    return WantedEvents(session_id=OWN, owner=await owner_of(connection), types=types, search=search)


def mark_of(one: Line) -> Mark:
    return one.occurred_at, one.sequence, one.topic, one.partition, one.offset


@pytest.mark.parametrize("ascending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_windows_tell_each_event_once(
    log: Log, connection: Connection, limit: int, *, ascending: bool
) -> None:
    wanted = await wanted_of(connection)
    told: list[Line] = []
    after: Mark | None = None
    while True:
        page = await timeline_of(connection, wanted, ascending=ascending, after=after, limit=limit)
        told += page
        if len(page) < limit:
            break
        after = mark_of(page[-1])

    assert (
        len({one.event_id for one in told}) == len(told) == sum((await types_of(connection, wanted)).values())
    )
    order = [mark_of(one) for one in told]
    assert order == sorted(order, reverse=not ascending)


async def test_events_are_found_by_type_by_what_they_say_and_by_id(log: Log, connection: Connection) -> None:
    async def found(*types: str, search: str = "") -> set[str]:
        wanted = await wanted_of(connection, *types, search=search)
        lines = await timeline_of(connection, wanted, ascending=True, after=None, limit=50)
        return {one.type for one in lines}

    assert await found("AnswerGiven", "TurnStarted") == {"AnswerGiven", "TurnStarted"}
    assert "AnswerGiven" in await found(search="it is one")
    assert await found(search=event_id(DONE)[:36]) == {"TaskCompleted"}
    assert await found(search="no_such%thing") == set()


ACTS: list[tuple[OperatorFact, int]] = [
    (ApprovalReceived(approval_id=str(uuid.UUID(int=9)), approved=True), 62),
    (SessionBudgetSet(tokens=5), 63),
    (OutcomeTold(call_id=str(uuid.UUID(int=8)), carried_out=True), 64),
    (
        ApprovalEdited(
            approval_id=str(uuid.UUID(int=9)),
            arguments_json="{}",
            digest="0" * 64,
            expires_at_ms=1,
            nonce="0" * 16,
            key="",
            signature="",
        ),
        65,
    ),
]


async def test_what_operators_do_is_told_to_whom_the_session_belongs(
    log: Log, connection: Connection, dsn: str
) -> None:
    assert {type(act) for act, _ in ACTS} == set(get_args(OperatorFact))
    for act, number in ACTS:
        await log.add(replace(event(act, number), tenant_id="*", user_id="olga"))
        await log.add(replace(event(act, number + 10), tenant_id="rival", user_id="olga"))

    wanted = await wanted_of(connection, *(type(act).__name__ for act, _ in ACTS))
    told = {event_id(number) for _, number in ACTS}
    lines = await timeline_of(connection, wanted, ascending=True, after=None, limit=50)
    assert {str(one.event_id) for one in lines} == told

    # The gateway's role sees them for the owner and for the tenant, and for no other user or tenant.
    tenant, user = await owner_of(connection)
    async with gateway(dsn) as database:
        for sight in (Somebody(tenant, user), Somebody(tenant, None), EVERYBODY):
            async with database.lent(sight) as lent:
                lines = await timeline_of(lent, wanted, ascending=True, after=None, limit=50)
                assert {str(one.event_id) for one in lines} == told
        for sight in (Somebody(tenant, "somebody else"), Somebody("rival", None), Somebody("third", None)):
            async with database.lent(sight) as lent:
                assert await timeline_of(lent, wanted, ascending=True, after=None, limit=50) == []


async def test_an_event_is_told_whole(log: Log, connection: Connection) -> None:
    owner = await owner_of(connection)

    found = await event_of(connection, OWN, owner, uuid.UUID(event_id(ANSWER)))

    assert found is not None
    assert (found.type, found.body["text"]) == ("AnswerGiven", "It is one. [1]")
    assert str(found.causation_id) == event_id(DONE)
    assert await event_of(connection, OWN, owner, uuid.uuid4()) is None
    assert await event_of(connection, uuid.uuid4(), owner, uuid.UUID(event_id(ANSWER))) is None


async def test_tasks_and_the_balance_are_told(log: Log, connection: Connection) -> None:
    (task,) = [one for one in await tasks_of(connection, OWN) if str(one.id) == TASK]

    assert (task.status, task.actual_cost_tokens) == ("complete", 14)
    assert await tasks_of(connection, uuid.uuid4()) == []
    assert await balance_of(connection, uuid.uuid4()) is None


def types_in(node: Node) -> list[str]:
    return [node.event.type, *(one for child in node.children for one in types_in(child))]


async def test_a_trace_stays_within_what_is_its_owners(log: Log, connection: Connection) -> None:
    tenant, user = owner = await owner_of(connection)
    answer = uuid.UUID(event_id(ANSWER))
    stranger = str(uuid.uuid4())
    for envelope in story(stranger, "other").values():
        await log.add(envelope)

    async def why(session: uuid.UUID, whose: tuple[str, str], *, effects: bool = False) -> list[str]:
        given = uuid.UUID(event_id(MESSAGE)) if effects else answer
        found = await owned_trace(connection, session, whose, given, effects=effects, events_max=100)
        return [] if found is None else types_in(found.root)

    mine = await why(OWN, owner)
    assert mine[0] == "AnswerGiven"
    assert "MessageReceived" in mine
    assert "AnswerGiven" in await why(OWN, owner, effects=True)
    # The other session has events of the same ids; each trace is told of its own alone.
    assert await session_of_event(connection, answer, tenant, None) == OWN
    assert await session_of_event(connection, answer, "other", None) == uuid.UUID(stranger)
    assert await session_of_event(connection, answer, tenant, "somebody else") is None
    assert await session_of_event(connection, answer, "third", None) is None
    found = await owned_trace(connection, OWN, owner, answer, effects=False, events_max=100)
    assert found is not None
    waiting = [found.root]
    while waiting:
        node = waiting.pop()
        assert str(node.event.session_id) == SESSION
        waiting += node.children
    assert await why(OWN, ("other", user)) == []


async def test_a_trace_is_bounded(log: Log, connection: Connection) -> None:
    owner = await owner_of(connection)

    found = await owned_trace(
        connection, OWN, owner, uuid.UUID(event_id(ANSWER)), effects=False, events_max=2
    )

    assert found is not None
    assert found.truncated
