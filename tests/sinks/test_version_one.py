"""Tables of V1 as they stand in the field: each is written, or told why not, and none stops the sink."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.budgets import BudgetCharged, ChargeBasis
from schemas.events.tools import ResourceIntensity, SafetyLevel, ToolCallCompleted, ToolOutcomeObserved
from sinks.errors import RowRefused
from sinks.fitting import ParentUnfit, fitted
from sinks.intake import Taken
from sinks.mapping import AS_THEY_ARE, MappingInvalid, VersionOne, read_mapping
from sinks.migrator import NameTaken, NotTheOwner, migrate, migrations, pending
from sinks.storing import store
from sinks.writer import Writer
from streams.cli.version_one import Told, told_of_v1
from tests.projections.envelopes import CALL, TASK, event
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from tests.sinks.story import story
from topics.catalog import TOPICS, topic_of

Connection = AsyncConnection[TupleRow]

pytestmark = pytest.mark.stack

CHARGED = BudgetCharged(
    reservation_id=CALL,
    task_id=TASK,
    model="gpt-4o",
    tokens=14,
    nanodollars=65,
    tokens_released=0,
    nanodollars_released=0,
    basis=ChargeBasis.USAGE,
    session_tokens_left=90,
    session_nanodollars_left=900,
    task_tokens_left=40,
)
OBSERVED = ToolOutcomeObserved(
    call_id=CALL,
    tool="search_documents",
    tool_version="1",
    category="retrieval",
    safety_level=SafetyLevel.SAFE,
    complexity_score=1,
    resource_intensity=ResourceIntensity.LIGHT,
    succeeded=True,
    latency_ms=3,
    used_tokens=0,
    ended_at_ms=1,
)
SEARCHED = ToolCallCompleted(
    call_id=CALL,
    task_id=TASK,
    tool_call_id="1",
    agent="researcher",
    tool="search_documents",
    tool_version="1",
    result_json='{"passages": []}',
    result_tokens=2,
    used_tokens=0,
    cost_nanodollars=0,
    attempts=1,
    latency_ms=3,
)
ASKED, ANSWERED = "What is a sink?", "It is one. [1]"
USERS = """
    CREATE TABLE users (id SERIAL PRIMARY KEY, email TEXT NOT NULL UNIQUE);
    INSERT INTO users (email) VALUES ('cartrita@example.org');
"""
PLAIN = """
    CREATE TABLE sessions (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), created_at TIMESTAMPTZ DEFAULT
        now());
    CREATE TABLE conversation_messages (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(), session_id UUID NOT NULL REFERENCES sessions(id),
        role TEXT NOT NULL, content TEXT NOT NULL, metadata JSONB, created_at TIMESTAMPTZ DEFAULT now());
    CREATE TABLE tool_invocations (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(), session_id UUID REFERENCES sessions(id), tool_name
            TEXT,
        category TEXT, output_json JSONB, latency_ms INTEGER, cost_tokens INTEGER, created_at TIMESTAMPTZ);
"""


async def deliveries(*, reverse: bool = False) -> list[Taken]:
    """Return the records of a session that used one tool; `reverse`: what is about a row before the row."""
    message = story()[1].event_id
    events = [
        *story().values(),
        event(SEARCHED, 50),
        event(OBSERVED, 51),
        event(CHARGED, 52, correlation_id=message),
    ]
    # Each topic keeps its order; which topic comes first is anybody's guess.
    events.sort(key=lambda one: topic_of(one.body).name, reverse=reverse)
    offsets: dict[str, int] = {}
    found = []
    for one in events:
        topic = topic_of(one.body)
        found.append(await taken(topic, one, offsets.get(topic.name, 0)))
        offsets[topic.name] = offsets.get(topic.name, 0) + 1
    return found


class V1:
    """A database with V1's tables, which V2 was migrated into."""

    def __init__(self, dsn: str, connection: Connection, mapping: VersionOne) -> None:
        """Take a connection that has migrated."""
        self.dsn = dsn
        self.connection = connection
        self.mapping = mapping
        self.put_aside: list[Taken] = []

    async def write(self, records: Sequence[Taken] | None = None, sink: str = "") -> Writer:
        """Write records as the sink does, and return the writer, which is closed."""
        writer = await Writer.connect(self.dsn, sink or uuid4().hex, mapping=self.mapping)
        try:
            await writer.positions({(topic.name, 0): uuid4() for topic in TOPICS})
            positions = {(topic.name, 0): 0 for topic in TOPICS}

            async def write(part: Sequence[Taken]) -> None:
                await _written(writer, part, positions)

            async def put_aside(one: Taken) -> None:
                self.put_aside.append(one)

            await store(await deliveries() if records is None else records, write, put_aside)
        finally:
            await writer.close()
        return writer

    async def told(self) -> Told:
        """Return what the command line tells."""
        return await told_of_v1(self.connection, self.mapping)

    async def rows(self, query: str) -> list[TupleRow]:
        """Return rows."""
        return await rows(self.connection, query)

    async def demand_v2(self, chat: str = "conversation_messages") -> None:
        """Demand that V2's own rows are all there, wherever its chat stands."""
        assert await self.rows("SELECT status FROM tasks_v2 WHERE intent <> ''") == [("complete",)]
        assert await self.rows("SELECT tokens_used, last_answer FROM session_summaries") == [(14, ANSWERED)]
        assert await self.rows(
            f"SELECT role, content, cost_tokens FROM {chat} WHERE content IN ('{ASKED}', "
            f"'{ANSWERED}') ORDER BY role DESC"
        ) == [
            ("user", ASKED, 0),
            ("assistant", ANSWERED, 14),
        ]


