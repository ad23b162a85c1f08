"""Migrations on a real Postgres."""

import asyncio
import re
from dataclasses import replace

import psycopg
import pytest
from psycopg import AsyncConnection

from processors.projections.tables import TABLES
from sinks.migrator import (
    MigrationEdited,
    PostgresTooOld,
    demand_version,
    migrate,
    migrations,
    pending,
)
from sinks.projected import difference
from sinks.writer import Writer
from tests.sinks.conftest import rows

pytestmark = pytest.mark.stack

V2_TABLES = (
    "tasks_v2",
    "task_edges",
    "graph_snapshots",
    "retrieval_metrics",
    "tool_capability_index",
    "policy_decisions",
)
V2_INDEXES = {
    "idx_tasks_v2_session_status",
    "idx_tasks_v2_parent",
    "idx_tasks_v2_agent_status",
    "idx_tasks_v2_priority_status",
    "idx_task_edges_from",
    "idx_task_edges_to",
    "idx_graph_snapshots_session",
    "idx_graph_snapshots_node",
    "idx_retrieval_metrics_session",
    "idx_retrieval_metrics_usefulness",
    "idx_tool_capability_name",
    "idx_tool_capability_category",
    "idx_tool_capability_performance",
    "idx_policy_decisions_session",
    "idx_policy_decisions_tool",
    "idx_policy_decisions_agent",
    "idx_conversation_messages_task",
    "idx_conversation_messages_graph_node",
}
DROPPED = {"idx_retrieval_metrics_embedding"}
"""An index over no rows chooses its lists from none, and recalls little: `imports` drops it."""


