"""`cartrita backfill` on a real Kafka and Postgres, beside V1's own programs."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints
from connectors.version_one.sample import Sample, fill
from schemas.wire.codec import Codec
from schemas.wire.registry import SchemaRegistry
from sinks.sink import SinkSettings
from tests.sinks.conftest import rows
from tests.sinks.kafka import PARTITIONS
from tests.sinks.programs import PROGRAM, command_environment, run_program
from tests.sinks.running import PROJECT_DIRECTORY, running, until
from tests.sinks.test_imports import V1_ROWS, SinkLog, brought, settings_of, version_one
from topics.catalog import TOPICS

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
BACKFILL = ("backfill", "--tenant=acme", "--origin=old", "--user=nobody", "--running-hours=0")
LONG = "a long answer of V1 " * 15
WANTED_TASKS = """
    SELECT s.id, 'root_conversation_objective', NULL, count(m.id) FROM sessions s
    LEFT JOIN conversation_messages m ON m.session_id = s.id GROUP BY s.id
    UNION ALL
    SELECT m.session_id, CASE WHEN role = 'tool' THEN 'tool_' || COALESCE(metadata ->> 'tool_name', 'unknown')
           ELSE 'assistant_response' END, left(content, 100), NULL
    FROM conversation_messages m JOIN sessions s ON s.id = m.session_id
    WHERE role = 'tool' OR (role = 'assistant' AND length(content) > 200)
"""
MADE_TASKS = """
    SELECT session_id, intent, spec_json ->> 'content_preview', (spec_json ->> 'message_count')::bigint
    FROM tasks_v2 t WHERE CASE WHEN parent_id IS NULL THEN priority = 5
                          ELSE priority = 3 AND status = 'complete' END
"""
NOT_FILLED = """
    SELECT count(*) FROM conversation_messages m JOIN sessions s ON s.id = m.session_id
    LEFT JOIN tasks_v2 t ON t.id = m.task_id
    WHERE t.session_id IS DISTINCT FROM m.session_id OR cost_tokens <> 0
       OR graph_node IS DISTINCT FROM 'adopted'
"""
EDGES = """
    SELECT a.session_id, count(*) FROM task_edges e
    JOIN tasks_v2 a ON a.id = e.from_task_id JOIN tasks_v2 b ON b.id = e.to_task_id
    WHERE a.session_id = b.session_id GROUP BY 1
"""
SAME_WHEREVER = (
    "SELECT * FROM tasks_v2 ORDER BY id",
    "SELECT * FROM task_edges ORDER BY id",
    "SELECT * FROM retrieval_metrics ORDER BY id",
    "SELECT id, tenant_id, user_id, title, opened_at, imported_messages FROM session_summaries ORDER BY id",
)
TOLD_SINCE = """
    SELECT type, body ->> 'source_key' FROM event_log
    WHERE topic = 'session.imports' AND recorded_at > '{}' AND type <> 'ToolUseImported' ORDER BY 1
"""
OF_ITS_SCRIPT = """
    WITH root AS (
        INSERT INTO tasks_v2 (id, session_id, intent, spec_json, priority, status, created_at)
        SELECT gen_random_uuid(), id, 'root_conversation_objective',
               '{"inferred_from": "v1_backfill", "message_count": 1}', 5, 'complete', created_at
        FROM sessions ORDER BY id LIMIT 1 RETURNING id, session_id
    )
    INSERT INTO tasks_v2 (id, session_id, parent_id, intent, spec_json, priority, status)
    SELECT gen_random_uuid(), session_id, id, 'assistant_response', '{"content_preview": "a"}', 3, 'complete'
    FROM root;
    INSERT INTO graph_snapshots (session_id, snapshot_json, node_name)
    SELECT id, '{"tasks": [], "migration_info": {"task_count": 0}}', 'migration_baseline'
    FROM sessions ORDER BY id LIMIT 1;
    INSERT INTO retrieval_metrics (session_id, query_text, usefulness_score, model_feedback)
    SELECT id, 'asked', 0.7, '{"source": "v1_backfill"}' FROM sessions ORDER BY id LIMIT 1;
    INSERT INTO tool_capability_index (tool_name) VALUES ('a tool of then')
"""
ALL_IDS = """
    SELECT id FROM tasks_v2 UNION ALL SELECT id FROM graph_snapshots
    UNION ALL SELECT id FROM retrieval_metrics UNION ALL SELECT id FROM tool_capability_index
"""


@dataclass(slots=True)
class Chat:
    """V1's own program: it talks, edits and reads, and knows nothing of V2."""

    connection: Connection
    said: dict[uuid.UUID, str] = field(default_factory=dict)

    async def go_on(self, stop: asyncio.Event) -> None:
        """Say something, read it, and edit it, until `stop`."""
        sessions = [row[0] for row in await rows(self.connection, "SELECT id FROM sessions ORDER BY id")]
        while not stop.is_set():
            session = sessions[len(self.said) % len(sessions)]
            key = await self.say(session, LONG)
            await self.say(session, LONG + "edited", key)
            await asyncio.sleep(0.01)

    async def say(self, session: uuid.UUID, text: str, edits: uuid.UUID | None = None) -> uuid.UUID:
        """Write a message, or another text for one, and read the chat."""
        if edits is None:
            statement = (
                "INSERT INTO conversation_messages (session_id, role, content) VALUES (%s, 'assistant', %s)"
            )
            cursor = await self.connection.execute(statement.encode() + b" RETURNING id", [session, text])
            (edits,) = await cursor.fetchone() or ()
        else:
            await self.connection.execute(
                "UPDATE conversation_messages SET content = %s WHERE id = %s", [text, edits]
            )
        self.said[edits] = text
        cursor = await self.connection.execute(
            "SELECT role, content FROM conversation_messages WHERE id = %s", [edits]
        )
        assert await cursor.fetchone() == ("assistant", text)
        return edits


