"""Postgres made again from the log: compared with what is there, and put right under a running sink."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Endpoints
from processors.projections.version import PROJECTIONS
from sinks import projected
from sinks.comparison import Comparison, TableComparison
from sinks.errors import TopicRecreated
from sinks.rebuild import Loaded, Rebuild, RebuildBusy, RebuildSettings, rebuilding
from sinks.shadow import SCHEMA, targets
from sinks.sink import SinkSettings, run_sink
from sinks.writer import Position
from tests.builders import task_created
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.kafka import create_topics, delete_topic, producing
from tests.sinks.programs import COMMAND, command_environment, run
from tests.sinks.records import CODEC
from tests.sinks.running import COUNT, NUMBERS, PROJECT_DIRECTORY, WAIT_S, logged, running, until, workload
from tests.sinks.whole_session import contents, whole_session
from topics.catalog import BUDGET_EVENTS

NO_SHADOW = [(None,)]
SHADOW = f"SELECT to_regnamespace('{SCHEMA}')::text"


@asynccontextmanager
async def rebuild(
    settings: SinkSettings, progress: Callable[[Loaded], None] = lambda _: None, batch_records_max: int = 50
) -> AsyncIterator[Rebuild]:
    """A rebuild of the tables that the sink fills, in small batches."""
    of_rebuild = RebuildSettings(
        bootstrap=settings.bootstrap,
        dsn=settings.dsn,
        topic_prefix=settings.topic_prefix,
        batch_records_max=batch_records_max,
        mapping=settings.mapping,
    )
    async with rebuilding(of_rebuild, CODEC, progress) as one:
        yield one


async def filled(settings: SinkSettings, connection: AsyncConnection[TupleRow]) -> int:
    """Write a real session and a workload to Kafka, let the sink take them in, and return how many events."""
    events = [*whole_session(), *workload(10, 9)]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(events)
    async with running(settings) as sink:
        await until(logged(connection, len(events)), sink)
    return len(events)


async def verified(settings: SinkSettings) -> Comparison:
    async with rebuild(settings) as one:
        return await one.verify()


async def swapped(settings: SinkSettings) -> Comparison:
    async with rebuild(settings) as one:
        return await one.swap()


def wrong(compared: Comparison) -> dict[str, tuple[int, int, int]]:
    """Return by table that differs how many rows are missing, surplus and different."""
    return {
        table.table: (table.missing, table.surplus, table.different)
        for table in compared.tables
        if not table.is_equal
    }


def of_table(compared: Comparison, name: str) -> TableComparison:
    return next(table for table in compared.tables if table.table == name)


@pytest.mark.stack
async def test_tables_that_the_sink_filled_are_as_the_log_says(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    events = await filled(settings, connection)
    before = await contents(connection)

    async with rebuild(settings) as one:
        compared = await one.verify()
        with pytest.raises(RebuildBusy):
            await verified(settings)

    assert compared.is_equal
    assert {table.table: table.rows_live for table in compared.tables} == {
        name: len(there) for name, there in before.items()
    }
    assert of_table(compared, "event_log").rows_rebuilt == events
    assert all(table.checksum_live == table.checksum_rebuilt for table in compared.tables)
    assert await contents(connection) == before


@pytest.mark.stack
async def test_what_differs_is_found_and_put_right_and_the_rows_of_others_stay(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await filled(settings, connection)
    right = await contents(connection)
    await connection.execute("UPDATE sessions SET created_at = created_at - interval '1 day'")
    others = (
        "INSERT INTO conversation_messages (id, session_id, role, content) "
        "SELECT '00000000-0000-4000-8000-0000000000ff', id, 'user', 'of V1' FROM sessions ORDER BY id LIMIT 1"
    )
    await connection.execute(others)
    assert (await verified(settings)).is_equal, "what V1 wrote is no fault"
    await connection.execute("SET cartrita.rebuild = 'on'")
    await connection.execute("UPDATE tasks_v2 SET intent = 'doctored' WHERE parent_id IS NULL")
    await connection.execute("DELETE FROM policy_decisions")
    await connection.execute("UPDATE event_log SET body = '{}' WHERE topic = 'plans'")
    await connection.execute("UPDATE event_log SET \"offset\" = 99999 WHERE type = 'AnswerGiven'")

    found = await verified(settings)
    put_right = await swapped(settings)
    after = await verified(settings)

    assert wrong(found) == wrong(put_right)
    assert set(wrong(found)) == {"tasks_v2", "policy_decisions", "event_log"}
    (row,) = of_table(put_right, "tasks_v2").first
    assert ("intent", "doctored") in [(one.name, one.live) for one in row.columns]
    assert after.is_equal
    assert of_table(after, "conversation_messages").rows_kept == 1
    now = await contents(connection)
    assert {name for name in now if now[name] != right[name]} == {"sessions", "conversation_messages"}
    assert await rows(connection, SHADOW) == NO_SHADOW


@pytest.mark.stack
async def test_a_rebuild_that_is_killed_goes_on_where_it_was(
    settings: SinkSettings, connection: AsyncConnection[TupleRow], endpoints: Endpoints
) -> None:
    events = await filled(settings, connection)
    obstacle = await AsyncConnection.connect(settings.dsn)
    environment = command_environment(settings, endpoints)

    with pytest.raises(Interrupted):
        async with rebuild(settings, interrupt_after(120)) as one:
            await one.load()
    await obstacle.execute(f"LOCK TABLE {SCHEMA}.event_log IN SHARE MODE".encode())
    process = await asyncio.create_subprocess_exec(
        *COMMAND, cwd=PROJECT_DIRECTORY, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'relation'"
    await until(lambda: _is_one(connection, waiting))
    process.kill()
    await process.wait()
    await obstacle.close()
    await connection.execute("UPDATE session_summaries SET title = 'doctored'")
    code, told = await run(environment, "--verify", "--json")
    put_right = await swapped(settings)

    loaded = told["loaded"]
    assert loaded["records_before"] >= 70
    assert loaded["records"] == events - loaded["records_before"]
    assert loaded["records_left"] == 0
    assert code == 1
    assert {table["table"] for table in told["compared"]["tables"] if table["different"]} == set(
        wrong(put_right)
    )
    assert set(wrong(put_right)) == {"session_summaries"}
    assert (await verified(settings)).is_equal
    assert await rows(connection, SHADOW) == NO_SHADOW


def at_least(connection: AsyncConnection[TupleRow], number: int) -> Callable[[], Awaitable[bool]]:
    """Tell whether the log has so many events, or more."""

    async def condition() -> bool:
        return bool((await rows(connection, COUNT))[0][0] >= number)

    return condition


async def _is_one(connection: AsyncConnection[TupleRow], query: str) -> bool:
    return await rows(connection, query) == [(1,)]


@pytest.mark.stack
async def test_a_swap_while_the_sink_runs_loses_nothing_and_repeats_nothing(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    before = await filled(settings, connection)
    batches = [workload(5, 9) for _ in range(8)]

    async def produce() -> None:
        async with producing(settings.bootstrap, settings.topic_prefix) as producer:
            for batch in batches:
                await producer.put(batch)

    async with running(settings) as sink:
        producing_all = asyncio.create_task(produce())
        await until(at_least(connection, before + 50), sink)
        await connection.execute("UPDATE session_summaries SET tokens_used = 0, messages = messages + 1")
        first = await swapped(settings)
        await connection.execute("DELETE FROM sink_offsets WHERE topic = 'task.events'")
        await swapped(settings)
        await asyncio.wait_for(producing_all, WAIT_S)
        await until(logged(connection, before + 400), sink)

    assert of_table(first, "session_summaries").different > 0
    sums = "SELECT messages, tokens_used, count(*) FROM session_summaries GROUP BY 1, 2 HAVING count(*) > 1"
    assert await rows(connection, sums) == [(1, 9, 50)]
    assert (await verified(settings)).is_equal


@pytest.mark.stack
async def test_a_row_that_was_refused_is_there_once_the_table_takes_it(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await connection.execute("ALTER TABLE tasks_v2 ADD CONSTRAINT dry CHECK (intent <> 'poison')")
    session = str(uuid.uuid4())
    tasks = [
        event(replace(task_created(), intent=intent), next(NUMBERS), session_id=session)
        for intent in ("fine", "poison", "fine")
    ]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(tasks)
    async with running(settings) as sink:
        await until(logged(connection, 4), sink)
    async with rebuild(settings) as one:
        refused_still = await one.verify()
        assert one.loaded.refused == 1
    await connection.execute("ALTER TABLE tasks_v2 DROP CONSTRAINT dry")

    mended = await swapped(settings)

    assert refused_still.is_equal
    assert wrong(mended) == {"tasks_v2": (1, 0, 0)}
    intents = "SELECT intent, count(*) FROM tasks_v2 GROUP BY 1 ORDER BY 1"
    assert await rows(connection, intents) == [("fine", 2), ("poison", 1)]


@pytest.mark.stack
async def test_tables_of_a_log_that_was_made_anew_are_rebuilt_and_the_sink_goes_on(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await filled(settings, connection)
    await delete_topic(settings.bootstrap, settings.topic_prefix + "budget.events")
    await create_topics(settings.bootstrap, settings.topic_prefix, [BUDGET_EVENTS])
    with pytest.raises(TopicRecreated, match="cartrita rebuild --swap"):
        await asyncio.wait_for(run_sink(settings, CODEC, asyncio.Event()), WAIT_S)

    compared = await swapped(settings)
    logged_then = (await rows(connection, COUNT))[0][0]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(workload(2, 4))
    async with running(settings) as sink:
        await until(logged(connection, logged_then + 10), sink)

    # What was charged stood on the topic that is gone, and so what an answer of the chat had cost.
    assert set(wrong(compared)) == {"event_log", "session_summaries", "conversation_messages"}
    assert of_table(compared, "event_log").surplus == of_table(compared, "event_log").rows_live - logged_then
    assert (await verified(settings)).is_equal


def test_the_log_is_read_up_to_where_the_sink_is_or_to_its_end_where_that_makes_no_sense() -> None:
    same, other = uuid.UUID(int=1), uuid.UUID(int=2)
    names = ("known", "anew", "shrunk", "cut", "unread")
    slots = [(name, 0) for name in names]
    live = {
        ("known", 0): Position(topic_id=same, next_offset=7),
        ("anew", 0): Position(topic_id=other, next_offset=7),
        ("shrunk", 0): Position(topic_id=same, next_offset=11),
        ("cut", 0): Position(topic_id=same, next_offset=1),
    }
    bounds = dict.fromkeys(slots, (0, 10)) | {("cut", 0): (2, 10)}

    found = targets(live, dict.fromkeys(slots, same), bounds)

    assert [found[slot] for slot in slots] == [7, 10, 10, 10, 10]


class Interrupted(Exception):
    """What a test throws into a rebuild."""


def interrupt_after(records: int) -> Callable[[Loaded], None]:
    """Return what ends a rebuild when so many records were read."""

    def progress(loaded: Loaded) -> None:
        if loaded.records >= records:
            raise Interrupted

    return progress


async def test_rows_of_an_earlier_program_are_named_by_its_number_and_made_again_beside_the_sink(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await filled(settings, connection)
    assert await projected.difference(connection) is None
    # As an earlier program left them.
    await connection.execute("UPDATE projections SET oldest = oldest - 1")
    await connection.execute("UPDATE session_summaries SET status = 'of another program'")
    due = await projected.difference(connection)

    assert due is not None
    both = f"{PROJECTIONS - 1} to {PROJECTIONS}"
    made = f"the rows were made by projections {both}, and this program has {PROJECTIONS}"
    assert due.detail == f"{made}: a rebuild is due"
    read: list[Loaded] = []
    async with rebuild(settings, read.append) as one:
        with pytest.raises(projected.ProjectionsDiffer, match="a rebuild is due"):
            await one.verify()
    assert read == []
    async with running(settings):
        # The sink of this program makes no row of before newer.
        assert await projected.difference(connection) == due
        assert wrong(await swapped(settings))
        assert await projected.difference(connection) is None
        assert (await verified(settings)).is_equal


async def test_a_program_that_is_older_than_some_rows_says_so_whatever_it_has_written_since(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await filled(settings, connection)
    await connection.execute("UPDATE projections SET oldest = oldest + 1, newest = newest + 1")

    await projected.note_writing(connection)

    differs = await projected.difference(connection)
    assert differs is not None
    assert differs.remedy == "Use the newer program."
    assert await rows(connection, "SELECT oldest, newest FROM projections") == [
        (PROJECTIONS, PROJECTIONS + 1)
    ]
