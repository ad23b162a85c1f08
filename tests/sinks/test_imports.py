"""V1's conversations become V2's history: once, whole, and past nobody's rows."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.version_one.sample import TABLES, Sample, fill
from processors.import_source import session_id_of
from schemas.envelope import Envelope
from schemas.events.imports import MessageImported
from schemas.events.inputs import MessageReceived
from sinks import imports, shadow
from sinks.comparison import compare, compared_tables, put_right
from sinks.fitting import fitted
from sinks.imports import OriginTaken, Progress
from sinks.mapping import AS_THEY_ARE, VersionOne, read_mapping
from sinks.migrator import migrate
from sinks.writer import Writer
from streams.imports import importing
from streams.imports.counting import Counts
from streams.imports.importing import ImportSettings, SinkBehind, bring_over
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from tests.sinks.test_version_one import SHAPES
from topics.catalog import TOPICS, topic_of

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
NOW = datetime(2026, 1, 31, tzinfo=UTC)
SAMPLE = Sample(sessions=40, messages_mean=8, now=NOW)
V1_ROWS = (
    "SELECT id, user_id, title, status, created_at FROM sessions ORDER BY id",
    "SELECT id, session_id, role, content, metadata, created_at FROM conversation_messages ORDER BY id",
    "SELECT * FROM tool_invocations ORDER BY id",
)
LONG = "a long answer " * 20


class Killed(Exception):
    """As if the process had ended here."""


class SinkLog:
    """A log that a sink has read as soon as it is written."""

    def __init__(self, dsn: str, mapping: VersionOne = AS_THEY_ARE) -> None:
        self.dsn = dsn
        self.mapping = mapping
        self.events: list[Envelope] = []
        self.puts_left = -1
        """After so many the process is killed: the events are kept, and nobody learns of it."""

    async def put(self, events: Sequence[Envelope]) -> None:
        await write(self.dsn, events, len(self.events), self.mapping)
        self.events += events
        self.puts_left -= 1
        if self.puts_left == 0:
            raise Killed

    async def ends(self) -> Mapping[int, int]:
        """There is no topic that anybody could be behind."""
        return {}


async def write(
    dsn: str,
    events: Sequence[Envelope],
    offset: int = 0,
    mapping: VersionOne = AS_THEY_ARE,
    schema: str | None = None,
) -> None:
    """Write events as the sink does, all topics from that offset on."""
    writer = await Writer.connect(dsn, f"{schema}{offset}{uuid.uuid4().hex}", schema=schema, mapping=mapping)
    try:
        await writer.positions({(topic.name, 0): uuid.uuid4() for topic in TOPICS})
        batch = [
            (await taken(topic_of(one.body), one, offset + number)).projected
            for number, one in enumerate(events)
        ]
        if batch:
            await writer.write(batch, {(topic.name, 0): 0 for topic in TOPICS})
    finally:
        await writer.close()


def settings_of(dsn: str, source: str | None = None, **more: object) -> ImportSettings:
    """Return an import's settings."""
    given = {
        "dsn": dsn,
        "source_dsn": source or dsn,
        "origin": "old",
        "tenant_id": "acme",
        "user_id": "nobody",
        "mapping": AS_THEY_ARE,
        "running_within": timedelta(hours=24),
        **more,
    }
    return ImportSettings(**given)  # type: ignore[arg-type]  # mypy cannot see the fields of a dict


def messages(events: Sequence[Envelope]) -> list[MessageImported]:
    """Return the facts about messages."""
    return [one.body for one in events if isinstance(one.body, MessageImported)]


async def brought(settings: ImportSettings, log: SinkLog | None) -> Counts:
    """Make a pass."""
    counts = Counts()
    await bring_over(settings, log, counts)
    return counts


@asynccontextmanager
async def version_one(
    dsn: str, *statements: str, mapping: VersionOne = AS_THEY_ARE
) -> AsyncIterator[Connection]:
    """Make a V1 of these statements, and migrate."""
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        for statement in statements:
            await connection.execute(statement.encode())
        await migrate(connection, mapping=mapping)
        yield connection