@asynccontextmanager
async def talking(dsn: str) -> AsyncIterator[Chat]:
    """Let V1's program go on beside, until the block ends."""
    stop = asyncio.Event()
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        chat = Chat(connection)
        goes_on = asyncio.create_task(chat.go_on(stop))
        try:
            yield chat
        finally:
            stop.set()
            await goes_on


@asynccontextmanager
async def sinking(settings: SinkSettings, endpoints: Endpoints) -> AsyncIterator[None]:
    """Run a sink that reads what the program writes, until the block ends."""
    registry = SchemaRegistry(endpoints.registry_url)
    try:
        codec = await Codec.connect(TOPICS, registry, settings.topic_prefix)
        async with running(settings, codec=codec):
            yield
    finally:
        await registry.close()


async def killed_behind_its_first_events(
    environment: dict[str, str], connection: Connection, dsn: str
) -> None:
    """Begin an import, and kill it when Kafka has its first events and nobody has noted that."""
    async with await AsyncConnection.connect(dsn) as obstacle:
        await obstacle.execute("LOCK TABLE imports IN SHARE MODE")
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, *BACKFILL, cwd=PROJECT_DIRECTORY, env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        try:

            async def waits() -> bool:
                query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'relation'"
                return await rows(connection, query) == [(1,)] or process.returncode is not None

            await until(waits)
            assert process.returncode is None
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def sorted_rows(found: Sequence[TupleRow]) -> list[str]:
    """Return rows in an order that nothing of theirs can break."""
    return sorted(map(repr, found))


async def as_the_design_says(connection: Connection) -> None:
    """Hold V2's rows against V1's own by the rules of the design, in SQL of its own."""
    made, wanted = [await rows(connection, query) for query in (MADE_TASKS, WANTED_TASKS)]
    assert sorted_rows(made) == sorted_rows(wanted)
    assert await rows(connection, NOT_FILLED) == [(0,)]
    subtasks = Counter(row[0] for row in wanted if row[2] is not None)
    assert dict(await rows(connection, EDGES)) == {
        session: count - 1 for session, count in subtasks.items() if count > 1
    }


async def test_a_messy_v1_is_brought_over_beside_its_own_programs_and_through_a_kill(
    settings: SinkSettings, endpoints: Endpoints, empty_dsn: str, dsn: str
) -> None:
    settings = replace(settings, dsn=empty_dsn)
    environment = {**command_environment(settings, endpoints), "CARTRITA_PARTITIONS": str(PARTITIONS)}
    sample = Sample(sessions=700, messages_mean=3, now=datetime.now(UTC))
    await fill(empty_dsn, sample)
    async with version_one(empty_dsn) as connection, sinking(settings, endpoints):
        before = [await rows(connection, query) for query in V1_ROWS]

        code, dry = await run_program(environment, *BACKFILL, "--dry-run", "--json")

        assert (code, dry["counts"]["sessions"], dry["counts"]["bad"]) == (1, 700, sample.orphans)
        assert {row["reason"].split(" ")[0] for row in dry["bad_rows"]} == {"belongs"}
        assert await rows(connection, "SELECT count(*) FROM event_log") == [(0,)]

        async with talking(empty_dsn) as chat:
            await killed_behind_its_first_events(environment, connection, empty_dsn)
            code, told = await run_program(environment, *BACKFILL, "--json")
        _, second = await run_program(environment, *BACKFILL, "--json")

        assert (code, told["counts"]["sessions"], told["waiting"]) == (1, 700, 0)
        assert (second["passes"], second["waiting"]) == (2, 0)
        await as_the_design_says(connection)
        now = [await rows(connection, query) for query in V1_ROWS]
        kept = {row[0]: row for row in now[1]}
        assert [kept[row[0]] for row in before[1]] == before[1]
        assert {key: kept[key][3] for key in kept.keys() - {row[0] for row in before[1]}} == chat.said
        assert (now[0], now[2]) == (before[0], before[2])
        await brought(settings_of(dsn, empty_dsn, running_within=timedelta(0)), SinkLog(dsn))
        async with await AsyncConnection.connect(dsn, autocommit=True) as at_once:
            for query in SAME_WHEREVER:
                assert await rows(connection, query) == await rows(at_once, query) != []

        seen_at = (await rows(connection, "SELECT max(recorded_at) FROM event_log"))[0][0]
        late = await Chat(connection).say(before[0][0][0], LONG)
        code, third = await run_program(environment, *BACKFILL, "--json")

        assert (code, third["passes"]) == (0, 3)
        assert third["counts"]["events"] == 3 + third["counts"]["tools"]
        assert await rows(connection, TOLD_SINCE.format(seen_at)) == [
            ("BaselineImported", None),
            ("ConversationImported", str(before[0][0][0])),
            ("MessageImported", str(late)),
        ]
        await as_the_design_says(connection)

        await connection.execute(OF_ITS_SCRIPT.encode())
        ids = set(await rows(connection, ALL_IDS))
        code, swapped = await run_program(environment, "rebuild", "--swap", "--json")
        assert code == 0
        wrong = {
            one["table"]: (one["missing"], one["surplus"], one["different"])
            for one in swapped["compared"]["tables"]
            if one["missing"] or one["surplus"] or one["different"]
        }
        assert wrong == {}
        assert set(await rows(connection, ALL_IDS)) == ids
        assert [await rows(connection, query) for query in (V1_ROWS[0], V1_ROWS[2])] == [before[0], before[2]]
