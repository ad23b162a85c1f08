"""V1's tables change under a running sink, and nothing of V2's waits for them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.migrator import migrate
from sinks.sink import SinkSettings
from tests.sinks.conftest import rows
from tests.sinks.kafka import producing
from tests.sinks.running import logged, running, until
from tests.sinks.test_version_one import PLAIN
from tests.sinks.whole_session import whole_session

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]


@pytest.fixture
async def bare(empty_dsn: str) -> AsyncIterator[Connection]:
    """A connection to the database without tables."""
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as one:
        yield one


@pytest.mark.parametrize("table", ["sessions", "conversation_messages"])
async def test_a_column_that_v1_comes_to_demand_under_a_running_sink_holds_nobody_up(
    settings: SinkSettings, empty_dsn: str, bare: Connection, table: str
) -> None:
    settings = replace(settings, dsn=empty_dsn)
    await bare.execute(PLAIN.encode())
    await migrate(bare)
    events = whole_session()
    before, after = events[: len(events) // 2], events[len(events) // 2 :]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(before)
        async with running(settings) as sink:
            await until(logged(bare, len(before)), sink)
            await bare.execute(f"ALTER TABLE {table} ADD COLUMN org INTEGER NOT NULL DEFAULT 1".encode())
            await bare.execute(f"ALTER TABLE {table} ALTER COLUMN org DROP DEFAULT".encode())
            await producer.put(after)
            await until(logged(bare, len(events)), sink)

    assert await rows(bare, "SELECT count(*) FROM event_log WHERE topic = 'dead.letters'") == [(0,)]
    assert await rows(bare, "SELECT status FROM session_summaries") == [("answered",)]


@pytest.mark.parametrize("table", ["conversation_messages", "tool_invocations", "sessions"])
async def test_a_chat_that_is_separated_under_a_running_sink_has_what_was_said_before_and_after(
    settings: SinkSettings, empty_dsn: str, bare: Connection, table: str
) -> None:
    settings = replace(settings, dsn=empty_dsn)
    await bare.execute(PLAIN.encode())
    await migrate(bare)
    await bare.execute("INSERT INTO sessions DEFAULT VALUES")
    await bare.execute(
        "INSERT INTO conversation_messages (session_id, role, content) SELECT id, 'user', 'V1' FROM sessions"
    )
    events = whole_session()
    before, after = events[: len(events) // 2], events[len(events) // 2 :]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(before)
        async with running(settings) as sink:
            await until(logged(bare, len(before)), sink)
            await bare.execute(f"ALTER TABLE {table} ADD COLUMN org INTEGER NOT NULL DEFAULT 1".encode())
            await bare.execute(f"ALTER TABLE {table} ALTER COLUMN org DROP DEFAULT".encode())
            await producer.put(after)
            await until(logged(bare, len(events)), sink)

    chat, calls = await tables_of_v2(bare)
    assert await rows(
        bare, f"SELECT role, cost_tokens > 0 FROM {chat} WHERE content <> 'V1' ORDER BY role"
    ) == [
        ("assistant", True),
        ("user", False),
    ]
    assert await rows(
        bare, f"SELECT sum(cost_tokens) FROM {chat} UNION ALL SELECT tokens_used FROM session_summaries"
    ) == 2 * [(await rows(bare, "SELECT tokens_used FROM session_summaries"))[0]]
    assert (
        await rows(bare, f"SELECT id FROM {calls} ORDER BY id")
        == await rows(
            bare, "SELECT DISTINCT subject_id FROM event_log WHERE topic = 'tool.results' ORDER BY 1"
        )
        != []
    )


async def tables_of_v2(bare: Connection) -> list[str]:
    """Return what V2's chat and its calls of tools are called."""
    names = ("conversation_messages", "tool_invocations")
    return [
        f"{name}_v2" if await rows(bare, f"SELECT to_regclass('{name}_v2')") != [(None,)] else name
        for name in names
    ]