@asynccontextmanager
async def sampled(dsn: str) -> AsyncIterator[Connection]:
    """Make the sample's V1, and migrate."""
    await fill(dsn, SAMPLE)
    async with version_one(dsn) as connection:
        yield connection


async def of_v1(connection: Connection) -> list[list[TupleRow]]:
    """Return all that V1's readers see."""
    return [await rows(connection, query) for query in V1_ROWS]


async def differing(
    connection: Connection, dsn: str, events: Sequence[Envelope], *, swap: bool = False
) -> set[str]:
    """Project the log into a shadow and compare; returns the tables that differ, which are put right."""
    found = await fitted(connection, AS_THEY_ARE)
    await shadow.drop(connection)
    await shadow.begin(connection, "test", found)
    await write(dsn, events, schema=shadow.SCHEMA)
    tables = compared_tables(found.targets)
    async with connection.transaction():
        await connection.execute("SET LOCAL cartrita.rebuild = 'on'")
        compared = await compare(connection, tables)
        if swap:
            await put_right(connection, tables, compared)
    return {one.table for one in compared if not one.is_equal and one.table != "event_log"}


async def test_v1_s_own_rows_are_filled_in_and_nothing_else_of_them_changes(empty_dsn: str) -> None:
    async with sampled(empty_dsn) as connection:
        before = await of_v1(connection)

        counts = await brought(settings_of(empty_dsn), log := SinkLog(empty_dsn))

        assert await of_v1(connection) == before
        assert await rows(
            connection,
            "SELECT count(*) FROM conversation_messages m JOIN sessions s ON s.id = m.session_id "
            "WHERE task_id IS NULL OR graph_node IS DISTINCT FROM 'adopted' OR cost_tokens <> 0",
        ) == [(0,)]
        assert (counts.sessions, counts.bad) == (40, SAMPLE.orphans)
        assert counts.messages == len(before[1]) - SAMPLE.orphans
        assert {row.reason.split(" which")[0].split(" 0")[0].split()[0] for row in counts.bad_rows} == {
            "belongs"
        }
        assert await rows(
            connection,
            "SELECT count(*) FILTER (WHERE parent_id IS NULL), count(parent_id), "
            "(SELECT count(*) FROM task_edges), (SELECT count(*) FROM tool_capability_index) FROM tasks_v2",
        ) == [(40, counts.tasks - 40, counts.edges, counts.tools)]
        assert await differing(connection, empty_dsn, log.events) == set()


async def test_tasks_follow_the_design_s_rule(empty_dsn: str) -> None:
    async with sampled(empty_dsn) as connection:
        await brought(settings_of(empty_dsn), SinkLog(empty_dsn))

        wanted = await rows(
            connection,
            "SELECT CASE WHEN role = 'tool' THEN 'tool_' || COALESCE(metadata ->> 'tool_name', 'unknown') "
            "ELSE 'assistant_response' END, count(*) "
            "FROM conversation_messages m JOIN sessions s ON s.id = session_id "
            "WHERE role = 'tool' OR (role = 'assistant' AND length(content) > 200) GROUP BY 1 ORDER BY 1",
        )
        made = await rows(
            connection,
            "SELECT intent, count(*) FROM tasks_v2 WHERE parent_id IS NOT NULL AND priority = 3 "
            "AND status = 'complete' AND spec_json ? 'content_preview' GROUP BY 1 ORDER BY 1",
        )
        assert made == wanted
        assert len(made) > 3
        assert await rows(
            connection,
            "SELECT count(*) FROM task_edges e JOIN tasks_v2 a ON a.id = e.from_task_id "
            "JOIN tasks_v2 b ON b.id = e.to_task_id WHERE a.created_at < b.created_at "
            "OR a.session_id <> b.session_id OR relation_type <> 'depends_on'",
        ) == [(0,)]


