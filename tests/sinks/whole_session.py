"""A whole session of the real decider, as the sink takes it in, and what it leaves in Postgres."""

import uuid
from collections import Counter

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.tables import TABLES
from schemas.envelope import Envelope
from schemas.events.inputs import SessionBudgetSet
from schemas.events.models import ModelCallRequested
from sinks.writer import Projected, Slot, Writer
from tests.processors.world import ModelOutcome, World, failed, obliging, plan_text, small, task
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from topics.catalog import TOPICS, topic_of

PLAN = plan_text(task("a"), task("b", needs=["a"]), task("c", needs=["a"]), task("d", needs=["b", "c"]))


IDS: dict[Slot, uuid.UUID] = {(topic.name, 0): uuid.UUID(int=n) for n, topic in enumerate(TOPICS, start=1)}


def whole_session() -> list[Envelope]:
    """Return all events of a session with dependent tasks, tools, a retry, and an answer."""
    answering = obliging(PLAN, tools=["look", "buy"])
    refused: list[str] = []

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step" and not refused:
            refused.append(call.call_id)
            return failed(call, "provider_error")
        return answering(call)

    world = World(answer, limits=small(retry_delay_ms=10))
    world.say("What is a sink?")
    world.post(SessionBudgetSet(tokens=12_000_000))
    world.post(SessionBudgetSet(tokens=11_000_000, nanodollars=5 * 10**9))
    world.run()
    inputs = [event for event, _ in world.inputs]
    return sorted([*inputs, *world.events], key=lambda event: (event.occurred_at_ms, event.sequence))


async def projected(events: list[Envelope]) -> list[Projected]:
    """Take events in, each at the next place of its topic."""
    offsets: Counter[str] = Counter()
    batch = []
    for event in events:
        topic = topic_of(event.body)
        batch.append((await taken(topic, event, offsets[topic.name])).projected)
        offsets[topic.name] += 1
    return batch


async def write(writer: Writer, batches: list[list[Projected]]) -> None:
    """Write batches one after the other, from the start of every topic."""
    await writer.positions(IDS)
    following: dict[Slot, int] = dict.fromkeys(IDS, 0)
    for batch in batches:
        await writer.write(batch, following)
        for one in batch:
            following[one.place.topic, one.place.partition] = one.place.offset + 1


async def contents(connection: AsyncConnection[TupleRow]) -> dict[str, list[TupleRow]]:
    """Return all rows of all tables."""
    names = [*(table.name for table in TABLES), "event_log"]
    return {name: await rows(connection, f"SELECT t::text FROM {name} t ORDER BY 1") for name in names}
