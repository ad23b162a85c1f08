"""The view budget_entries says of any session what its events say, and sums to zero at every moment."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as example_settings
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.writer import Slot, Writer
from tests.invariants.entries import BudgetEntry, entries_of
from tests.invariants.stories import Story
from tests.processors.world import SESSION, World
from tests.processors.worlds import worlds
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from topics.catalog import TOPICS, topic_of

pytestmark = pytest.mark.stack

EXAMPLES = 12
TIMEOUT_S = 30
IDS: dict[Slot, UUID] = {(topic.name, 0): UUID(int=n) for n, topic in enumerate(TOPICS, start=1)}
ENTRIES = "SELECT session_id, sequence, event_id, account, tokens, nanodollars FROM budget_entries"
OFF_AT_ANY_MOMENT = """
    SELECT sequence FROM (
        SELECT sequence, sum(sum(tokens)) OVER so_far AS tokens, sum(sum(nanodollars)) OVER so_far AS money
        FROM budget_entries GROUP BY session_id, sequence
        WINDOW so_far AS (PARTITION BY session_id ORDER BY sequence)
    ) moments
    WHERE tokens <> 0 OR money <> 0
"""
BALANCES = (
    "SELECT tokens_available, tokens_reserved, tokens_used, nanodollars_used, tokens_off, nanodollars_off "
    "FROM budget_balances"
)


async def test_the_view_is_the_events_entries_and_balances_at_every_moment(
    dsn: str, connection: AsyncConnection[TupleRow]
) -> None:
    loop = asyncio.get_running_loop()
    writer = await Writer.connect(dsn, "test")

    async def hold(world: World) -> None:
        await connection.execute("SET cartrita.rebuild = 'on'")
        await connection.execute("TRUNCATE event_log, sessions, policy_decisions, sink_offsets CASCADE")
        await writer.positions(IDS)
        offsets: Counter[str] = Counter()
        batch = []
        for event in world.events:
            topic = topic_of(event.body)
            batch.append((await taken(topic, event, offsets[topic.name])).projected)
            offsets[topic.name] += 1
        await writer.write(batch, dict.fromkeys(IDS, 0))

        found = [
            BudgetEntry(
                session_id=str(row[0]),
                sequence=row[1],
                event_id=str(row[2]),
                account=row[3],
                tokens=int(row[4]),
                nanodollars=int(row[5]),
            )
            for row in await rows(connection, ENTRIES)
        ]
        budget = world.state.budget
        balances = (budget.tokens_left, 0, budget.tokens_used, budget.nanodollars_used, 0, 0)
        assert Counter(found) == Counter(entries_of([Story(session_id=SESSION, events=world.events)]))
        assert await rows(connection, OFF_AT_ANY_MOMENT) == []
        assert await rows(connection, BALANCES) == [balances]

    # Hypothesis runs plain functions; the connections live on this loop.
    @example_settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(worlds())
    def check(world: World) -> None:
        asyncio.run_coroutine_threadsafe(hold(world), loop).result(TIMEOUT_S)

    try:
        await asyncio.to_thread(check)
    finally:
        await writer.close()
