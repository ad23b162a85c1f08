"""How long traces and the other queries of people take with a million events in Postgres.

One session, decided by the real decider and projected by the real sink's functions, is multiplied: each copy
has ids of its own, and so causes, evidence and tasks of its own.
"""

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.ports import choose_port
from connectors.embedded.postgres import Postgres
from sinks import letters
from sinks.letters import Mine, Which
from sinks.migrator import migrate
from sinks.queries import session_detail, sessions
from sinks.trace import trace
from sinks.writer import Writer
from tests.benchmarks.ground import PROJECT
from tests.benchmarks.result import Row, row
from tests.sinks.whole_session import projected, whole_session, write

EVENTS: Final = 1_000_000
COPIES_AT_ONCE: Final = 500
QUERIES: Final = 300
"""Of each kind in each run."""
TABLES: Final = ("sessions", "session_summaries", "tasks_v2", "task_edges", "event_log")
P99_MS: Final = 50

Connection = AsyncConnection[TupleRow]
Query = Callable[[Connection, UUID], Awaitable[object]]


async def measure(runs: int) -> Sequence[Row]:
    """Fill a Postgres, and ask it."""
    directory = Path(tempfile.mkdtemp(prefix="cartrita-benchmark-"))
    # Postgres, which root runs as another account, must be able to enter.
    await asyncio.to_thread(directory.chmod, 0o755)
    ArtifactStore(PROJECT / ".cartrita" / "artifacts").ensure()
    server = Postgres(directory=directory, log_directory=directory / "logs", port=choose_port((None,)))
    try:
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait_ready, 90)
        async with await AsyncConnection.connect(server.dsn, autocommit=True) as connection:
            await migrate(connection)
            await _fill(server.dsn, connection)
            return await _asked(connection, runs)
    finally:
        await asyncio.to_thread(server.stop)
        shutil.rmtree(directory, ignore_errors=True)


async def _asked(connection: Connection, runs: int) -> list[Row]:
    found = await connection.execute("SELECT session_id, event_id FROM event_log WHERE type = 'AnswerGiven'")
    answers = await found.fetchall()
    count = await (await connection.execute("SELECT count(*) FROM event_log")).fetchone()
    assert count is not None
    kinds: dict[str, tuple[Query, int]] = {
        "trace of an answer to all its causes": (lambda c, one: trace(c, one), 1),
        "trace of a session's input to all that it led to": (
            lambda c, one: trace(c, one, effects=True),
            0,
        ),
        "a session with its tasks, steps and costs": (session_detail, 0),
        "a page of the list of sessions": (lambda c, _: sessions(c), 0),
        "the newest dead letters": (lambda c, _: letters.letters(c, Mine(), Which()), 0),
    }
    chance = random.Random(7)
    rows = []
    for name, (query, at) in kinds.items():
        samples, medians = [], []
        for _ in range(runs):
            subjects = [chance.choice(answers)[at] for _ in range(QUERIES)]
            times = await _times_ms(connection, query, subjects)
            noise = await _times_ms(connection, _nothing, subjects)
            samples.append((_share(times, 0.99), _share(noise, 0.99)))
            medians.append(_share(times, 0.5))
        note = (
            f"p50 {median(medians):.1f} ms; {count[0]:,} events of {len(answers):,} sessions; peer: SELECT 1"
        )
        rows.append(row(f"{name}, p99", "ms", samples, target=f"ours <= {P99_MS}", note=note))
    return rows


async def _times_ms(connection: Connection, query: Query, subjects: Sequence[UUID]) -> list[float]:
    times = []
    for subject in subjects:
        began = time.perf_counter()
        assert await query(connection, subject) is not None
        times.append((time.perf_counter() - began) * 1_000)
    return sorted(times)


async def _nothing(connection: Connection, _subject: UUID) -> object:
    return await (await connection.execute("SELECT 1")).fetchone()


def _share(times: Sequence[float], share: float) -> float:
    return times[int(len(times) * share)]


async def _fill(dsn: str, connection: Connection) -> None:
    """Write one session as the sink does, and copy it until there are EVENTS events."""
    writer = await Writer.connect(dsn, "benchmark")
    try:
        events = whole_session()
        await write(writer, [await projected(events)])
    finally:
        await writer.close()
    copies = EVENTS // len(events)
    statements = [await _copying(connection, table) for table in TABLES]
    for first in range(1, copies, COPIES_AT_ONCE):
        last = min(first + COPIES_AT_ONCE, copies) - 1
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement, [first, last])
    await connection.execute("ANALYZE")


async def _copying(connection: Connection, table: str) -> sql.Composed:
    """Return the statement that inserts copies number %s to %s of a table's rows."""
    template = f"template_{table}"
    await connection.execute(
        sql.SQL("CREATE TEMP TABLE {} AS SELECT * FROM {}").format(
            sql.Identifier(template), sql.Identifier(table)
        )
    )
    cursor = await connection.execute(
        "SELECT column_name, udt_name FROM information_schema.columns "
        "WHERE table_name = %s AND table_schema = 'public' AND is_generated = 'NEVER' "
        "ORDER BY ordinal_position",
        [table],
    )
    columns = await cursor.fetchall()
    return sql.SQL(
        "INSERT INTO {} ({}) SELECT {} FROM {} t, generate_series(%s::int, %s::int) AS copy(n)"
    ).format(
        sql.Identifier(table),
        sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
        sql.SQL(", ").join(_copied(name, kind) for name, kind in columns),
        sql.Identifier(template),
    )


def _copied(name: str, kind: str) -> sql.Composable:
    column = sql.Identifier("t", name)
    if kind == "uuid":
        return sql.SQL("md5(n || {}::text)::uuid").format(column)
    if kind == "_uuid":
        return sql.SQL("ARRAY(SELECT md5(n || one::text)::uuid FROM unnest({}) AS one)").format(column)
    if name == "offset":
        return sql.SQL("{} + n * 1000").format(column)
    if kind == "timestamptz":
        return sql.SQL("{} + n * interval '1 second'").format(column)
    return column