async def test_a_second_run_applies_nothing(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        before = await pending(connection)
        first = await migrate(connection)
        second = await migrate(connection)
        after = await pending(connection)

        versions = await rows(connection, "SELECT version, name, sha256 FROM cartrita_migrations ORDER BY 1")

    assert before == first == migrations()
    assert second == after == ()
    assert versions == [(step.version, step.name, step.sha256) for step in migrations()]


async def test_four_that_migrate_at_once_apply_each_migration_once(empty_dsn: str) -> None:
    async def one() -> int:
        async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
            return len(await migrate(connection))

    applied = await asyncio.wait_for(asyncio.gather(*(one() for _ in range(4))), 30)

    assert sorted(applied) == [0, 0, 0, len(migrations())]


async def test_an_edited_migration_is_named_and_nothing_is_applied(dsn: str) -> None:
    first, *others = migrations()
    edited = replace(first, sql=first.sql + "\n-- an afterthought")
    new = replace(
        first,
        version=max(step.version for step in others) + 1,
        name="new",
        sql="CREATE TABLE too_late (id INTEGER)",
    )
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        with pytest.raises(MigrationEdited, match=r"migration 1 \(version_one\) was edited"):
            await migrate(connection, (new, edited, *others))

        assert await rows(connection, "SELECT to_regclass('too_late')") == [(None,)]


async def test_a_migration_that_fails_leaves_nothing_behind(empty_dsn: str) -> None:
    first, *_ = migrations()
    broken = replace(first, version=2, name="broken", sql="CREATE TABLE half (id INTEGER); SELECT 1/0")
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            await migrate(connection, (first, broken))

        found = await rows(connection, "SELECT to_regclass('half'), to_regclass('sessions')")

    assert found == [(None, None)]


async def test_every_index_and_check_of_the_design_is_there_but_one(
    connection: AsyncConnection[psycopg.rows.TupleRow],
) -> None:
    indexes = {row[0] for row in await rows(connection, "SELECT indexname FROM pg_indexes")}
    checks = await rows(
        connection,
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype IN ('c', 'u') AND conrelid::regclass::text = ANY('{tasks_v2,task_edges,"
        "retrieval_metrics,tool_capability_index,policy_decisions}')",
    )

    assert indexes >= V2_INDEXES
    assert not indexes & DROPPED
    found = sorted((table, re.sub(r"\W+", " ", text)) for table, text in checks)
    assert [table for table, _ in found] == [
        "policy_decisions",
        "retrieval_metrics",
        "task_edges",
        "task_edges",
        "tasks_v2",
        "tasks_v2",
        "tasks_v2",
        "tool_capability_index",
        "tool_capability_index",
        "tool_capability_index",
        "tool_capability_index",
    ]


async def test_every_column_of_a_v2_table_has_a_projection(
    connection: AsyncConnection[psycopg.rows.TupleRow],
) -> None:
    by_name = {table.name: table for table in TABLES}
    for name in V2_TABLES:
        there = await rows(
            connection,
            f"SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
            f"WHERE attrelid = '{name}'::regclass AND attnum > 0 AND attname <> 'id'",
        )
        assert {row[0] for row in there} == set(by_name[name].by_name), name


async def test_the_trigger_stamps_what_people_update_and_not_what_the_sink_does(
    connection: AsyncConnection[psycopg.rows.TupleRow],
) -> None:
    await connection.execute("INSERT INTO sessions (id) VALUES (gen_random_uuid())")
    await connection.execute(
        "INSERT INTO tasks_v2 (session_id, intent, updated_at) SELECT id, 'x', 'epoch' FROM sessions"
    )

    async with connection.transaction():
        await connection.execute("SET LOCAL cartrita.sink = 'on'")
        await connection.execute("UPDATE tasks_v2 SET intent = 'y'")
    by_sink = await rows(connection, "SELECT updated_at = 'epoch' FROM tasks_v2")
    await connection.execute("UPDATE tasks_v2 SET intent = 'z'")
    by_hand = await rows(connection, "SELECT updated_at = 'epoch' FROM tasks_v2")

    assert (by_sink, by_hand) == ([(True,)], [(False,)])


async def test_a_function_of_a_common_name_stays_whose_it_is_and_goes_on_to_be_used(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(
            """
            CREATE FUNCTION update_updated_at_column() RETURNS TRIGGER AS $$
            BEGIN NEW.note = 'by their own'; RETURN NEW; END;
            $$ LANGUAGE plpgsql;
            CREATE TABLE theirs (id integer, note text);
            CREATE TRIGGER theirs_noted BEFORE UPDATE ON theirs
                FOR EACH ROW EXECUTE FUNCTION update_updated_at_column();
            INSERT INTO theirs VALUES (1, '');
            """
        )
        found = "SELECT oid, prosrc FROM pg_proc WHERE proname = 'update_updated_at_column'"
        before = await rows(connection, found)

        await migrate(connection)
        await connection.execute("UPDATE theirs SET id = 2")

        assert await rows(connection, found) == before
        assert await rows(connection, "SELECT note FROM theirs") == [("by their own",)]


async def test_functions_and_triggers_of_ours_have_names_of_our_own(
    connection: AsyncConnection[psycopg.rows.TupleRow],
) -> None:
    of_extensions = "SELECT objid FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_proc'::regclass"
    names = await rows(
        connection,
        "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace "
        f"AND oid NOT IN ({of_extensions})",
    )

    assert names
    assert [name for (name,) in names if not name.startswith("cartrita_")] == []


@pytest.mark.parametrize("version", [90_624, 130_011, 150_008, 159_999])
def test_an_older_postgres_is_refused(version: int) -> None:
    with pytest.raises(PostgresTooOld, match=f"version {version // 10_000}; version 16 or newer"):
        demand_version(version)


@pytest.mark.parametrize("version", [160_000, 180_001])
def test_a_postgres_that_is_new_enough_is_taken(version: int) -> None:
    demand_version(version)


async def test_nothing_is_changed_in_a_postgres_that_is_too_old(
    empty_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.migrator.POSTGRES_MAJOR_MIN", 999)
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        with pytest.raises(PostgresTooOld):
            await migrate(connection)

        tables = "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
        assert await rows(connection, tables) == [(0,)]


async def test_v1_tables_that_exist_keep_their_form_and_their_rows(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(
            """
            CREATE TABLE sessions (id uuid PRIMARY KEY, owner text DEFAULT 'me',
                                   created_at timestamp NOT NULL DEFAULT now());
            CREATE TABLE conversation_messages (id bigserial PRIMARY KEY, session_id uuid, role text,
                                                content text, created_at timestamptz, metadata json);
            CREATE TABLE tool_invocations (id serial PRIMARY KEY, tool_name text, must text NOT NULL);
            INSERT INTO sessions (id) VALUES ('11111111-1111-4111-8111-111111111111');
            INSERT INTO conversation_messages (role, content) VALUES ('user', 'old');
            """
        )
        await migrate(connection)
        columns = await rows(
            connection,
            "SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position) "
            "FROM information_schema.columns WHERE table_name IN "
            "('sessions', 'conversation_messages', 'tool_invocations') GROUP BY 1 ORDER BY 1",
        )
        old = await rows(connection, "SELECT content, task_id, cost_tokens FROM conversation_messages")

    writer = await Writer.connect(empty_dsn, "v1")
    await writer.close()

    assert columns == [
        (
            "conversation_messages",
            "id session_id role content created_at metadata task_id graph_node cost_tokens",
        ),
        ("sessions", "id owner created_at"),
        ("tool_invocations", "id tool_name must"),
    ]
    assert old == [("old", None, 0)]
    # Numbers as ids cannot take what events are called: these two are left alone.
    assert tuple(writer.fitted.left_alone) == ("conversation_messages", "tool_invocations")


@pytest.mark.parametrize(("had_rows", "made_by"), [(True, [(0, 0)]), (False, [])])
async def test_rows_from_before_projections_had_a_number_are_told_to_be_of_none(
    empty_dsn: str, had_rows: bool, made_by: list[tuple[int, int]]
) -> None:
    before = next(step.version for step in migrations() if step.name == "projections") - 1
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await migrate(connection, migrations()[:before])
        await connection.execute(
            "INSERT INTO sink_offsets VALUES ('postgres', 'task.events', 0, gen_random_uuid(), %s)",
            [3 if had_rows else 0],
        )
        await migrate(connection)

        assert await rows(connection, "SELECT oldest, newest FROM projections") == made_by
        assert (await difference(connection) is not None) == had_rows