async def test_a_killed_import_goes_on_and_rows_come_out_as_of_one_that_was_not(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "EVENTS_AT_ONCE", 120)
    query = "SELECT id, session_id, parent_id, intent, spec_json, created_at FROM tasks_v2 ORDER BY id"
    async with sampled(empty_dsn) as connection:
        log = SinkLog(empty_dsn)
        for puts in (1, 2):
            log.puts_left = puts
            with pytest.raises(Killed):
                await brought(settings_of(empty_dsn), log)
        log.puts_left = -1

        counts = await brought(settings_of(empty_dsn), log)

        assert counts.sessions == 40
        assert await rows(connection, "SELECT count(*) FROM tasks_v2 WHERE parent_id IS NULL") == [(40,)]
        resumed = await rows(connection, query)
        assert await differing(connection, empty_dsn, log.events) == set()
        once = SinkLog(empty_dsn)
        await brought(settings_of(empty_dsn, whole=True), once)
        assert once.events == []
        assert await rows(connection, query) == resumed


async def test_a_second_pass_tells_only_what_changed_and_never_doubles(empty_dsn: str) -> None:
    async with sampled(empty_dsn) as connection:
        log = SinkLog(empty_dsn)
        await brought(settings_of(empty_dsn), log)
        first = len(log.events)
        await brought(settings_of(empty_dsn), log)
        assert len(log.events) == first
        (session, message) = (
            await rows(
                connection,
                "SELECT session_id, id FROM conversation_messages m WHERE role = 'user' AND content <> '' "
                "AND EXISTS (SELECT FROM sessions s WHERE s.id = session_id) ORDER BY id LIMIT 1",
            )
        )[0]
        await connection.execute(
            "INSERT INTO conversation_messages (session_id, role, content) VALUES (%s, 'assistant', %s)",
            [session, LONG],
        )
        await connection.execute(
            "UPDATE conversation_messages SET content = 'edited' WHERE id = %s", [message]
        )
        tasks = await rows(connection, "SELECT count(*) FROM tasks_v2")

        await brought(settings_of(empty_dsn), log)

        kinds = sorted(one.type for one in log.events[first:])
        assert kinds.count("MessageImported") == 2
        assert kinds.count("ConversationImported") == 1
        assert await rows(connection, "SELECT count(*) - 1 FROM tasks_v2") == tasks
        assert await rows(
            connection,
            "SELECT content FROM conversation_messages WHERE id = %(id)s".replace("%(id)s", f"'{message}'"),
        ) == [("edited",)]
        assert await differing(connection, empty_dsn, log.events) == set()