async def _written(writer: Writer, part: Sequence[Taken], positions: dict[tuple[str, int], int]) -> None:
    try:
        await writer.write([one.projected for one in part], positions)
    except psycopg.Error as error:
        raise RowRefused(str(error)) from error
    for one in part:
        positions[one.projected.place.topic, 0] = one.projected.place.offset + 1


@asynccontextmanager
async def migrated(
    dsn: str, tables: str, mapping: str = "", tmp_path: Path | None = None
) -> AsyncIterator[V1]:
    """Make V1's tables, and migrate."""
    said = AS_THEY_ARE
    if mapping:
        assert tmp_path is not None
        path = tmp_path / "version_one.toml"
        path.write_text(mapping)
        said = read_mapping(path)
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(tables.encode())
        await migrate(connection, mapping=said)
        yield V1(dsn, connection, said)


# Each: tables of V1, the mapping that lets them be written, and what V1's readers then see.
SHAPES = {
    "required columns": (
        USERS
        + """
        CREATE TABLE sessions (id UUID PRIMARY KEY, owner_id INTEGER NOT NULL REFERENCES users(id),
                               kind TEXT NOT NULL CHECK (kind IN ('chat', 'batch')), created_at
                                   TIMESTAMPTZ NOT NULL);
        CREATE TABLE conversation_messages (id UUID PRIMARY KEY, session_id UUID NOT NULL REFERENCES
            sessions(id),
            role TEXT NOT NULL, content TEXT NOT NULL, lang CHAR(2) NOT NULL, metadata JSON, created_at
                TIMESTAMP NOT NULL);
        """,
        """
        [sessions.values]
        owner_id = 1
        kind = "chat"
        [conversation_messages.values]
        lang = "en"
        """,
        (
            "SELECT m.role, m.content, m.lang, s.kind, u.email FROM conversation_messages m JOIN "
            "sessions s ON s.id = m.session_id JOIN users u ON u.id = s.owner_id ORDER BY m.role "
            "DESC"
        ),
        [
            ("user", ASKED, "en", "chat", "cartrita@example.org"),
            ("assistant", ANSWERED, "en", "chat", "cartrita@example.org"),
        ],
    ),
    "serial ids": (
        """
        CREATE TABLE sessions (id SERIAL PRIMARY KEY, created_at TIMESTAMPTZ DEFAULT now());
        CREATE TABLE conversation_messages (id BIGSERIAL PRIMARY KEY, session_id INTEGER NOT NULL
            REFERENCES sessions(id),
            role VARCHAR(20) NOT NULL, content TEXT NOT NULL, metadata JSONB, created_at TIMESTAMPTZ);
        CREATE TABLE tool_invocations (id SMALLINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session_id
            INTEGER REFERENCES sessions(id),
            tool_name TEXT NOT NULL, category TEXT NOT NULL, output_json JSONB NOT NULL, latency_ms
                INTEGER NOT NULL, created_at TIMESTAMPTZ NOT NULL);
        INSERT INTO sessions DEFAULT VALUES;
        INSERT INTO conversation_messages (session_id, role, content) VALUES (1, 'user', 'of V1');
        """,
        """
        [sessions]
        id = "number"
        [conversation_messages]
        id = "number"
        [tool_invocations]
        id = "number"
        """,
        (
            "SELECT m.role, m.content, m.session_id > 1, t.tool_name, t.category FROM "
            "conversation_messages m JOIN tool_invocations t ON t.session_id = m.session_id WHERE "
            "m.id > 1 ORDER BY m.role DESC"
        ),
        [
            ("user", ASKED, True, "search_documents", "retrieval"),
            ("assistant", ANSWERED, True, "search_documents", "retrieval"),
        ],
    ),
    "numbers without a sequence": (
        """
        CREATE TABLE sessions (id BIGINT PRIMARY KEY, created_at TIMESTAMPTZ);
        CREATE TABLE conversation_messages (id NUMERIC PRIMARY KEY, session_id BIGINT REFERENCES sessions(id),
            role TEXT, content TEXT, metadata JSONB, created_at TIMESTAMPTZ);
        """,
        '[sessions]\nid = "number"\n[conversation_messages]\nid = "number"\n',
        (
            "SELECT m.role, m.content, m.id < 0 FROM conversation_messages m JOIN sessions s ON "
            "s.id = m.session_id ORDER BY m.role DESC"
        ),
        [("user", ASKED, True), ("assistant", ANSWERED, True)],
    ),
    "text ids": (
        """
        CREATE TABLE sessions (id VARCHAR(64) PRIMARY KEY, created_at TEXT);
        CREATE TABLE conversation_messages (id TEXT PRIMARY KEY, session_id VARCHAR(64) NOT NULL
            REFERENCES sessions(id),
            role TEXT, content VARCHAR(12), metadata TEXT, created_at TEXT);
        """,
        '[sessions]\nid = "text"\n[conversation_messages]\nid = "text"\n',
        (
            "SELECT m.role, m.content, length(s.id) FROM conversation_messages m JOIN sessions s "
            "ON s.id = m.session_id ORDER BY m.role DESC"
        ),
        [("user", "What is a s…", 36), ("assistant", "It is one. …", 36)],
    ),
    "renamed columns and words of an enumeration": (
        """
        CREATE TYPE speaker AS ENUM ('HUMAN', 'BOT');
        CREATE TABLE sessions (id UUID PRIMARY KEY, started TIMESTAMPTZ NOT NULL);
        CREATE TABLE conversation_messages (id UUID PRIMARY KEY, "conversation" UUID NOT NULL REFERENCES
            sessions(id),
            "from" speaker NOT NULL, body TEXT NOT NULL CHECK (body <> ''), "at" TIMESTAMPTZ NOT NULL,
                task_id BIGINT);
        """,
        """
        [sessions.columns]
        created_at = "started"
        [conversation_messages.columns]
        session_id = "conversation"
        role = "from"
        content = "body"
        created_at = "at"
        task_id = ""
        [conversation_messages.values]
        body = "(not known yet)"
        from = "HUMAN"
        [conversation_messages.words.role]
        user = "HUMAN"
        assistant = "BOT"
        """,
        (
            'SELECT m."from"::text, m.body FROM conversation_messages m '
            "JOIN sessions s ON s.id = m.conversation ORDER BY 1 DESC"
        ),
        [("HUMAN", ASKED), ("BOT", ANSWERED)],
    ),
    "triggers of its own": (
        PLAIN
        + """
        ALTER TABLE sessions ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
        CREATE FUNCTION count_messages() RETURNS TRIGGER AS $$
        BEGIN UPDATE sessions SET messages = messages + 1 WHERE id = NEW.session_id; RETURN NEW; END;
        $$ LANGUAGE plpgsql;
        CREATE TRIGGER counted AFTER INSERT ON conversation_messages FOR EACH ROW EXECUTE FUNCTION
            count_messages();
        """,
        "",
        (
            "SELECT m.role, m.content, s.messages FROM conversation_messages m JOIN sessions s ON "
            "s.id = m.session_id ORDER BY m.role DESC"
        ),
        [("user", ASKED, 2), ("assistant", ANSWERED, 2)],
    ),
}


