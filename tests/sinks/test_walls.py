"""What the gateway's role sees of every table, view and function: the rows of whom its transaction names."""

import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, cast

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints
from schemas.envelope import Envelope
from schemas.events.redrives import LetterRedriven, RedriveEnded, RedriveFact, RedriveRequested
from schemas.ids import derived_id, is_uuid
from schemas.plain import from_plain, to_plain
from sinks import letters, roles
from sinks.letters import Mine
from sinks.questions import Question
from sinks.writer import Slot, Writer
from streams.gateway.database import EVERYBODY, Database, Sight
from tests.projections.made import plain_events
from tests.sinks.conftest import copied, rows
from tests.sinks.records import taken
from topics.catalog import CONFIGURATION, TOPICS, Topic, topic_of

pytestmark = pytest.mark.stack

LOGIN: Final = "gateway_of_tests"
OF_NOBODY: Final = frozenset({"sink_offsets"})
"""Rows that say nothing of anybody."""
UNREADABLE: Final = frozenset(
    {
        # V1's tables, some of which are V2's as well: the gateway reads chats from the log.
        "sessions",
        "conversation_messages",
        "tool_invocations",
        "version_one_ids",
        # Of all tenants together, or of documents, or of the database itself.
        "tool_capability_index",
        "document_passages",
        "document_collections",
        "imports",
        "projections",
        "cartrita_migrations",
    }
)
ADDED_UP: Final = frozenset(question.value for question in Question)
"""Views of which a row counts what may be several users'."""
FUNCTIONS: Final = {
    "cartrita_trace": ("cartrita_trace(one.id)",),
    "cartrita_trace_start": ("cartrita_trace_start(one.id)", "cartrita_trace_start(one.id, true)"),
    "cartrita_effects": ("cartrita_effects(one.id)",),
}
"""How each function is asked with an id."""
WITHOUT_ROWS: Final = frozenset({"cartrita_is_theirs", "cartrita_in_period", "cartrita_uuid"})
"""Functions that read no table."""


@dataclass(frozen=True, slots=True)
class Somebody:
    """Who asks."""

    tenant: str | None
    """None: for all of them."""
    user: str | None


OWNERS: Final = (
    Somebody("acme", "ann"),
    Somebody("acme", "bob"),
    Somebody("other", "ann"),
    Somebody("*", "*"),
    Somebody("", ""),
)
SIGHTS: Final = (
    *OWNERS,
    *(Somebody(tenant, None) for tenant in ("acme", "other", "*", "", "nobody")),
    EVERYBODY,
)


def sees(sight: Sight, owner: Somebody) -> bool:
    return sight.tenant in (None, owner.tenant) and sight.user in (None, owner.user)


def mark(owner: Somebody) -> str:
    """Return what stands in every row of an owner."""
    return f"of-{OWNERS.index(owner)}-"


def given_to(owner: Somebody, event: Envelope) -> Envelope:
    """Return an event as another session of another owner would have it: all ids in it are others."""

    def moved(value: object) -> object:
        if isinstance(value, str):
            return derived_id(mark(owner), value) if is_uuid(value) else value
        if isinstance(value, Mapping):
            return {key: moved(item) for key, item in value.items()}
        return [moved(item) for item in value] if isinstance(value, list | tuple) else value

    said = cast("dict[str, object]", moved(to_plain(event.body)))
    if isinstance(event.body, RedriveRequested):
        said |= {"tenant": owner.tenant, "user": owner.user}
    body = from_plain(type(event.body), said)
    return replace(
        event,
        event_id=derived_id(mark(owner), event.event_id),
        session_id=derived_id(mark(owner), event.session_id) if event.session_id else "",
        correlation_id=derived_id(mark(owner), event.event_id),
        tenant_id=owner.tenant or "",
        user_id=owner.user or "",
        producer=mark(owner),
        body=body,
    )


def all_of(owner: Somebody) -> list[tuple[Topic, Envelope]]:
    """Return one event of each fact for an owner, each on every topic that may carry it."""
    found = []
    for event in plain_events():
        theirs = given_to(owner, event)
        topics = [topic for topic in TOPICS if topic.is_truth and type(event.body) in topic.facts]
        assert topic_of(event.body) in topics
        found += [(topic, theirs) for topic in topics]
    return found


def ids_of(owner: Somebody) -> set[str]:
    """Return every id that names something of an owner."""
    text = repr(all_of(owner))
    return set(re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text))


def events_of_all(owner: Somebody) -> set[str]:
    """Return the ids of those events of an owner that everybody sees, the configuration's."""
    return {event.event_id for topic, event in all_of(owner) if topic is CONFIGURATION}