async def test_what_v1_takes_back_is_told_again(dsn: str, empty_dsn: str) -> None:
    await fill(empty_dsn, replace(SAMPLE, sessions=3))
    first = (
        "(SELECT id FROM conversation_messages WHERE role = 'user' AND metadata IS NULL ORDER BY id LIMIT 1)"
    )
    async with (
        await AsyncConnection.connect(empty_dsn, autocommit=True) as old,
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        await old.execute("ALTER TABLE conversation_messages ADD COLUMN tokens INTEGER DEFAULT 5")
        await old.execute(
            "DELETE FROM conversation_messages WHERE session_id NOT IN (SELECT id FROM sessions)"
        )
        key, said = (await rows(old, f"SELECT id, content FROM conversation_messages WHERE id = {first}"))[0]
        log = SinkLog(dsn)
        await brought(settings_of(dsn, empty_dsn), log)
        for text, tokens in (("another", 9), (said, 5), ("another", 9), (said, 5)):
            await old.execute(
                f"UPDATE conversation_messages SET content = %s, tokens = %s WHERE id = '{key}'".encode(),
                [text, tokens],
            )
            await brought(settings_of(dsn, empty_dsn), log)

            assert await rows(
                connection, f"SELECT content, cost_tokens FROM conversation_messages WHERE id = '{key}'"
            ) == [(text, tokens)]
        count = len(log.events)
        await brought(settings_of(dsn, empty_dsn, whole=True), log)

        assert len(log.events) == count
        assert await differing(connection, dsn, log.events) == set()


async def test_what_changed_while_an_import_was_down_counts_once(
    dsn: str, empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "EVENTS_AT_ONCE", 5)
    await fill(empty_dsn, replace(SAMPLE, sessions=10, orphans=0))
    async with (
        await AsyncConnection.connect(empty_dsn, autocommit=True) as old,
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        await old.execute("ALTER TABLE conversation_messages ADD COLUMN tokens INTEGER DEFAULT 5")
        log = SinkLog(dsn)
        log.puts_left = 3
        with pytest.raises(Killed):
            await brought(settings_of(dsn, empty_dsn), log)
        await old.execute("UPDATE conversation_messages SET tokens = 7, content = 'edited'")

        await brought(settings_of(dsn, empty_dsn), log)
        # What was told before it was edited is told again by the next pass.
        await brought(settings_of(dsn, empty_dsn), log)

        assert await rows(connection, "SELECT DISTINCT content, cost_tokens FROM conversation_messages") == [
            ("edited", 7)
        ]
        assert await differing(connection, dsn, log.events) == set()


OWN_COSTS = (
    "ALTER TABLE conversation_messages ADD COLUMN cost_tokens INTEGER",
    "ALTER TABLE conversation_messages ADD COLUMN tokens INTEGER DEFAULT 1000",
    "UPDATE conversation_messages SET cost_tokens = length(content) WHERE content <> 'the'",
)
COSTS = "SELECT id, cost_tokens FROM conversation_messages ORDER BY id"


async def test_a_column_of_v1_s_own_that_says_what_messages_cost_stays_v1_s(empty_dsn: str) -> None:
    await fill(empty_dsn, SAMPLE)
    async with version_one(empty_dsn, *OWN_COSTS) as connection:
        before = await rows(connection, COSTS)

        await brought(settings_of(empty_dsn), log := SinkLog(empty_dsn))

        assert await rows(connection, COSTS) == before
        told = {said.message_id: said.cost_tokens for said in messages(log.events)}
        assert told == {str(key): cost or 0 for key, cost in before if str(key) in told}
        assert sum(told.values()) > 0
        await connection.execute("UPDATE conversation_messages SET cost_tokens = cost_tokens + 1")
        after = await rows(connection, COSTS)
        await brought(settings_of(empty_dsn), log)
        assert await differing(connection, empty_dsn, log.events, swap=True) == set()
        assert await rows(connection, COSTS) == after


async def test_what_messages_of_a_v1_elsewhere_cost_is_taken_from_its_own_column(
    dsn: str, empty_dsn: str
) -> None:
    await fill(empty_dsn, SAMPLE)
    async with (
        await AsyncConnection.connect(empty_dsn, autocommit=True) as old,
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        for statement in OWN_COSTS:
            await old.execute(statement.encode())
        log = SinkLog(dsn)
        await brought(settings_of(dsn, empty_dsn), log)
        await old.execute("UPDATE conversation_messages SET cost_tokens = cost_tokens * 2")

        await brought(settings_of(dsn, empty_dsn), log)

        theirs = (
            "SELECT m.id, COALESCE(cost_tokens, 0) FROM conversation_messages m "
            "JOIN sessions s ON s.id = session_id ORDER BY m.id"
        )
        assert await rows(connection, theirs) == await rows(old, theirs)


async def test_a_conversation_that_does_not_go_on_is_told_to_have_ended(dsn: str, empty_dsn: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    async with (
        version_one(
            empty_dsn,
            TABLES,
            *(
                f"INSERT INTO sessions (id, status, created_at) VALUES ('{one}', {status}, now())"
                for one, status in zip(ids, ("NULL", "'active'"), strict=True)
            ),
        ),
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        query = "SELECT status FROM tasks_v2 ORDER BY session_id = '{}', status"
        log = SinkLog(dsn)
        await brought(settings_of(dsn, empty_dsn), log)
        assert await rows(connection, query.format(ids[1])) == [("running",), ("running",)]

        await brought(settings_of(dsn, empty_dsn, running_within=timedelta(0)), log)

        assert await rows(connection, query.format(ids[1])) == [("complete",), ("running",)]


async def test_rows_that_share_an_id_are_named_and_left_out(dsn: str, empty_dsn: str) -> None:
    session, message = (str(uuid.uuid4()) for _ in range(2))
    said = (
        "INSERT INTO conversation_messages (id, session_id, role, content) VALUES ('{}', '{}', 'user', '{}')"
    )
    async with version_one(
        empty_dsn,
        TABLES,
        "ALTER TABLE sessions DROP CONSTRAINT sessions_pkey CASCADE",
        "ALTER TABLE conversation_messages DROP CONSTRAINT conversation_messages_pkey CASCADE",
        *2 * [f"INSERT INTO sessions (id) VALUES ('{session}')"],
        *(said.format(message, session, text) for text in "ab"),
        said.format(uuid.uuid4(), session, "c"),
    ):
        counts = await brought(settings_of(dsn, empty_dsn), SinkLog(dsn))

    assert (counts.sessions, counts.messages) == (1, 1)
    assert sorted((one.table, one.key, one.reason) for one in counts.bad_rows) == [
        *2 * [("conversation_messages", message, "has the id of another row")],
        ("sessions", session, "has the id of another row"),
    ]


async def test_a_later_pass_waits_until_the_sink_has_written_what_was_told(dsn: str, empty_dsn: str) -> None:
    class Ahead(SinkLog):
        async def ends(self) -> Mapping[int, int]:
            return {0: 1}

    await fill(empty_dsn, SAMPLE)
    log = Ahead(dsn)

    with pytest.raises(SinkBehind, match="1 records"):
        await brought(settings_of(dsn, empty_dsn, sink_patience_s=0.0), log)

    assert log.events == []


async def test_a_role_that_may_only_read_v1_is_enough(dsn: str, empty_dsn: str) -> None:
    await fill(empty_dsn, SAMPLE)
    role = f"reads_{uuid.uuid4().hex}"
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as old:
        await old.execute(f"CREATE ROLE {role}".encode())
        try:
            await old.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}".encode())
            counts = await brought(settings_of(dsn, f"{empty_dsn}?options=-crole%3D{role}"), SinkLog(dsn))
        finally:
            await old.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    assert (counts.sessions, counts.bad) == (40, SAMPLE.orphans)


async def test_an_import_tells_of_what_the_sink_does_not_write(dsn: str, empty_dsn: str) -> None:
    class Unread(SinkLog):
        async def ends(self) -> Mapping[int, int]:
            return {0: len(self.events)}

    await fill(empty_dsn, SAMPLE)
    log = Unread(dsn)

    counts = await brought(settings_of(dsn, empty_dsn, sink_patience_s=0.0), log)

    assert counts.waiting == counts.events == len(log.events) > 0


async def test_v1_s_edits_between_reading_and_writing_stay(empty_dsn: str) -> None:
    class Late(SinkLog):
        async def put(self, events: Sequence[Envelope]) -> None:
            async with await AsyncConnection.connect(self.dsn, autocommit=True) as one:
                await one.execute("UPDATE conversation_messages SET content = 'edited ' || id")
            await super().put(events)

    async with sampled(empty_dsn) as connection:
        log = Late(empty_dsn)
        await brought(settings_of(empty_dsn), log)
        edited = "SELECT count(*) FROM conversation_messages WHERE content <> 'edited ' || id"

        assert await rows(connection, edited) == [(0,)]
        assert await differing(connection, empty_dsn, log.events, swap=True) == set()
        assert await rows(connection, edited) == [(0,)]


async def test_a_v1_elsewhere_is_copied_and_a_later_pass_takes_over_its_edits(
    dsn: str, empty_dsn: str
) -> None:
    await fill(empty_dsn, SAMPLE)
    async with (
        await AsyncConnection.connect(empty_dsn, autocommit=True) as old,
        await AsyncConnection.connect(dsn, autocommit=True) as connection,
    ):
        log = SinkLog(dsn)
        await brought(settings_of(dsn, empty_dsn), log)
        there = (
            "SELECT m.id, m.role, COALESCE(m.content, '') FROM conversation_messages m "
            "JOIN sessions s ON s.id = m.session_id ORDER BY 1"
        )
        assert await rows(connection, there) == await rows(old, there)
        calls = "SELECT id, latency_ms, output_json FROM tool_invocations ORDER BY id"
        assert await rows(connection, calls) == await rows(old, calls)
        await old.execute("UPDATE conversation_messages SET content = 'edited' WHERE role = 'user'")

        await brought(settings_of(dsn, empty_dsn), log)

        assert await rows(connection, there) == await rows(old, there)
        assert await differing(connection, dsn, log.events) == set()
        assert await rows(connection, "SELECT DISTINCT imported_from, tenant_id FROM session_summaries") == [
            ("old", "acme")
        ]


async def test_a_dry_run_counts_and_writes_nothing(empty_dsn: str) -> None:
    async with sampled(empty_dsn) as connection:
        dry = await brought(settings_of(empty_dsn), None)

        assert dry.sessions == 40
        assert await rows(
            connection,
            "SELECT (SELECT count(*) FROM imports), (SELECT count(*) FROM event_log), "
            "(SELECT count(*) FROM tasks_v2)",
        ) == [(0, 0, 0)]
        assert (await brought(settings_of(empty_dsn), SinkLog(empty_dsn))).numbers() == dry.numbers()


async def test_what_v2_wrote_into_v1_s_tables_is_not_brought_over(empty_dsn: str) -> None:
    async with version_one(empty_dsn, TABLES) as connection:
        mine, theirs = (str(uuid.uuid4()) for _ in range(2))
        await connection.execute("INSERT INTO sessions (id) VALUES (%s)", [theirs])
        await connection.execute(
            "INSERT INTO conversation_messages (session_id, role, content) VALUES (%s, 'user', 'of V1')",
            [theirs],
        )
        said = [
            event(
                MessageReceived(text="of V2"), number, session_id=session, tenant_id="acme", user_id="nobody"
            )
            for number, session in enumerate((mine, theirs), start=1)
        ]
        await write(empty_dsn, said)

        counts = await brought(settings_of(empty_dsn), log := SinkLog(empty_dsn))

        assert (counts.sessions, counts.messages, counts.own, counts.bad) == (1, 1, 3, 0)
        assert {one.session_id for one in log.events} == {theirs}
        assert await rows(
            connection, "SELECT content, graph_node FROM conversation_messages ORDER BY 1, 2"
        ) == [
            ("of V1", "adopted"),
            ("of V2", "intake"),
            ("of V2", "intake"),
        ]


async def test_an_id_that_somebody_else_s_session_has_is_refused(dsn: str, empty_dsn: str) -> None:
    taken_id = str(uuid.uuid4())
    await write(dsn, [event(MessageReceived(text="mine"), 1, session_id=taken_id, tenant_id="other")])
    async with version_one(
        empty_dsn,
        TABLES,
        f"INSERT INTO sessions (id) VALUES ('{taken_id}')",
        f"INSERT INTO conversation_messages (session_id, role, content) VALUES ('{taken_id}', 'user', 'x')",
    ):
        counts = await brought(settings_of(dsn, empty_dsn), log := SinkLog(dsn))

    assert log.events == []
    assert [(row.key, row.reason) for row in counts.bad_rows] == [
        (taken_id, "a session of other/ann has its id")
    ]


async def test_a_session_that_came_over_stays_its_owner_s_whoever_opens_one_of_that_id(
    dsn: str, empty_dsn: str
) -> None:
    session = str(uuid.uuid4())
    mallory = event(
        MessageReceived(text="mine now"), 1, session_id=session, tenant_id="other", user_id="mallory"
    )
    async with version_one(
        empty_dsn, TABLES, f"INSERT INTO sessions (id, title) VALUES ('{session}', 'ours')"
    ):
        log = SinkLog(dsn)
        await brought(settings_of(dsn, empty_dsn), log)
    query = "SELECT tenant_id, user_id, title FROM session_summaries"
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await write(dsn, [mallory], 900)
        assert await rows(connection, query) == [("acme", "nobody", "ours")]
        # The other order, as a rebuild may read it.
        assert await differing(connection, dsn, [mallory, *log.events]) == set()


async def test_a_name_stands_for_one_tenant(empty_dsn: str) -> None:
    async with sampled(empty_dsn):
        await brought(settings_of(empty_dsn), SinkLog(empty_dsn))

        with pytest.raises(OriginTaken):
            await brought(settings_of(empty_dsn, tenant_id="other"), SinkLog(empty_dsn))


OF_ITS_SCRIPT = """
    INSERT INTO tasks_v2 (id, session_id, intent, spec_json, priority, status, created_at)
    SELECT gen_random_uuid(), s.id, 'root_conversation_objective',
           jsonb_build_object('inferred_from', 'v1_backfill', 'message_count', 1), 5, 'complete', s.created_at
    FROM sessions s WHERE s.created_at IS NOT NULL
      AND EXISTS (SELECT FROM conversation_messages m WHERE m.session_id = s.id);
    INSERT INTO tasks_v2 (id, session_id, parent_id, intent, spec_json, priority, status, created_at)
    SELECT gen_random_uuid(), m.session_id, t.id,
           CASE WHEN role = 'tool' THEN 'tool_' || COALESCE(metadata ->> 'tool_name', 'unknown')
                ELSE 'assistant_response' END,
           jsonb_build_object('content_preview', left(content, 100)), 3, 'complete', m.created_at
    FROM conversation_messages m JOIN tasks_v2 t ON t.session_id = m.session_id AND t.parent_id IS NULL
    WHERE role = 'tool' OR (role = 'assistant' AND length(content) > 200);
    INSERT INTO tool_capability_index (tool_name, category, success_rate_30d, call_count_30d)
    SELECT COALESCE(tool_name, 'unknown_tool'), 'uncategorized', 50, count(*)
    FROM tool_invocations GROUP BY 1;
    INSERT INTO tool_capability_index (tool_name) VALUES ('not_used_any_more');
    INSERT INTO graph_snapshots (session_id, snapshot_json, node_name)
    SELECT session_id, '{"tasks": [], "migration_info": {"task_count": 0}}', 'migration_baseline'
    FROM tasks_v2 WHERE parent_id IS NULL AND created_at >= NOW() - INTERVAL '7 days';
    INSERT INTO retrieval_metrics (session_id, query_text, usefulness_score, model_feedback)
    SELECT session_id, left(content, 200), 0.7, '{"source": "v1_backfill"}' FROM conversation_messages m
    WHERE role = 'user' AND length(content) > 50 AND EXISTS (SELECT FROM sessions s WHERE s.id = session_id);
"""
THERE = "SELECT 'task', id FROM tasks_v2 UNION ALL SELECT 'snapshot', id FROM graph_snapshots"


async def test_rows_of_the_design_s_own_script_survive_a_swap_and_are_adopted(empty_dsn: str) -> None:
    await fill(empty_dsn, replace(SAMPLE, now=datetime.now(UTC)))
    async with version_one(empty_dsn) as connection:
        await connection.execute(OF_ITS_SCRIPT.encode())
        its = set(await rows(connection, THERE))
        counts = (
            "SELECT (SELECT count(*) FROM retrieval_metrics), (SELECT count(*) FROM tool_capability_index)"
        )
        told = await rows(connection, counts)
        assert await differing(connection, empty_dsn, [], swap=True) == set()
        assert set(await rows(connection, THERE)) == its
        assert await rows(connection, counts) == told

        await brought(settings_of(empty_dsn), log := SinkLog(empty_dsn))

        assert its <= set(await rows(connection, THERE))
        assert await rows(connection, "SELECT count(*) FROM tasks_v2 WHERE parent_id IS NULL") == [(40,)]
        assert await rows(
            connection, "SELECT version, count(*) > 1 FROM tool_capability_index GROUP BY 1 ORDER BY 1"
        ) == [("1.0.0", False), ("v1", True)]
        assert await differing(connection, empty_dsn, log.events, swap=True) == set()
        assert its <= set(await rows(connection, THERE))


@pytest.mark.parametrize("shape", SHAPES)
async def test_v1_s_tables_in_any_form_are_read_and_their_rows_never_doubled(
    empty_dsn: str, tmp_path: Path, shape: str
) -> None:
    tables, said, *_ = SHAPES[shape]
    path = tmp_path / "version_one.toml"
    path.write_text(said)
    mapping = read_mapping(path)
    names: Mapping[str, str] = mapping.of("conversation_messages").columns
    async with version_one(empty_dsn, tables, mapping=mapping) as connection:
        key = await _spoken(connection, names)
        chat = "SELECT count(*) FROM conversation_messages"
        before = await rows(connection, chat)
        kept = await rows(connection, "SELECT count(*) FROM sessions")

        log = SinkLog(empty_dsn, mapping)
        counts = await brought(settings_of(empty_dsn, mapping=mapping), log)
        again = await brought(settings_of(empty_dsn, mapping=mapping), log)

        assert counts.messages >= 1
        assert again.events == 0
        assert await rows(connection, chat) == before
        assert await rows(connection, "SELECT count(*) FROM sessions") == kept
        assert session_id_of("old", key) in {one.session_id for one in log.events}
        assert await rows(
            connection, "SELECT DISTINCT imported_from FROM session_summaries WHERE imported_messages > 0"
        ) == [("old",)]


async def _spoken(connection: Connection, names: Mapping[str, str]) -> str:
    """Let V1 say something in whatever form its tables have; returns the session's key."""
    values = {"owner_id": "1", "kind": "'chat'", "created_at": "now()", "started": "now()", "lang": "'en'"}
    there: dict[str, dict[str, str]] = {}
    for table in ("sessions", "conversation_messages"):
        found = await rows(
            connection,
            "SELECT attname, format_type(atttypid, NULL), attnotnull AND NOT atthasdef AND attidentity = '' "
            f"FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped",
        )
        there[table] = {str(name): str(kind) for name, kind, needed in found if needed or name == "id"}
    ids = {"uuid": f"'{uuid.uuid4()}'", "integer": "4711", "bigint": "4711"}
    id_ = ids.get(there["sessions"]["id"], "'thread/4711'")
    await _insert(
        connection, "sessions", {**{n: values[n] for n in there["sessions"] if n != "id"}, "id": id_}
    )
    said = {names.get(ours, ours): text for ours, text in (("role", "'user'"), ("content", "'x'"))}
    if there["conversation_messages"].get("from") == "speaker":
        said["from"] = "'HUMAN'"
    said[names.get("session_id", "session_id")] = id_
    kind = there["conversation_messages"]["id"]
    said["id"] = {"uuid": f"'{uuid.uuid4()}'", "text": "'m1'"}.get(kind, "4711")
    more = {n: values.get(n, "now()") for n in there["conversation_messages"] if n not in said}
    await _insert(connection, "conversation_messages", {**more, **said})
    return id_.strip("'")


async def _insert(connection: Connection, table: str, values: Mapping[str, str]) -> None:
    columns = ", ".join(f'"{name}"' for name in values)
    await connection.execute(
        f"INSERT INTO {table} ({columns}) VALUES ({', '.join(values.values())})".encode()
    )


async def test_two_imports_do_not_run_at_once(dsn: str) -> None:
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await imports.hold(connection)

        with pytest.raises(imports.ImportBusy):
            await brought(settings_of(dsn), SinkLog(dsn))


async def test_progress_is_kept_by_name(dsn: str) -> None:
    one = Progress(origin="old", tenant_id="acme", passes=2, source="x", seen_before=2**40, counts={"bad": 1})
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await imports.keep(connection, one)

        assert await imports.progress_of(connection, "old", "acme") == one