@pytest.mark.parametrize("reverse", [False, True], ids=["in order", "out of order"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_v1_s_tables_are_written_as_their_owner_says(
    empty_dsn: str, tmp_path: Path, shape: str, reverse: bool
) -> None:
    tables, mapping, query, expected = SHAPES[shape]
    async with migrated(empty_dsn, tables, mapping, tmp_path) as v1:
        told = await v1.told()
        await v1.write(await deliveries(reverse=reverse))

        assert told.faults == ()
        assert v1.put_aside == []
        assert await v1.rows(query) == expected
        own = await v1.rows("SELECT to_regclass('conversation_messages_v2') IS NOT NULL")
        await v1.demand_v2("conversation_messages_v2" if own == [(True,)] else "conversation_messages")


@pytest.mark.parametrize("shape", [name for name, shape in SHAPES.items() if shape[1]])
async def test_without_a_mapping_v1_s_tables_are_left_alone_and_told_and_v2_has_all(
    empty_dsn: str, shape: str
) -> None:
    tables, _, query, _ = SHAPES[shape]
    async with migrated(empty_dsn, tables) as v1:
        before = await v1.rows(query)
        told = await v1.told()
        await v1.write()

        assert told.faults
        assert len(told.remedies) >= 1
        assert v1.put_aside == []
        assert await v1.rows(query) == before
        await v1.demand_v2("conversation_messages_v2")
        references = await v1.rows(
            "SELECT DISTINCT confrelid::regclass::text FROM pg_constraint WHERE conrelid = "
            "'tasks_v2'::regclass "
            "AND contype = 'f' ORDER BY 1"
        )
        assert references == [("sessions_v2",), ("tasks_v2",)]


# Each: tables of V1, and the line that names what is in the way and what to write.
TOLD = {
    "a required column": (
        PLAIN + "ALTER TABLE conversation_messages ADD COLUMN org_id INTEGER NOT NULL;",
        r"conversation_messages\.org_id \(integer\) is required, and no event says it",
        r"\[conversation_messages\.values\] org_id = 1, or \[conversation_messages\] skip = true",
    ),
    "ids that are numbers": (
        "CREATE TABLE conversation_messages (id BIGSERIAL PRIMARY KEY, content TEXT);",
        r"conversation_messages\.id is of type bigint, and ids here are written as uuid",
        r'\[conversation_messages\] id = "number"',
    ),
    "ids that are text": (
        "CREATE TABLE tool_invocations (id VARCHAR(40) PRIMARY KEY);",
        r"tool_invocations\.id is of type character varying\(40\)",
        r'\[tool_invocations\] id = "text"',
    ),
    "a check": (
        PLAIN.replace("role TEXT NOT NULL", "role TEXT NOT NULL CHECK (role IN ('HUMAN', 'AI'))"),
        r"conversation_messages\.role refuses a row as V2 writes it: .*violates check constraint",
        r"\[conversation_messages\.words\.role\] user = ",
    ),
    "an enumeration": (
        "CREATE TYPE who AS ENUM ('user', 'ai');" + PLAIN.replace("role TEXT", "role who"),
        r'conversation_messages\.role refuses .*invalid input value for enum who: "assistant"',
        r"\[conversation_messages\.words\.role\] assistant = ",
    ),
    "a foreign key": (
        USERS
        + PLAIN
        + "ALTER TABLE sessions ADD COLUMN user_id INTEGER NOT NULL DEFAULT 7 REFERENCES users(id);",
        r"sessions\.user_id refuses .*violates foreign key constraint.*is not present in table \"users\"",
        r"\[sessions\.values\] user_id = ",
    ),
    "a trigger that refuses": (
        PLAIN
        + """
        CREATE FUNCTION closed() RETURNS TRIGGER AS $$ BEGIN RAISE EXCEPTION 'V1 is closed'; END; $$
            LANGUAGE plpgsql;
        CREATE TRIGGER closed BEFORE INSERT ON conversation_messages FOR EACH ROW EXECUTE FUNCTION closed();
        """,
        r"conversation_messages refuses a row as V2 writes it: V1 is closed \(PL/pgSQL function closed\(\)",
        r"\[conversation_messages\] skip = true",
    ),
    "a trigger that drops": (
        PLAIN
        + """
        CREATE FUNCTION dropped() RETURNS TRIGGER AS $$ BEGIN RETURN NULL; END; $$ LANGUAGE plpgsql;
        CREATE TRIGGER dropped BEFORE INSERT ON tool_invocations FOR EACH ROW EXECUTE FUNCTION dropped();
        """,
        r"tool_invocations does not keep a row that is put there",
        r"\[tool_invocations\] skip = true",
    ),
    "ids that are not unique": (
        "CREATE TABLE conversation_messages (id UUID, session_id UUID, role TEXT, content TEXT);",
        r"conversation_messages\.id has no unique index",
        r"\[conversation_messages\] skip = true",
    ),
    "a view": (
        "CREATE VIEW conversation_messages AS SELECT gen_random_uuid() AS id, 'x'::text AS content;",
        r"conversation_messages is a view",
        r"\[conversation_messages\] skip = true",
    ),
    "a column of another type": (
        PLAIN + "ALTER TABLE conversation_messages ADD COLUMN task_id BIGINT;",
        r"conversation_messages\.task_id is of type bigint, which uuid does not become",
        r'\[conversation_messages\.columns\] task_id = ""',
    ),
}


@pytest.mark.parametrize("case", TOLD)
async def test_what_is_in_the_way_is_told_by_table_and_column_with_what_to_write(
    empty_dsn: str, case: str
) -> None:
    tables, fault, remedy = TOLD[case]
    async with migrated(empty_dsn, tables) as v1:
        told = await v1.told()
        await v1.write()

        assert any(re.search(fault, one, re.DOTALL) for one in told.faults), told.faults
        assert any(re.search(remedy, one) for one in told.remedies), told.remedies
        assert v1.put_aside == []
        [(chat,)] = await v1.rows(
            "SELECT CASE WHEN to_regclass('conversation_messages_v2') IS NULL "
            "THEN 'conversation_messages' ELSE 'conversation_messages_v2' END"
        )
        await v1.demand_v2(chat)


async def test_row_level_security_that_hides_what_is_written_is_told(empty_dsn: str) -> None:
    async with migrated(empty_dsn, PLAIN) as v1:
        role = f"sink_{uuid4().hex}"
        await v1.connection.execute(
            f"CREATE ROLE {role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; "
            f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; GRANT TEMP ON DATABASE "
            f"{v1.connection.info.dbname} TO {role};"
            "ALTER TABLE conversation_messages ENABLE ROW LEVEL SECURITY;"
            "CREATE POLICY theirs ON conversation_messages USING (current_setting('app.tenant', "
            "true) = 'x')".encode()
        )
        try:
            await v1.connection.execute(f"SET ROLE {role}".encode())
            found = await fitted(v1.connection, AS_THEY_ARE)
            await v1.connection.execute("RESET ROLE")
        finally:
            await v1.connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

        [obstacle] = found.left_alone["conversation_messages"]
        assert "row-level security policy" in str(obstacle)
        assert "BYPASSRLS" in str(obstacle)
        assert "sessions" not in found.left_alone


async def test_one_row_that_v1_refuses_is_put_aside_and_everything_else_of_it_is_written(
    empty_dsn: str,
) -> None:
    tables = (
        PLAIN + "ALTER TABLE conversation_messages ADD CONSTRAINT mild CHECK (content NOT LIKE 'It is one%');"
    )
    async with migrated(empty_dsn, tables) as v1:
        await v1.write()

        assert await v1.rows("SELECT role, content FROM conversation_messages") == [("user", ASKED)]
        assert await v1.rows("SELECT status, last_answer FROM session_summaries") == [("answered", ANSWERED)]
        assert await v1.rows("SELECT status FROM tasks_v2 WHERE intent <> ''") == [("complete",)]
        [aside] = v1.put_aside
        assert aside.refusal is not None
        assert aside.refusal.code == "row_refused"
        assert "V1's table conversation_messages refuses its row" in aside.refusal.reason
        assert "mild" in aside.refusal.reason


CHAT, USES = "conversation_messages", "tool_invocations"
NO_ANSWERS = """
    CREATE FUNCTION no_answers() RETURNS TRIGGER AS $$
    BEGIN
        IF NEW.content LIKE 'It is one%' THEN RAISE EXCEPTION 'no answers here'; END IF;
        RETURN NULL;
    END; $$ LANGUAGE plpgsql;
    CREATE CONSTRAINT TRIGGER no_answers AFTER INSERT OR UPDATE ON conversation_messages
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no_answers();
"""
DEFERRED = {
    "trigger": (NO_ANSWERS, {CHAT: "no answers here"}),
    "foreign key": (
        """
        CREATE TABLE kinds (name TEXT PRIMARY KEY);
        INSERT INTO kinds VALUES ('search_documents');
        ALTER TABLE tool_invocations ALTER COLUMN tool_name SET DEFAULT 'search_documents',
            ADD CONSTRAINT known FOREIGN KEY (tool_name) REFERENCES kinds DEFERRABLE INITIALLY DEFERRED;
        CREATE FUNCTION forgets() RETURNS TRIGGER AS $$
        BEGIN
            IF NEW.latency_ms = 3 THEN NEW.tool_name := 'forgotten'; END IF;
            RETURN NEW;
        END; $$ LANGUAGE plpgsql;
        CREATE TRIGGER forgets BEFORE INSERT OR UPDATE ON tool_invocations
            FOR EACH ROW EXECUTE FUNCTION forgets();
        """,
        {USES: "known"},
    ),
    "unique": (
        """
        CREATE FUNCTION first_of_answers() RETURNS TRIGGER AS $$
        BEGIN
            IF NEW.content LIKE 'It is one%' THEN INSERT INTO answered VALUES (1), (1); END IF;
            RETURN NEW;
        END; $$ LANGUAGE plpgsql;
        CREATE TABLE answered (number INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER first_of_answers AFTER INSERT ON conversation_messages
            FOR EACH ROW EXECUTE FUNCTION first_of_answers();
        """,
        {CHAT: "answered_number_key"},
    ),
}


@pytest.mark.parametrize("tables_of_v1", [PLAIN, f"{PLAIN} ALTER TABLE sessions ADD other INT;"])
@pytest.mark.parametrize("name", DEFERRED)
async def test_a_row_that_v1_refuses_only_at_the_end_is_put_aside_and_everything_else_of_it_is_written(
    empty_dsn: str, name: str, tables_of_v1: str
) -> None:
    deferred, expected = DEFERRED[name]
    async with migrated(empty_dsn, tables_of_v1 + deferred) as v1:
        await v1.write()

        assert await v1.rows("SELECT status, last_answer FROM session_summaries") == [("answered", ANSWERED)]
        assert await v1.rows("SELECT status FROM tasks_v2 WHERE intent <> ''") == [("complete",)]
        assert await v1.rows("SELECT count(*) FROM event_log") == [(len(await deliveries()),)]
        assert {one.projected.leaves_out for one in v1.put_aside} == {frozenset(expected)}
        for one in v1.put_aside:
            assert one.refusal is not None
            [(table, reason)] = expected.items()
            assert f"V1's table {table} refuses its row, and all else of it is applied" in one.refusal.reason
            assert reason in one.refusal.reason


async def test_v1_s_sessions_that_come_to_demand_a_column_are_left_and_v2_goes_on(empty_dsn: str) -> None:
    async with migrated(empty_dsn, PLAIN) as v1:
        await v1.connection.execute("INSERT INTO sessions DEFAULT VALUES")
        await v1.write()
        await v1.connection.execute("ALTER TABLE sessions ADD COLUMN org INTEGER NOT NULL DEFAULT 1")
        await v1.connection.execute("ALTER TABLE sessions ALTER COLUMN org DROP DEFAULT")
        before = await v1.rows("SELECT id, org FROM sessions ORDER BY id")

        with pytest.raises(ParentUnfit, match=r"sessions\.org \(integer\) is required"):
            await Writer.connect(v1.dsn, "test")
        assert await migrate(v1.connection) == ()
        opened = story(session_id=str(uuid4()))[1]
        other = [await taken(topic_of(opened.body), opened, 100)]
        await v1.write(other)

        assert await v1.rows("SELECT id, org FROM sessions ORDER BY id") == before
        assert await v1.rows("SELECT count(*) FROM sessions_v2") == [(2,)]
        assert await v1.rows("SELECT count(*) FROM session_summaries") == [(2,)]


async def test_a_table_that_is_to_be_skipped_is(empty_dsn: str, tmp_path: Path) -> None:
    async with migrated(empty_dsn, PLAIN, "[conversation_messages]\nskip = true\n", tmp_path) as v1:
        await v1.write()

        assert await v1.rows("SELECT count(*) FROM conversation_messages") == [(0,)]
        assert (await v1.told()).faults == ()
        assert "is left alone, as its mapping says" in (await v1.told()).detail
        await v1.demand_v2("conversation_messages_v2")


async def test_a_number_that_v1_has_given_is_never_another_row_s(empty_dsn: str, tmp_path: Path) -> None:
    tables, mapping, *_ = SHAPES["serial ids"]
    ahead = tables + (
        "INSERT INTO conversation_messages (id, session_id, role, content) SELECT n, 1, "
        "'user', 'V1 ' || n FROM generate_series(2, 40) n;"
    )
    async with migrated(empty_dsn, ahead, mapping, tmp_path) as v1:
        before = await v1.rows("SELECT id, content FROM conversation_messages ORDER BY id")
        await v1.write()

        assert (await v1.rows("SELECT id, content FROM conversation_messages ORDER BY id"))[
            : len(before)
        ] == before


async def test_later_migrations_find_v2_s_tables_under_their_names(empty_dsn: str) -> None:
    tables, *_ = SHAPES["serial ids"]
    async with migrated(empty_dsn, tables) as v1:
        later = replace(
            migrations()[-1],
            version=9_999,
            name="later",
            sql="ALTER TABLE conversation_messages ADD COLUMN later UUID",
        )
        await migrate(v1.connection, (*migrations(), later))

        with_it = await v1.rows("SELECT attrelid::regclass::text FROM pg_attribute WHERE attname = 'later'")
        assert with_it == [("conversation_messages_v2",)]
        assert await pending(v1.connection) == ()


async def test_tables_of_others_are_neither_taken_for_ours_nor_changed(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(
            "CREATE TABLE schema_migrations (version BIGINT PRIMARY KEY, dirty BOOLEAN NOT NULL);"
            "INSERT INTO schema_migrations VALUES (20250120, false)"
        )
        await migrate(connection)
        assert await rows(connection, "SELECT * FROM schema_migrations") == [(20250120, False)]


async def test_a_table_of_v2_s_name_is_refused_before_anything_is_changed(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute("CREATE TABLE event_log (id INTEGER)")

        with pytest.raises(NameTaken, match="event_log of somebody else's"):
            await migrate(connection)

        tables = (
            "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
            "AND relkind = 'r'"
        )
        assert await rows(connection, tables) == [(1,)]


async def test_v1_s_tables_of_another_owner_are_refused_before_anything_is_changed(empty_dsn: str) -> None:
    role = f"v2_{uuid4().hex}"
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(SHAPES["serial ids"][0].encode())
        await connection.execute("CREATE EXTENSION vector")
        await connection.execute(f"CREATE ROLE {role}; GRANT ALL ON SCHEMA public TO {role}".encode())
        try:
            await connection.execute(f"SET ROLE {role}".encode())
            with pytest.raises(
                NotTheOwner, match="migrate as their owner, or let V2 have a schema of its own"
            ):
                await migrate(connection)
        finally:
            await connection.execute("RESET ROLE")
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())
        assert await rows(connection, "SELECT to_regclass('tasks_v2'), to_regclass('event_log')") == [
            (None, None)
        ]


async def test_in_a_schema_of_its_own_v2_leaves_v1_untouched(empty_dsn: str) -> None:
    tables, *_ = SHAPES["serial ids"]
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(tables.encode())
        await connection.execute("CREATE SCHEMA cartrita")
        before = await rows(
            connection,
            "SELECT attrelid, attname FROM pg_attribute WHERE attrelid = "
            "ANY('{sessions,conversation_messages}'::regclass[]) ORDER BY 1, 2",
        )
    async with migrated(empty_dsn + "?options=-csearch_path%3Dcartrita,public", "SELECT 1") as v1:
        await v1.write()

        await v1.demand_v2()
        assert await v1.rows("SELECT count(*) FROM public.conversation_messages") == [(1,)]
        after = await v1.rows(
            "SELECT attrelid, attname FROM pg_attribute WHERE attrelid = "
            "ANY('{public.sessions,public.conversation_messages}'::regclass[]) ORDER BY 1, 2"
        )
        assert after == before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[sessions", "cannot be read"),
        ("[users]\nskip = true", r"\[users\] is no table of V1"),
        ("[sessions]\nid = 'serial'", r"\[sessions\] id: Input should be"),
        ("[sessions]\nskipped = true", r"\[sessions\] skipped: Extra inputs"),
        ("[sessions.columns]\nowner = 'x'", r"\[sessions.columns\] owner is no column that events fill"),
        ("[conversation_messages.columns]\nrole = 'x'\ncontent = 'x'", r"x is named twice"),
    ],
)
def test_a_mapping_that_cannot_be_used_is_told_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "version_one.toml"
    path.write_text(text)

    with pytest.raises(MappingInvalid, match=fault):
        read_mapping(path)