async def write_everything(dsn: str) -> None:
    """Fill every table, for every owner."""
    writer = await Writer.connect(dsn, "walls")
    try:
        await writer.positions({(topic.name, 0): uuid.uuid4() for topic in TOPICS})
        following: Counter[str] = Counter()
        for owner in OWNERS:
            for topic, event in all_of(owner):
                expected: dict[Slot, int] = {(topic.name, 0): following[topic.name]}
                await writer.write([(await taken(topic, event, following[topic.name])).projected], expected)
                following[topic.name] += 1
    finally:
        await writer.close()


@pytest.fixture
async def filled(endpoints: Endpoints) -> AsyncIterator[str]:
    """A database with rows of every owner in every table that events fill."""
    async with copied(endpoints.postgres_dsn, "filled", write_everything) as dsn:
        yield dsn


@pytest.fixture
async def login(filled: str) -> AsyncIterator[str]:
    """How the gateway connects: by a login of its own, which `migrate` makes."""
    address = make_conninfo(filled, user=LOGIN, password="it's: its own")
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        await roles.let_in(connection, address)
    yield address
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        await connection.execute(f"DROP OWNED BY {LOGIN}; DROP ROLE {LOGIN}".encode())


@asynccontextmanager
async def gateway(dsn: str) -> AsyncIterator[Database]:
    database = Database(dsn)
    await database.open()
    try:
        yield database
    finally:
        await database.close()


async def relations(connection: AsyncConnection[TupleRow]) -> dict[str, str]:
    """Return the kind of every table and view."""
    query = (
        "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
        "AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    )
    return {str(row[0]): str(row[1]) for row in await rows(connection, query)}


async def texts(connection: AsyncConnection[TupleRow], name: str) -> Counter[str]:
    query = sql.SQL("SELECT to_jsonb(t)::text FROM {} t").format(sql.Identifier(name))
    cursor = await connection.execute(query)
    return Counter(str(row[0]) for row in await cursor.fetchall())


def owner_in(text: str, ids: Mapping[str, Somebody]) -> Somebody | None:
    """Return whose a row is, by the ids in it; None: nobody's."""
    owners = {
        ids[one] for one in re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) if one in ids
    }
    assert len(owners) < 2, text
    return owners.pop() if owners else None


async def test_of_every_table_and_view_the_role_sees_what_is_its_users_and_nothing_else(
    filled: str, login: str
) -> None:
    whose = {one: owner for owner in OWNERS for one in ids_of(owner)}
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        there = await relations(connection)
        everything = {name: await texts(connection, name) for name in there}
        assert await roles.unwalled(connection) == ()
    async with gateway(login) as database:
        for name in there.keys() - ADDED_UP:
            if name in UNREADABLE:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    async with database.lent(OWNERS[0]) as connection:
                        await texts(connection, name)
                continue
            assert name in OF_NOBODY or len({owner_in(one, whose) for one in everything[name]}) == len(
                OWNERS
            ), f"{name} has no row of each owner: nothing would be proved of it"
            for sight in SIGHTS:
                async with database.lent(sight) as connection:
                    found = await texts(connection, name)
                wanted = Counter(
                    {
                        text: count
                        for text, count in everything[name].items()
                        if name in OF_NOBODY
                        or sight is EVERYBODY
                        or f'"topic": "{CONFIGURATION.name}"' in text
                        or ((owner := owner_in(text, whose)) is not None and sees(sight, owner))
                    }
                )
                assert found == wanted, (name, sight)
            async with database.lent(None) as connection:
                assert not await texts(connection, name) or name in OF_NOBODY
    assert set(there) >= UNREADABLE


async def test_what_is_added_up_for_the_role_is_what_would_be_there_if_nobody_elses_rows_were(
    filled: str, login: str
) -> None:
    others = (
        "DELETE FROM {} WHERE NOT COALESCE(tenant_id = COALESCE(%s, tenant_id) "
        "AND user_id = COALESCE(%s, user_id), false)"
    )
    async with (
        gateway(login) as database,
        await AsyncConnection.connect(filled) as connection,
    ):
        for sight in SIGHTS:
            await connection.execute("SET LOCAL cartrita.rebuild = 'on'")
            for name in ("event_log", "session_summaries"):
                await connection.execute(
                    sql.SQL(others).format(sql.Identifier(name)),
                    [sight.tenant, sight.user],
                )
            wanted = {name: await texts(connection, name) for name in ADDED_UP}
            await connection.rollback()
            async with database.lent(sight) as theirs:
                assert {name: await texts(theirs, name) for name in ADDED_UP} == wanted, sight
            if sight in OWNERS:
                assert all(wanted.values()), f"{sight} has no row in some view: nothing would be proved of it"
        async with database.lent(None) as nobodys:
            assert not any([await texts(nobodys, name) for name in ADDED_UP])


