"""The writer on a real Postgres: each event once, offsets with the rows, nobody left behind writes."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted, BudgetScope, ChargeBasis
from schemas.events.inputs import MessageReceived
from schemas.events.models import CallPurpose, ModelCallRequested
from schemas.events.tasks import TaskCompleted, TaskCreated, TaskStarted
from sinks import writer as writer_module
from sinks.errors import DatabaseUnfit, OffsetsMoved
from sinks.intake import take
from sinks.migrator import migrate
from sinks.writer import Projected, Writer
from tests.projections.envelopes import CALL, ROOT, SESSION, TASK, event
from tests.sinks.conftest import rows
from tests.sinks.records import CODEC, delivery_of, taken
from topics.catalog import TOPICS, topic_of

pytestmark = pytest.mark.stack

TOPIC_IDS = {(topic.name, 0): uuid.UUID(int=number) for number, topic in enumerate(TOPICS, start=1)}
CREATED = TaskCreated(
    task_id=TASK,
    parent_id=ROOT,
    plan_id=None,
    turn=1,
    intent="Find it",
    agent="researcher",
    priority=7,
    budget_tokens=5_000,
    estimated_tokens=300,
    spec_json="{}",
)
STARTED = TaskStarted(task_id=TASK, attempt=1)
COMPLETED = TaskCompleted(task_id=TASK, actual_tokens=50, cost_nanodollars=1, steps=1, excerpt="ok")


@pytest.fixture
async def writer(dsn: str) -> AsyncIterator[Writer]:
    """A writer at the start of every topic."""
    one = await Writer.connect(dsn, "test")
    await one.positions(TOPIC_IDS)
    yield one
    await one.close()


async def records(*events: Envelope, first_offset: int = 0) -> list[Projected]:
    """Take events of one topic in, one offset after the other."""
    return [
        (await taken(topic_of(one.body), one, offset)).projected
        for offset, one in enumerate(events, start=first_offset)
    ]


async def test_rows_and_offsets_are_written_together(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    batch = await records(event(CREATED, 1), event(STARTED, 2), event(COMPLETED, 3))

    written = await writer.write(batch, {("task.events", 0): 0})

    assert len(written.fresh) == 3
    tasks = "SELECT id::text, parent_id::text, status, actual_cost_tokens FROM tasks_v2 ORDER BY 1"
    assert await rows(connection, tasks) == [(ROOT, None, "pending", 0), (TASK, ROOT, "complete", 50)]
    assert await rows(connection, "SELECT id::text, created_at FROM sessions") == [(SESSION, None)]
    assert await rows(connection, "SELECT count(*) FROM event_log") == [(3,)]
    positions = await writer.positions(TOPIC_IDS)
    assert positions["task.events", 0].next_offset == 3


async def test_a_row_written_in_pieces_is_the_row_written_at_once(
    writer: Writer, dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    events = (event(CREATED, 1), event(STARTED, 2), event(COMPLETED, 3))
    whole = "SELECT * FROM tasks_v2 ORDER BY id"
    for offset, one in enumerate(events):
        await writer.write(await records(one, first_offset=offset), {("task.events", 0): offset})
    in_pieces = await rows(connection, whole)
    await connection.execute("SET cartrita.rebuild = 'on'")
    await connection.execute("TRUNCATE event_log, sessions, sink_offsets CASCADE")

    await writer.positions(TOPIC_IDS)
    await writer.write(await records(*events), {("task.events", 0): 0})

    assert await rows(connection, whole) == in_pieces


async def test_whoever_expects_other_offsets_writes_nothing(
    writer: Writer, dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    await writer.write(await records(event(CREATED, 1)), {("task.events", 0): 0})
    behind = await Writer.connect(dsn, "test")

    with pytest.raises(OffsetsMoved):
        await behind.write(await records(event(STARTED, 2)), {("task.events", 0): 0})
    await behind.close()

    assert await rows(connection, "SELECT status FROM tasks_v2 WHERE intent <> ''") == [("pending",)]
    assert await rows(connection, "SELECT count(*) FROM event_log") == [(1,)]


async def test_of_two_sinks_that_write_the_same_records_at_once_one_does(
    writer: Writer, dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    other = await Writer.connect(dsn, "test")
    batch = await records(
        *(
            event(BudgetGranted(scope=BudgetScope.TASK, scope_id=TASK, tokens=1, nanodollars=1), n)
            for n in range(1, 50)
        )
    )

    outcomes = await asyncio.gather(
        writer.write(batch, {("budget.events", 0): 0}),
        other.write(batch, {("budget.events", 0): 0}),
        return_exceptions=True,
    )
    await other.close()

    assert sorted(isinstance(outcome, OffsetsMoved) for outcome in outcomes) == [False, True]
    assert await rows(connection, "SELECT count(*) FROM event_log") == [(49,)]


async def test_an_event_that_was_published_again_counts_once(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    charge = event(charged(10), 1)

    first = await writer.write(await records(charge, charge), {("budget.events", 0): 0})
    again = await writer.write(await records(charge, first_offset=2), {("budget.events", 0): 2})

    assert (len(first.fresh), len(again.fresh)) == (1, 0)
    assert await rows(connection, "SELECT tokens_used FROM session_summaries") == [(10,)]
    assert await rows(connection, 'SELECT "offset" FROM event_log') == [(0,)]


@pytest.mark.parametrize("rows_max", [1, 1_000])
async def test_no_staged_row_outlives_its_batch(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr(writer_module, "_STAGED_ROWS_MAX", rows_max)
    created = event(CREATED, 1)

    for offset in (0, 3, 6):
        # The first time all is inserted; then rows are updated, and what is logged goes through its stage.
        batch = await records(
            created, event(STARTED, offset + 2), event(COMPLETED, offset + 3), first_offset=offset
        )
        await writer.write(batch, {("task.events", 0): offset})

        connection = writer._connection
        stages = "SELECT relname FROM pg_class WHERE relname LIKE 'stage\\_%' AND relpersistence = 't'"
        names = [name for (name,) in await rows(connection, stages)]
        left = {name: await rows(connection, f"SELECT * FROM {name}") for name in names}
        assert "stage_event_log" in left
        assert not any(left.values())
        assert await rows(connection, "SELECT count(*) FROM event_log") == [(3 + offset // 3 * 2,)]


async def test_one_message_id_in_two_sessions_is_two_events(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    said = MessageReceived(text="Hi")
    batch = await records(event(said, 1), event(said, 1, session_id=ROOT))

    written = await writer.write(batch, {("session.inputs", 0): 0})

    assert len(written.fresh) == 2
    assert await rows(connection, "SELECT count(*) FROM conversation_messages") == [(2,)]


async def test_two_events_with_one_number_of_a_session_raise_the_alarm(writer: Writer) -> None:
    fine = await writer.write(
        await records(event(CREATED, 1, sequence=1), event(STARTED, 2, sequence=2)), {("task.events", 0): 0}
    )
    twice = await writer.write(
        await records(event(COMPLETED, 3, sequence=2), first_offset=2), {("task.events", 0): 2}
    )

    assert fine.conflicts == ()
    assert [(one.session_id, one.sequence, one.events) for one in twice.conflicts] == [(SESSION, 2, 2)]


async def test_a_refused_row_takes_its_whole_batch_back(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    good, bad = await records(event(CREATED, 1), event(STARTED, 2))
    change = next(one for one in bad.changes if one.table == "tasks_v2")
    poisoned = Projected(
        place=bad.place,
        log=bad.log,
        changes=(type(change)(table="tasks_v2", key=TASK, values={"status": "undecided"}),),
    )

    with pytest.raises(psycopg.errors.CheckViolation):
        await writer.write([good, poisoned], {("task.events", 0): 0})

    assert await rows(connection, "SELECT count(*) FROM tasks_v2") == [(0,)]
    assert (await writer.positions(TOPIC_IDS))["task.events", 0].next_offset == 0


async def test_the_log_refuses_change_but_in_a_rebuild(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    await writer.write(await records(event(CREATED, 1)), {("task.events", 0): 0})

    for statement in ("UPDATE event_log SET type = 'x'", "DELETE FROM event_log", "TRUNCATE event_log"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            await connection.execute(statement)
    async with connection.transaction():
        await connection.execute("SET LOCAL cartrita.rebuild = 'on'")
        await connection.execute("DELETE FROM event_log")

    assert await rows(connection, "SELECT count(*) FROM event_log") == [(0,)]


async def test_every_budget_event_is_entries_that_sum_to_zero(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    granted = BudgetGranted(scope=BudgetScope.SESSION, scope_id=SESSION, tokens=100, nanodollars=1_000)
    of_task = BudgetGranted(scope=BudgetScope.TASK, scope_id=TASK, tokens=50, nanodollars=0)
    reserving = ModelCallRequested(
        call_id=CALL,
        task_id=TASK,
        turn=1,
        purpose=CallPurpose.STEP,
        agent="researcher",
        model="gpt-4o-mini",
        messages=(),
        input_tokens_max=10,
        output_tokens_max=20,
        reserved_tokens=30,
        reserved_nanodollars=300,
        timeout_ms=1_000,
        attempts_max=1,
    )
    batch = await records(event(granted, 1), event(of_task, 2), event(charged(10), 4))
    batch += await records(event(reserving, 3))
    await writer.write(batch, {("budget.events", 0): 0, ("model.calls", 0): 0})

    by_event = "SELECT sum(tokens)::int, sum(nanodollars)::int FROM budget_entries GROUP BY event_id"
    by_account = "SELECT account, sum(tokens)::int FROM budget_entries GROUP BY 1 ORDER BY 1"

    assert await rows(connection, by_event) == [(0, 0)] * 3
    assert await rows(connection, by_account) == [
        ("available", 90),
        ("granted", -100),
        ("reserved", 0),
        ("used", 10),
    ]


async def test_a_sum_beyond_the_column_stops_at_its_end(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    most = 2**63 - 1
    await writer.write(await records(event(charged(most), 1)), {("budget.events", 0): 0})
    await writer.write(await records(event(charged(most), 2), first_offset=1), {("budget.events", 0): 1})

    assert await rows(connection, "SELECT tokens_used FROM session_summaries") == [(most,)]


async def test_a_database_without_tables_is_named_as_such(empty_dsn: str) -> None:
    with pytest.raises(DatabaseUnfit, match="run the migrations first"):
        await Writer.connect(empty_dsn, "test")


async def test_v1_sessions_that_demand_a_time_take_the_event_s(empty_dsn: str) -> None:
    async with await AsyncConnection.connect(empty_dsn, autocommit=True) as connection:
        await connection.execute(
            "CREATE TABLE sessions (id uuid PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now())"
        )
        await migrate(connection)
        writer = await Writer.connect(empty_dsn, "test")
        await writer.positions(TOPIC_IDS)
        await writer.write(await records(event(STARTED, 1)), {("task.events", 0): 0})
        before = await rows(connection, "SELECT created_at = 'epoch' FROM sessions")
        await writer.write(await records(event(MessageReceived(text="Hi"), 2)), {("session.inputs", 0): 0})
        after = await rows(connection, "SELECT created_at::text FROM sessions")
        await writer.close()

    assert before == [(True,)]
    assert after[0][0].startswith("2026-01-01 12:00:02")


async def test_an_event_under_a_key_not_its_own_is_logged_and_not_applied() -> None:
    right = delivery_of(event(CREATED, 1), 0)

    misplaced = await take(right._replace(key=b"another"), CODEC)

    assert misplaced.refusal is not None
    assert misplaced.refusal.code == "key_mismatch"
    assert misplaced.projected.log is not None
    assert misplaced.projected.changes == ()


def charged(tokens: int) -> BudgetCharged:
    """Return the settlement of a reservation of 30 tokens."""
    return BudgetCharged(
        reservation_id=CALL,
        task_id=TASK,
        model="gpt-4o",
        tokens=tokens,
        nanodollars=100,
        tokens_released=30 - tokens,
        nanodollars_released=200,
        basis=ChargeBasis.USAGE,
        session_tokens_left=90,
        session_nanodollars_left=900,
        task_tokens_left=40,
    )
