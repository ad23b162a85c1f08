"""Gives V2 tables of its own in the place of those of V1 that have another form, and keeps V1's as they are.

Migrations name tables as V2 calls them. So V1's stand aside under another name while migrations run, and get
theirs back at the end of the same transaction; V2's are then called `sessions_v2` and so on. What refers to
V1's tables goes on to: Postgres refers to a table by its number.
"""

from collections.abc import Sequence
from typing import Final

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.fitting import is_there
from sinks.forms import own_name
from sinks.mapping import V1_TABLES

_log = structlog.get_logger()

_ASIDE: Final = "cartrita_kept_"
_MESSAGES: Final = "conversation_messages"
_SESSIONS: Final = "sessions"
# As migrations 0001 and 0002 make them; for a database that has those and whose V1 tables changed later.
_MADE: Final = {
    _SESSIONS: "CREATE TABLE sessions (id UUID PRIMARY KEY, created_at TIMESTAMP WITH TIME ZONE)",
    _MESSAGES: """
        CREATE TABLE conversation_messages (
            id UUID PRIMARY KEY,
            session_id UUID NOT NULL REFERENCES sessions(id) ON DELETE CASCADE,
            role VARCHAR(20) NOT NULL,
            content TEXT NOT NULL,
            metadata JSONB DEFAULT '{}',
            created_at TIMESTAMP WITH TIME ZONE,
            task_id UUID REFERENCES tasks_v2(id) ON DELETE SET NULL,
            graph_node VARCHAR(50),
            cost_tokens INTEGER DEFAULT 0
        )
    """,
    "tool_invocations": """
        CREATE TABLE tool_invocations (
            id UUID PRIMARY KEY,
            session_id UUID REFERENCES sessions(id) ON DELETE CASCADE,
            tool_name TEXT,
            category TEXT,
            output_json JSONB,
            latency_ms INTEGER,
            cost_tokens INTEGER DEFAULT 0,
            created_at TIMESTAMP WITH TIME ZONE
        )
    """,
}
_ADDED: Final = """
    ALTER TABLE conversation_messages
        ADD COLUMN IF NOT EXISTS task_id UUID REFERENCES tasks_v2(id) ON DELETE SET NULL,
        ADD COLUMN IF NOT EXISTS graph_node VARCHAR(50),
        ADD COLUMN IF NOT EXISTS cost_tokens INTEGER DEFAULT 0
"""
# Of a table that was V2's as well what V2 wrote: V1's own rows name no event and no call of the log.
_WRITTEN: Final = {
    _MESSAGES: """
        EXISTS (
            SELECT FROM event_log e
            WHERE e.session_id = made.session_id AND e.event_id::text = made.metadata ->> 'event_id'
              AND e.topic IN ('session.inputs', 'session.outputs')
        ) OR (made.created_at IS NULL AND made.metadata = '{}')
    """,
    "tool_invocations": """
        EXISTS (
            SELECT FROM event_log e
            WHERE e.subject_id = made.id AND e.topic IN ('tool.calls', 'tool.results')
        )
    """,
}
_REFERENCES: Final = f"""
    SELECT c.conrelid::regclass::text, a.attname, quote_ident(c.conname)
    FROM pg_constraint c
    JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
    WHERE c.contype = 'f' AND c.confrelid = to_regclass('{_ASIDE}{_SESSIONS}')
      AND c.conrelid::regclass::text = ANY(%s)
"""  # noqa: S608  # our own name
REFERRING: Final = (
    "tasks_v2",
    "graph_snapshots",
    "retrieval_metrics",
    "policy_decisions",
    "session_summaries",
)
"""V2's tables that refer to sessions."""


async def stand_aside(
    connection: AsyncConnection[TupleRow], unfit: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Let V1's tables stand aside, and V2's take their names, while migrations run.

    Args:
        connection: in the migrations' transaction.
        unfit: tables of V1 in whose place V2 gets its own now.

    Returns:
        The tables that V2 has of its own after this, and of them those that are not made yet.
    """
    before = [name for name in V1_TABLES if await is_there(connection, own_name(name))]
    for name in (*before, *unfit):
        if await is_there(connection, name):
            await connection.execute(f"ALTER TABLE {name} RENAME TO {_ASIDE}{name}".encode())
    for name in before:
        await connection.execute(f"ALTER TABLE {own_name(name)} RENAME TO {name}".encode())
    return tuple(name for name in V1_TABLES if name in (*before, *unfit)), tuple(unfit)


async def make_lacking(connection: AsyncConnection[TupleRow], new: Sequence[str]) -> None:
    """Make V2's tables that no migration made, since all of them had run; with what V2 refers to."""
    for name in V1_TABLES:
        if name in new and not await is_there(connection, name):
            await connection.execute(_MADE[name].encode())
            if name == _SESSIONS:
                await _take_references(connection)
            else:
                await _take_rows(connection, name)


async def stand_back(connection: AsyncConnection[TupleRow], own: Sequence[str]) -> None:
    """Give V1's tables their names back."""
    for name in own:
        await connection.execute(f"ALTER TABLE {name} RENAME TO {own_name(name)}".encode())
        if await is_there(connection, f"{_ASIDE}{name}"):
            await connection.execute(f"ALTER TABLE {_ASIDE}{name} RENAME TO {name}".encode())
            if name == _MESSAGES:
                await _add_columns(connection)


async def _add_columns(connection: AsyncConnection[TupleRow]) -> None:
    """Add V2's columns to V1's chat, so that a mapping may fill them, where that goes."""
    try:
        async with connection.transaction():
            await connection.execute(_ADDED.encode())
    except psycopg.errors.WrongObjectType:
        pass  # it is a view


async def _take_rows(connection: AsyncConnection[TupleRow], name: str) -> None:
    """Take over what V2 wrote while the table was V1's and V2's, as far as its rows can still be read so."""
    if not await is_there(connection, f"{_ASIDE}{name}"):
        return
    try:
        async with connection.transaction():
            await connection.execute(
                f"INSERT INTO {name} SELECT made.* FROM {_ASIDE}{name} kept "  # noqa: S608  # our own names
                f"CROSS JOIN LATERAL jsonb_populate_record(NULL::{name}, to_jsonb(kept)) made "
                f"JOIN sessions s ON s.id = made.session_id WHERE {_WRITTEN[name]}".encode()
            )
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        _log.warning("sink_rows_left_with_v1", table=name, reason=str(error).strip().split("\n")[0])


async def _take_references(connection: AsyncConnection[TupleRow]) -> None:
    """Let V2's tables refer to V2's sessions, which are those that they refer to now."""
    for name in REFERRING:
        column = "id" if name == "session_summaries" else "session_id"
        await connection.execute(
            f"INSERT INTO sessions (id, created_at) SELECT DISTINCT r.{column}, "  # noqa: S608  # our own names
            f"(to_jsonb(k) ->> 'created_at')::timestamptz FROM {name} r "
            f"JOIN {_ASIDE}{_SESSIONS} k ON k.id = r.{column} ON CONFLICT DO NOTHING".encode()
        )
    cursor = await connection.execute(_REFERENCES.encode(), [list(REFERRING)])
    for table, column, constraint in await cursor.fetchall():
        await connection.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {constraint}, ADD CONSTRAINT {constraint} "
            f"FOREIGN KEY ({column}) REFERENCES sessions(id) ON DELETE CASCADE".encode()
        )
