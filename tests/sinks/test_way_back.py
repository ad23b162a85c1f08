"""Taking V2 out again: V1's tables are as they were, while V1's programs go on writing."""

import uuid
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.version_one.sample import Sample, fill
from schemas.events.inputs import MessageReceived
from schemas.frozen import replace
from sinks.migrator import migrate
from sinks.way_back import way_back
from tests.projections.envelopes import CALL, event
from tests.sinks.conftest import rows
from tests.sinks.running import until
from tests.sinks.story import story
from tests.sinks.test_backfill import talking
from tests.sinks.test_imports import V1_ROWS, SinkLog, brought, settings_of, write
from tests.sinks.test_version_one import SEARCHED

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
# All that a schema has, by name, but for the extension that V2's migrations made.
CATALOGUE = """
    WITH here AS (
        SELECT c.* FROM pg_class c LEFT JOIN pg_depend d ON d.objid = c.oid AND d.deptype = 'e'
        WHERE c.relnamespace = current_schema()::regnamespace AND d.objid IS NULL
    )
    SELECT relkind::text, relname::text, relacl::text FROM here
    UNION ALL
    SELECT 'column ' || attname, relname::text,
           format_type(atttypid, atttypmod) || attnotnull || COALESCE(pg_get_expr(adbin, adrelid), '')
    FROM here JOIN pg_attribute a ON a.attrelid = here.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    UNION ALL
    SELECT 'constraint ' || conname, relname::text, pg_get_constraintdef(k.oid)
    FROM here JOIN pg_constraint k ON k.conrelid = here.oid OR k.confrelid = here.oid
    UNION ALL
    SELECT 'trigger ' || tgname, relname::text, pg_get_triggerdef(t.oid)
    FROM here JOIN pg_trigger t ON t.tgrelid = here.oid
    WHERE NOT tgisinternal
    UNION ALL
    SELECT 'policy ' || polname, relname::text, relrowsecurity::text
    FROM here JOIN pg_policy p ON p.polrelid = here.oid
    UNION ALL
    SELECT 'function', p.proname::text, pg_get_functiondef(p.oid)
    FROM pg_proc p LEFT JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e'
    WHERE p.pronamespace = current_schema()::regnamespace AND p.prokind = 'f' AND d.objid IS NULL
    UNION ALL
    SELECT 'type', t.typname::text, t.typtype::text
    FROM pg_type t LEFT JOIN pg_depend d ON d.objid = t.oid AND d.deptype = 'e'
    WHERE t.typnamespace = current_schema()::regnamespace AND d.objid IS NULL
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = t.typelem AND e.deptype = 'e')
    ORDER BY 1, 2, 3
"""
OF_ITS_OWN = """
    CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
    BEGIN RETURN NEW; END; $$ LANGUAGE plpgsql;
    CREATE TRIGGER keeps BEFORE UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
    CREATE INDEX of_v1 ON conversation_messages (session_id, created_at);
    CREATE VIEW chats AS SELECT s.id, count(m.id) FROM sessions s
    LEFT JOIN conversation_messages m ON m.session_id = s.id GROUP BY s.id;
"""


async def take_out(connection: Connection) -> None:
    """Run what is told, again where V1's programs hold the tables for too long."""
    statements = await way_back(connection)
    for _ in range(20):
        try:
            await connection.execute(statements.encode())
        except psycopg.errors.LockNotAvailable:
            await connection.execute("ROLLBACK")
            continue
        return
    raise AssertionError("V1's programs never let the tables go")


@pytest.mark.parametrize("own_cost", [False, True])
async def test_v1_s_tables_are_as_they_were_while_its_programs_go_on(
    empty_dsn: str, *, own_cost: bool
) -> None:
    await fill(empty_dsn, Sample(sessions=60, messages_mean=6, now=datetime.now(UTC)))
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute("SET TIME ZONE 'UTC'")
        await connection.execute(OF_ITS_OWN.encode())
        if own_cost:
            await connection.execute(
                "ALTER TABLE conversation_messages ADD COLUMN cost_tokens INTEGER DEFAULT 0"
            )
        catalogue = await rows(connection, CATALOGUE)
        before = [await rows(connection, query) for query in V1_ROWS]

        await migrate(connection)
        assert await rows(connection, CATALOGUE) != catalogue
        async with talking(empty_dsn) as chat:
            counts = await brought(settings_of(empty_dsn), log := SinkLog(empty_dsn))
            # V2's own: a session with all that it leads to, and what was said in one of V1's.
            gone_on = before[0][0][0]
            own = [*story().values(), replace(event(SEARCHED, 901), event_id=str(uuid.uuid4()))]
            own.append(event(MessageReceived(text="of V2"), 902, session_id=str(gone_on), user_id="nobody"))
            await write(empty_dsn, own, 100_000 + len(log.events))
            found = [await rows(connection, query) for query in V1_ROWS]
            assert len(found[0]) == len(before[0]) + 1
            assert "of V2" in {row[3] for row in found[1]}
            assert uuid.UUID(CALL) in {row[0] for row in found[2]}

            await take_out(connection)

            said = len(chat.said)

            async def has_gone_on() -> bool:
                return len(chat.said) >= said + 3

            await until(has_gone_on)

        assert counts.sessions == 60
        now = [await rows(connection, query) for query in V1_ROWS]
        assert (now[0], now[2]) == (before[0], before[2])
        kept = {row[0]: row for row in now[1]}
        assert [kept[row[0]] for row in before[1]] == before[1]
        assert {key: kept[key][3] for key in kept.keys() - {row[0] for row in before[1]}} == chat.said
        assert await rows(connection, CATALOGUE) == catalogue

        # And it can come again.
        await migrate(connection)
        again = await brought(settings_of(empty_dsn), SinkLog(empty_dsn))
        assert again.messages + again.bad == len(now[1])


async def test_a_v1_of_another_form_keeps_its_tables_and_loses_what_stood_beside_them(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(
            b"CREATE TABLE sessions (id SERIAL PRIMARY KEY, owner TEXT NOT NULL);"
            b"CREATE TABLE conversation_messages (id SERIAL PRIMARY KEY, "
            b"session_id INTEGER REFERENCES sessions, role TEXT, content TEXT);"
            b"INSERT INTO sessions (owner) VALUES ('ann');"
            b"INSERT INTO conversation_messages (session_id, role, content) VALUES (1, 'user', 'hello')"
        )
        catalogue = await rows(connection, CATALOGUE)
        await migrate(connection)
        await write(empty_dsn, list(story().values()))

        await take_out(connection)

        # V1 had no table of calls; the one that migrations made is V1's in form, and stays.
        left = [row for row in await rows(connection, CATALOGUE) if "tool_invocations" not in row[1]]
        assert left == catalogue
        assert await rows(connection, "SELECT content FROM conversation_messages") == [("hello",)]


async def test_what_is_told_of_an_empty_database_runs_and_changes_nothing(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        before = await rows(connection, CATALOGUE)

        await take_out(connection)

        assert await rows(connection, CATALOGUE) == before