async def test_every_function_tells_the_role_of_its_users_rows_and_nothing_else(
    filled: str, login: str
) -> None:
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        # Functions of extensions are pgvector's; a trigger's cannot be called.
        query = (
            "SELECT DISTINCT p.proname FROM pg_proc p "
            "WHERE p.pronamespace = current_schema()::regnamespace AND p.prorettype <> 'trigger'::regtype "
            "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
        )
        assert {row[0] for row in await rows(connection, query)} == FUNCTIONS.keys() | WITHOUT_ROWS
    told: Counter[tuple[str, bool]] = Counter()
    async with gateway(login) as database:
        for sight in SIGHTS:
            async with database.lent(sight) as connection:
                for owner in OWNERS:
                    ids = [uuid.UUID(one) for one in sorted(ids_of(owner) - events_of_all(owner))]
                    for name, calls in FUNCTIONS.items():
                        for call in calls:
                            query = f"SELECT count(*) FROM unnest(%s::uuid[]) AS one(id), {call} f"
                            cursor = await connection.execute(query.encode(), [ids])
                            [(found,)] = await cursor.fetchall()
                            told[name, sees(sight, owner)] += found
                            assert sees(sight, owner) or not found, (name, sight, owner)
    assert all(told[name, True] > 0 for name in FUNCTIONS)


async def test_a_redrive_for_a_tenant_is_told_to_that_tenant_whoever_asked_for_it(
    filled: str, login: str
) -> None:
    wanted = RedriveRequested(letters=(derived_id("letter"),), tenant="acme", user="ann", records_per_s_max=1)
    redrive = derived_id("redrive")
    again = LetterRedriven(
        redrive_id=redrive, letter_id=derived_id("letter"), topic="user.inputs", partition=0, offset=1
    )
    ended = RedriveEnded(redrive_id=redrive, redriven=1, redriven_before=0)
    told: tuple[tuple[RedriveFact, str, str], ...] = (
        (wanted, "*", "olga"),
        (again, "acme", "ann"),
        (ended, "acme", "ann"),
    )
    writer = await Writer.connect(filled, "redrives")
    try:
        await writer.positions({("redrives", 0): uuid.uuid4()})
        for offset, (body, tenant, user) in enumerate(told):
            event = Envelope(
                event_id=redrive if offset == 0 else derived_id(redrive, str(offset)),
                type=type(body).__name__,
                tenant_id=tenant,
                user_id=user,
                causation_id=redrive if offset else None,
                occurred_at_ms=1,
                producer="test",
                body=body,
            )
            record = await taken(topic_of(body), event, 10_000 + offset)
            await writer.write([record.projected], {("redrives", 0): 10_000 + offset if offset else 0})
    finally:
        await writer.close()

    async with gateway(login) as database:
        for sight in (*OWNERS[:3], Somebody("acme", None), Somebody("other", None), EVERYBODY):
            async with database.lent(sight) as connection:
                found = await letters.redrives(connection, Mine(), redrive_id=uuid.UUID(redrive))
            assert [(one.redriven, one.ended_at is not None) for one in found] == (
                [(1, True)] if sees(sight, Somebody("acme", "ann")) else []
            )


CHANGES: Final = f"""
    SELECT c.relname, may.what
    FROM pg_class c, unnest('{{INSERT,UPDATE,REFERENCES,DELETE,TRUNCATE,TRIGGER}}'::text[]) AS may(what)
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND CASE WHEN may.what IN ('INSERT', 'UPDATE', 'REFERENCES')
          THEN has_any_column_privilege('{roles.GATEWAY}', c.oid, may.what)
          ELSE has_table_privilege('{roles.GATEWAY}', c.oid, may.what) END
    UNION ALL
    SELECT c.relname, 'USAGE' FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace
      AND CASE WHEN c.relkind = 'S'
          THEN has_sequence_privilege('{roles.GATEWAY}', c.oid, 'USAGE,SELECT,UPDATE') ELSE false END
    UNION ALL
    SELECT current_schema(), 'CREATE'
    WHERE has_schema_privilege('{roles.GATEWAY}', current_schema(), 'CREATE')
"""


REFUSED: Final = (
    psycopg.errors.InsufficientPrivilege,
    # Of views, which nobody can write.
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.WrongObjectType,
)


async def test_the_role_writes_nothing_anywhere(filled: str, login: str) -> None:
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        there = await relations(connection)
        changed = await rows(connection, CHANGES)
        assert changed == []
    async with gateway(login) as database:
        for name in there:
            for statement in ("DELETE FROM {}", "INSERT INTO {} DEFAULT VALUES", "TRUNCATE {}"):
                async with database.lent(OWNERS[0]) as connection:
                    with pytest.raises(REFUSED):
                        await connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


