"""Lists of sessions on a real Postgres: searched, sorted, in pages, and nobody else's."""

import random
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.inputs import MessageReceived, SessionOpened
from schemas.events.outputs import TurnStarted
from schemas.frozen import replace
from sinks import queries
from sinks.conversations import SessionStanding, session_of
from sinks.session_lists import Order, Wanted, changed, count_of, key_of, moved, sessions_of
from tests.builders import CAME_OVER
from tests.projections.envelopes import ROOT, SESSION, event
from tests.sinks.test_imports import write

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
STATUSES = ("running", "answered", "waiting")
INSERT = """
    INSERT INTO session_summaries (id, tenant_id, user_id, title, status, opened_at, last_input_at,
                                   last_output_at, tokens_used, nanodollars_used, last_answer)
    VALUES (%(id)s, %(tenant)s, %(user)s, %(title)s, %(status)s, %(opened)s, %(opened)s, %(told)s, %(tokens)s,
            %(cost)s, %(answer)s)
"""


async def insert(connection: Connection, **given: object) -> uuid.UUID:
    """Insert a session, and return its id."""
    values: dict[str, object] = {
        "id": uuid.uuid4(),
        "tenant": "acme",
        "user": "ann",
        "title": "Title",
        "status": "answered",
        "opened": BEGAN,
        "told": None,
        "tokens": 0,
        "cost": 0,
        "answer": None,
    }
    values |= given
    await connection.execute("INSERT INTO sessions (id, created_at) VALUES (%s, %s)", [values["id"], BEGAN])
    await connection.execute(INSERT, values)
    identity = values["id"]
    assert isinstance(identity, uuid.UUID)
    return identity


async def insert_many(connection: Connection, count: int) -> None:
    """Insert sessions of which many have the same times and amounts."""
    drawn = random.Random(11)
    for number in range(count):
        opened = BEGAN + timedelta(seconds=drawn.randrange(12))
        await insert(
            connection,
            tenant=drawn.choice(("acme", "other")),
            user=drawn.choice(("ann", "bob")),
            title=f"Title {number}",
            status=drawn.choice(STATUSES),
            opened=opened,
            told=drawn.choice((None, opened + timedelta(seconds=drawn.randrange(9)))),
            tokens=drawn.randrange(5),
            cost=drawn.randrange(4),
        )


async def in_pages(
    connection: Connection, wanted: Wanted, order: Order, *, ascending: bool, limit: int
) -> list[SessionStanding]:
    """Return a whole list, read page by page."""
    found: list[SessionStanding] = []
    before: tuple[str, uuid.UUID] | None = None
    while True:
        page = await sessions_of(
            connection, wanted, order=order, ascending=ascending, before=before, limit=limit
        )
        found += page
        if len(page) < limit:
            return found
        key = key_of(order, page[-1])
        assert key is not None
        before = key, page[-1].id


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("ascending", [False, True])
async def test_pages_tell_each_session_once_in_its_order(
    connection: Connection, order: Order, *, ascending: bool
) -> None:
    await insert_many(connection, 60)
    wanted = Wanted(tenant="acme", user=None)

    whole = await sessions_of(connection, wanted, order=order, ascending=ascending, limit=200)
    paged = await in_pages(connection, wanted, order, ascending=ascending, limit=7)

    assert [one.id for one in paged] == [one.id for one in whole]
    assert len({one.id for one in whole}) == len(whole) == await count_of(connection, wanted)
    keys = [key_of(order, one) or "" for one in whole]
    numbers = order in (Order.COST, Order.TOKENS)
    assert keys == sorted(keys, key=lambda key: key.zfill(20) if numbers else key, reverse=not ascending)


@pytest.mark.parametrize(
    ("tenant", "user"), [("acme", None), ("acme", "ann"), ("other", "bob"), ("none", None)]
)
async def test_nobody_is_told_of_sessions_of_others(
    connection: Connection, tenant: str, user: str | None
) -> None:
    await insert_many(connection, 40)
    wanted = Wanted(tenant=tenant, user=user)

    found = await sessions_of(connection, wanted, limit=200)

    assert all(one.tenant_id == tenant and user in (None, one.user_id) for one in found)
    assert await count_of(connection, wanted) == len(found)
    assert bool(found) == (tenant != "none")
    assert set(await changed(connection, wanted, BEGAN - timedelta(1), 500)) == {one.id for one in found}
    # A search for what only others have said finds nothing either.
    await insert(connection, tenant="third", title="A secret of the third")
    assert await sessions_of(connection, Wanted(tenant=tenant, user=user, search="secret"), limit=9) == []


