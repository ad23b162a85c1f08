"""The sink between a real Kafka and a real Postgres, whatever happens to either or to itself."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.embedded.stack import Stack
from schemas.events.dead_letters import RecordRejected
from schemas.events.tasks import TaskStarted
from sinks.census import CENSUS_METRICS
from sinks.errors import DatabaseUnfit, RecordsMissing, TopicRecreated
from sinks.metrics import METRICS, SinkMetrics
from sinks.sink import SinkSettings, run_sink
from tests.builders import task_created
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.kafka import create_topics, delete_topic, producing, values_of
from tests.sinks.records import CODEC
from tests.sinks.running import COUNT, NUMBERS, WAIT_S, logged, running, running_process, until, workload
from topics.catalog import BUDGET_EVENTS, DEAD_LETTERS, TASK_EVENTS

pytestmark = pytest.mark.stack


async def assert_exactly_once(connection: AsyncConnection[TupleRow], sessions: int, charges: int) -> None:
    """Check that every event of the workload counts once."""
    sums = "SELECT messages, tokens_used, count(*) FROM session_summaries GROUP BY 1, 2"
    assert await rows(connection, sums) == [(1, charges, sessions)]
    assert await rows(connection, COUNT) == [(sessions * (charges + 1),)]
    distinct = "SELECT count(DISTINCT event_id), (SELECT sum(next_offset) FROM sink_offsets) FROM event_log"
    ((events, offsets),) = await rows(connection, distinct)
    assert events == sessions * (charges + 1)
    assert offsets >= events


async def test_events_become_rows_and_metrics_tell_so(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    registry = CollectorRegistry()
    events = workload(5, 4)
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put([*events, *events[:3]])
        async with running(settings, SinkMetrics(registry)) as sink:

            async def caught_up() -> bool:
                repeated = registry.get_sample_value(
                    "cartrita_sink_events_total", {"topic": "budget.events", "outcome": "repeated"}
                )
                return await logged(connection, 25)() and repeated == 2

            await until(caught_up, sink)

    await assert_exactly_once(connection, 5, 4)
    assert registry.get_sample_value("cartrita_sink_rows_total", {"table": "sessions"})
    # The two charges that came again are not counted anew.
    charged = {"basis": "usage"}
    assert registry.get_sample_value("cartrita_budget_tokens_charged_total", charged) == 5 * 4
    assert registry.get_sample_value("cartrita_sink_batch_records_count")
    lag = {"topic": "budget.events", "partition": "0"}
    assert registry.get_sample_value("cartrita_sink_lag_records", lag) == 0
    names = {metric.name for metric in registry.collect()}
    of_all = {one.name.removesuffix("_total") for one in CENSUS_METRICS}
    assert names == {one.name.removesuffix("_total") for one in METRICS} - of_all


async def test_a_sink_that_is_killed_in_the_middle_of_a_batch_leaves_nothing_out_and_nothing_twice(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    settings = replace(settings, batch_records_max=40)
    sessions, charges = 20, 20
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(workload(sessions, charges))
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE application_name LIKE 'cartrita-sink%' AND wait_event = 'relation'"
    )

    for table in ("event_log", "session_summaries", "sink_offsets"):
        async with await AsyncConnection.connect(settings.dsn) as obstacle:
            async with running_process(settings) as process:
                # The sink's transaction is open, and part of it is done, when it meets this lock.
                await obstacle.execute(f"LOCK TABLE {table} IN SHARE MODE".encode())
                await until(lambda: _is_one(connection, waiting))
                process.kill()
            await obstacle.rollback()
    async with running(settings) as sink:
        await until(logged(connection, sessions * (charges + 1)), sink)

    await assert_exactly_once(connection, sessions, charges)


async def _is_one(connection: AsyncConnection[TupleRow], query: str) -> bool:
    return await rows(connection, query) == [(1,)]


async def test_a_second_sink_shares_the_work_and_takes_over_what_the_first_leaves(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    sessions = 0
    async with (
        producing(settings.bootstrap, settings.topic_prefix) as producer,
        running(settings, SinkMetrics(one)) as staying,
    ):

        async def put(number: int) -> None:
            nonlocal sessions
            await producer.put(workload(number, 5))
            sessions += number
            await until(logged(connection, 6 * sessions), staying)

        await put(10)
        alone = stored_by(one)
        async with running(settings, SinkMetrics(other)):
            # Its partitions come with the group's next generation, whenever that is.
            async with asyncio.timeout(WAIT_S):
                while not (stored_by(other) and stored_by(one) > alone):
                    await put(4)
        shared = stored_by(one)
        await put(10)

    assert stored_by(one) - shared == 10 * 6
    await assert_exactly_once(connection, sessions, 5)


def stored_by(sink: CollectorRegistry) -> int:
    """Return how many events a sink stored."""
    samples = (sample for metric in sink.collect() for sample in metric.samples)
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "cartrita_sink_events_total" and sample.labels["outcome"] == "applied"
    )


async def test_a_sink_that_was_left_behind_goes_on_from_where_the_other_is(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    """Two groups read the same partitions under one name: both believe that they own them."""
    registries = CollectorRegistry(), CollectorRegistry()
    sessions = 0
    async with (
        producing(settings.bootstrap, settings.topic_prefix) as producer,
        running(settings, SinkMetrics(registries[0])) as one,
        running(replace(settings, group="other" + settings.group), SinkMetrics(registries[1])),
        asyncio.timeout(WAIT_S),
    ):
        while sessions < 20 or not any(
            registry.get_sample_value("cartrita_sink_retries_total", {"reason": "offsets_moved"})
            for registry in registries
        ):
            await producer.put(workload(2, 9))
            sessions += 2
        await until(logged(connection, 10 * sessions), one)

    await assert_exactly_once(connection, sessions, 9)


async def test_records_that_are_not_avro_are_put_aside_and_their_neighbours_go_on(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    created = task_created()
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put_bytes("task.events", b"not avro")
        await producer.put_bytes("task.events", None)
        await producer.put_bytes("task.events", b"\x00" + b"\x7f" * 990_000)
        # A shell reads this topic, and puts its bad records aside itself.
        await producer.put_bytes("user.inputs", b"not avro")
        await producer.put([event(created, next(NUMBERS))])
        async with running(settings) as sink:
            # The event, and the three dead letters, which are events themselves.
            await until(logged(connection, 4), sink)

    letters = await values_of(settings.bootstrap, settings.topic_prefix + DEAD_LETTERS.name)
    bodies = [(await CODEC.decode(value)).body for value in letters]
    rejected = [body for body in bodies if isinstance(body, RecordRejected)]
    assert {(one.offset, one.code) for one in rejected} == {
        (0, "not_avro"),
        (1, "no_value"),
        (2, "unknown_schema"),
    }
    assert {one.topic for one in rejected} == {settings.topic_prefix + TASK_EVENTS.name}
    assert max(len(one.value or b"") for one in rejected) == 990_001, "what fits its topic is kept whole"
    assert await rows(connection, "SELECT count(*) FROM tasks_v2 WHERE intent = 'Find it'") == [(1,)]


async def test_a_row_that_the_database_refuses_is_narrowed_down_put_aside_and_still_logged(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    # Nothing that projections make is refused; so the database gets a check that no program knows of.
    await connection.execute("ALTER TABLE tasks_v2 ADD CHECK (intent <> 'poison')")
    session = str(uuid.uuid4())
    tasks = [
        event(
            replace(task_created(), intent="poison" if number in (3, 11) else "fine"),
            next(NUMBERS),
            session_id=session,
        )
        for number in range(16)
    ]
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(tasks)
        async with running(settings) as sink:
            await until(logged(connection, 18), sink)

    assert await rows(connection, "SELECT intent, count(*) FROM tasks_v2 GROUP BY 1") == [("fine", 14)]
    letters = (
        "SELECT body ->> 'offset', body ->> 'code' FROM event_log WHERE topic = 'dead.letters' ORDER BY 1"
    )
    assert await rows(connection, letters) == [("11", "row_refused"), ("3", "row_refused")]


async def test_two_events_with_one_number_are_counted_as_an_alarm(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    registry = CollectorRegistry()
    started = TaskStarted(task_id=str(uuid.uuid4()), attempt=1)
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put([event(started, next(NUMBERS), sequence=7) for _ in range(2)])
        async with running(settings, SinkMetrics(registry)) as sink:
            await until(logged(connection, 2), sink)

    assert registry.get_sample_value("cartrita_sink_sequence_conflicts_total") == 1


async def test_postgres_may_be_away_at_the_start_and_be_killed_in_the_middle(
    settings: SinkSettings, sink_stack: Stack
) -> None:
    registry = CollectorRegistry()
    events = workload(20, 5)
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await asyncio.to_thread(sink_stack.stop_service, "postgres", hard=True)
        async with running(settings, SinkMetrics(registry)) as sink:
            await producer.put(events[:60])
            await until(lambda: _has_retried(registry, "postgres"), sink)
            await asyncio.to_thread(sink_stack.start_service, "postgres")
            async with await AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
                await until(logged(connection, 60), sink)
            await asyncio.to_thread(sink_stack.stop_service, "postgres", hard=True)
            await producer.put(events[60:])
            await asyncio.to_thread(sink_stack.start_service, "postgres")
            async with await AsyncConnection.connect(settings.dsn, autocommit=True) as connection:
                await until(logged(connection, 120), sink)
                await assert_exactly_once(connection, 20, 5)


async def test_kafka_may_be_killed_and_come_back(
    settings: SinkSettings, sink_stack: Stack, connection: AsyncConnection[TupleRow]
) -> None:
    async with running(settings) as sink:
        async with producing(settings.bootstrap, settings.topic_prefix) as producer:
            await producer.put(workload(10, 5))
            await until(logged(connection, 60), sink)
        await asyncio.to_thread(sink_stack.stop_service, "kafka", hard=True)
        await asyncio.to_thread(sink_stack.start_service, "kafka")
        async with producing(settings.bootstrap, settings.topic_prefix) as producer:
            await producer.put(workload(10, 5))
            await until(logged(connection, 120), sink)

    await assert_exactly_once(connection, 20, 5)


async def _has_retried(registry: CollectorRegistry, reason: str) -> bool:
    return bool(registry.get_sample_value("cartrita_sink_retries_total", {"reason": reason}))


async def test_a_topic_that_was_made_anew_stops_the_sink(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(workload(2, 2))
    async with running(settings) as sink:
        await until(logged(connection, 6), sink)
    await delete_topic(settings.bootstrap, settings.topic_prefix + "budget.events")
    await create_topics(settings.bootstrap, settings.topic_prefix, [BUDGET_EVENTS])

    with pytest.raises(TopicRecreated, match=r"topic budget\.events was deleted and made anew"):
        await _run_to_its_end(settings)


async def test_a_log_that_lost_records_stops_the_sink(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    async with producing(settings.bootstrap, settings.topic_prefix) as producer:
        await producer.put(workload(2, 2))
    async with running(settings) as sink:
        await until(logged(connection, 6), sink)
    await connection.execute("UPDATE sink_offsets SET next_offset = 1000 WHERE topic = 'budget.events'")

    with pytest.raises(RecordsMissing, match="lost records"):
        await _run_to_its_end(settings)


async def test_a_database_without_migrations_stops_the_sink_with_advice(
    settings: SinkSettings, connection: AsyncConnection[TupleRow]
) -> None:
    await connection.execute("DROP TABLE event_log CASCADE")

    with pytest.raises(DatabaseUnfit, match="no table event_log: run the migrations first"):
        await _run_to_its_end(settings)


async def test_a_wrong_password_stops_the_sink(settings: SinkSettings) -> None:
    wrong = replace(settings, dsn=settings.dsn.replace("cartrita:", "cartrita:wrong"))

    with pytest.raises(DatabaseUnfit, match="password authentication failed"):
        await _run_to_its_end(wrong)


async def test_a_dsn_is_never_shown(settings: SinkSettings) -> None:
    assert "postgresql" not in repr(settings)


async def _run_to_its_end(settings: SinkSettings) -> None:
    await asyncio.wait_for(run_sink(settings, CODEC, asyncio.Event()), WAIT_S)