async def test_the_login_can_do_nothing_before_it_takes_the_role_and_nothing_after_it_leaves_it(
    filled: str, login: str
) -> None:
    async with await AsyncConnection.connect(login, autocommit=True) as connection:
        for query in (
            "SELECT 1 FROM event_log",
            "SELECT 1 FROM session_summaries",
            "SET ROLE pg_read_all_data",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(query.encode())
        await connection.execute(f"SET ROLE {roles.GATEWAY}".encode())
        await connection.execute("SET row_security = off")
        for query in ("SELECT 1 FROM event_log", "SET SESSION AUTHORIZATION cartrita"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(query.encode())


async def test_what_a_transaction_was_told_is_forgotten_with_it(filled: str, login: str) -> None:
    async with gateway(login) as database:
        async with database.lent(OWNERS[0]) as connection:
            first = connection
            assert await texts(connection, "event_log")
        await first.execute(f"SET ROLE {roles.GATEWAY}".encode())
        assert not await texts(first, "event_log")
        with pytest.raises(RuntimeError):
            async with database.lent(OWNERS[0]):
                raise RuntimeError
        assert not await texts(first, "event_log")


async def test_a_table_that_is_opened_without_a_policy_is_named(
    connection: AsyncConnection[TupleRow],
) -> None:
    await connection.execute("CREATE TABLE new (id INTEGER); CREATE VIEW seen AS SELECT * FROM event_log")
    assert await roles.unwalled(connection) == ()
    await connection.execute(f"GRANT SELECT ON new, seen TO {roles.GATEWAY}".encode())
    await connection.execute("GRANT SELECT (id) ON sessions TO PUBLIC")
    await connection.execute(
        "CREATE FUNCTION leak() RETURNS BIGINT AS 'SELECT count(*) FROM event_log' "
        "LANGUAGE sql SECURITY DEFINER"
    )
    assert await roles.unwalled(connection) == ("leak()", "new", "seen", "sessions")
    await connection.execute("ALTER TABLE new ENABLE ROW LEVEL SECURITY")
    assert "new" in await roles.unwalled(connection)
    await connection.execute(
        f"CREATE POLICY one ON new AS RESTRICTIVE TO {roles.GATEWAY} USING (false)".encode()
    )
    await connection.execute("ALTER VIEW seen SET (security_invoker = true)")
    assert await roles.unwalled(connection) == ("leak()", "sessions")


async def test_others_read_and_write_as_before(filled: str) -> None:
    role = f"reader_{uuid.uuid4().hex}"
    async with await AsyncConnection.connect(filled, autocommit=True) as connection:
        before = await rows(connection, "SELECT id FROM tasks_v2 ORDER BY 1")
        await connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; "
            f"GRANT ALL ON SCHEMA public TO {role}; "
            f"GRANT TEMP ON DATABASE {connection.info.dbname} TO {role}; "
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}".encode()
        )
    try:
        # A sink that does not own the tables, as where one role migrates and another one works.
        writer = await Writer.connect(make_conninfo(filled, user=role, password="x"), "another")
        try:
            await writer.positions({(topic.name, 0): uuid.uuid4() for topic in TOPICS})
            owner = OWNERS[0]
            event = replace(
                next(one for _, one in all_of(owner) if one.type == "TaskCreated"), event_id=str(uuid.uuid4())
            )
            record = await taken(topic_of(event.body), event, 1_000)
            written = await writer.write([record.projected], {(topic_of(event.body).name, 0): 0})
            assert written.fresh
        finally:
            await writer.close()
        async with await AsyncConnection.connect(
            make_conninfo(filled, user=role, password="x"), autocommit=True
        ) as reader:
            assert await rows(reader, "SELECT id FROM tasks_v2 ORDER BY 1") == before
            assert (await rows(reader, "SELECT count(*) FROM budget_entries"))[0][0] > 0
    finally:
        async with await AsyncConnection.connect(filled, autocommit=True) as connection:
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())


async def test_a_gateway_without_a_login_of_its_own_takes_the_role_all_the_same(filled: str) -> None:
    async with gateway(filled) as database, database.lent(OWNERS[0]) as connection:
        assert await rows(connection, "SELECT current_user") == [(roles.GATEWAY,)]
        [(seen,)] = await rows(connection, "SELECT count(*) FROM session_summaries")
        [(foreign,)] = await rows(
            connection, "SELECT count(*) FROM session_summaries WHERE tenant_id <> 'acme'"
        )
    assert (seen > 0, foreign) == (True, 0)