@pytest.mark.parametrize(
    ("search", "finds"),
    [
        ("percent", True),
        ("100% of", True),
        ("100%%of", False),
        ("under_score", True),
        ("under%score", False),
        ("underxscore", False),
        ("back\\slash", True),
        ("PERCENT", True),
        ("the newest answer", True),
        ("ann", True),
        ("'; DROP TABLE sessions; --", False),
        ("12345678", True),
        ("5678", False),
    ],
)
async def test_a_search_means_what_it_says(connection: Connection, search: str, *, finds: bool) -> None:
    await insert(
        connection,
        id=uuid.UUID("12345678-0000-4000-8000-000000000001"),
        title="100% of under_score back\\slash percent",
        answer="It is the newest answer.",
    )
    await insert(connection, user="bob", title="Something else")

    found = await sessions_of(connection, Wanted(tenant="acme", user=None, search=search), limit=9)

    assert len(found) == finds


async def test_sessions_of_a_status_are_found(connection: Connection) -> None:
    await insert_many(connection, 40)
    wanted = Wanted(tenant="acme", user=None, statuses=("waiting", "running"))

    found = await sessions_of(connection, wanted, limit=200)

    assert {one.status for one in found} == {"waiting", "running"}
    assert len(found) == await count_of(connection, wanted)


async def test_a_session_is_quarantined_until_it_tells_something(connection: Connection) -> None:
    one = await insert(connection)
    aside = "UPDATE session_summaries SET put_aside_at = %s, last_output_at = %s WHERE id = %s"
    wanted = Wanted(tenant="acme", user=None)

    for put_aside, told, expected in (
        (None, None, False),
        (BEGAN, None, True),
        (BEGAN, BEGAN - timedelta(seconds=1), True),
        (BEGAN, BEGAN + timedelta(seconds=1), False),
    ):
        await connection.execute(aside, [put_aside, told, one])
        (standing,) = await sessions_of(connection, wanted, limit=9)
        assert standing.quarantined is expected


async def test_what_changes_is_told_with_another_text(connection: Connection) -> None:
    one, other = await insert(connection), await insert(connection, opened=BEGAN - timedelta(hours=1))
    wanted = Wanted(tenant="acme", user="ann")
    since = BEGAN - timedelta(minutes=1)

    before = await changed(connection, wanted, since, 9)
    await connection.execute("UPDATE session_summaries SET tokens_used = 7 WHERE id = %s", [one])
    after = await changed(connection, wanted, since, 9)

    assert before.keys() == after.keys() == {one}
    assert before[one] != after[one]
    assert other not in after


async def test_the_sinks_progress_tells_whether_anything_can_have_changed(connection: Connection) -> None:
    none, _ = await moved(connection)
    row = """
        INSERT INTO sink_offsets (sink, topic, partition, topic_id, next_offset) VALUES ('s', 't', 0, %s, 5)
    """
    await connection.execute(row, [uuid.uuid4()])

    assert (await moved(connection))[0] == none + 5


async def test_a_session_that_came_over_says_so_until_somebody_speaks_in_it(
    dsn: str, connection: Connection
) -> None:
    wanted = Wanted(tenant="acme", user=None, statuses=("imported",))
    working = replace(wanted, statuses=("open", "running"))

    async def found() -> list[tuple[str, int, int]]:
        told = [await sessions_of(connection, one, limit=9) for one in (wanted, working)]
        assert [len(one) for one in told] == [await count_of(connection, one) for one in (wanted, working)]
        listed = await queries.sessions(connection)
        assert [one.status for one in listed] == [one.status for part in told for one in part]
        assert await queries.sessions(connection, status=listed[0].status) == listed
        return [(one.status, one.messages, one.imported_messages) for part in told for one in part]

    await write(dsn, [event(CAME_OVER)])
    (came,) = await sessions_of(connection, wanted, limit=9)
    assert await found() == [("imported", 0, 7)]
    await write(dsn, [event(replace(CAME_OVER, messages=8), 9)], 10)
    assert await found() == [("imported", 0, 8)]
    # Who opens it has not gone on with it.
    await write(dsn, [event(SessionOpened(title="Mine"), 2)], 20)
    assert await found() == [("imported", 0, 8)]
    await write(dsn, [event(MessageReceived(text="go on"), 3)], 30)
    assert await found() == [("open", 1, 8)]
    await write(dsn, [event(TurnStarted(turn=1, task_id=ROOT, input_id="x"), 4)], 40)
    assert await found() == [("running", 1, 8)]
    standing = await session_of(connection, uuid.UUID(SESSION))
    assert standing is not None
    assert (standing.imported_from, standing.imported_at) == ("old", came.imported_at)
    assert came.imported_at is not None


async def test_what_comes_over_is_told_to_whoever_watches_a_list_behind_what_is_under_way(
    connection: Connection,
) -> None:
    now = datetime.now(UTC)
    busy = await insert(connection, opened=now)
    many = [await insert(connection, opened=None) for _ in range(3)]
    await connection.execute(
        "UPDATE session_summaries SET imported_from = 'old', imported_at = %s, status = 'open' "
        "WHERE id = ANY(%s)",
        [now, many],
    )
    wanted = Wanted(tenant="acme", user=None)

    assert set(await changed(connection, wanted, now - timedelta(seconds=1), 9)) == {busy, *many}
    assert list(await changed(connection, wanted, now - timedelta(seconds=1), 1)) == [busy]
